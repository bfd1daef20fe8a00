/** What becomes of a domain that others made when it is adopted: obstacles, changes, records. Pure but for the ids. */
import type { ForeignDevice, ForeignDomain } from "../hypervisor/driver.ts";
import { AppError } from "../lib/errors.ts";
import { formatBytes, MiB } from "../lib/units.ts";
import type { Network } from "../model/network.ts";
import { Description, namePattern } from "../model/schema.ts";
import type { Pool, Volume } from "../model/storage.ts";
import { defaultShutdownTimeoutMs, macPattern, type Vm, type VmSpec } from "../model/vm.ts";
import { unreportedStatus } from "../model/vm-rules.ts";
import type { Adoptable } from "../storage/driver.ts";

/** What a plan is made from. */
export type AdoptionView = {
	nodeId: string;
	now: string;
	newId: () => string;
	accelerator: "kvm" | "tcg";
	networks: Network[];
	/** Where adopted volumes are recorded; null: there is no pool on this node. */
	pool: Pool | null;
	nameTaken: (kind: "vm" | "volume", name: string) => boolean;
	/** Name of the VM that has a NIC with that address. */
	macHolder: (mac: string) => string | null;
	/** What the pool's driver says of a disk's file. */
	fileOf: (path: string) => Adoptable;
	/** Is there a record of that volume? */
	knowsVolume: (id: string) => boolean;
};

const minMemoryBytes = 32 * MiB;

/** What our side has against it, as sentences. */
export function obstaclesOf(foreign: ForeignDomain, view: AdoptionView): string[] {
	const obstacles: string[] = [];
	if (view.pool === null) obstacles.push("There is no local storage pool on this node to record its disks in.");
	if (foreign.memoryBytes < minMemoryBytes)
		obstacles.push(`It has less than ${formatBytes(minMemoryBytes)} of memory.`);
	if (view.pool !== null)
		for (const [index, disk] of foreign.disks.entries()) {
			const same = foreign.disks.slice(0, index).find((other) => isSameFile(other.path, disk.path, view));
			if (same) {
				obstacles.push(`Disk ${disk.target} has the same file as disk ${same.target}: a file can be one volume only.`);
				continue;
			}
			const file = view.fileOf(disk.path);
			if (!canBeTaken(file, view)) obstacles.push(`Disk ${disk.target}: ${"refusal" in file ? file.refusal : ""}`);
		}
	for (const nic of foreign.nics) {
		const mac = nic.mac.toLowerCase();
		const holder = view.macHolder(mac);
		if (!new RegExp(macPattern).test(mac)) obstacles.push(`Its MAC address ${nic.mac} is not that of one machine.`);
		if (holder !== null) obstacles.push(`Its MAC address ${nic.mac} belongs to VM "${holder}".`);
		if (networkOf(nic, view) !== null) continue;
		const where = nic.bridge ?? nic.network ?? "nothing";
		obstacles.push(
			`Its NIC ${nic.mac} is on ${where}, which is no network of LimiQuantix: add a network for that bridge.`,
		);
	}
	return obstacles;
}

/** By one path or by two. Each disk becomes a volume of its own, and a file can be that of one only. */
function isSameFile(path: string, otherPath: string, view: AdoptionView): boolean {
	if (path === otherPath) return true;
	const [file, other] = [view.fileOf(path), view.fileOf(otherPath)];
	if ("sizeBytes" in file) return "sizeBytes" in other && file.fileKey === other.fileKey;
	return file.heldBy !== null && "heldBy" in other && file.heldBy === other.heldBy;
}

/** Also what an adoption that was undone has left in the pool's own records: nobody knows that volume any more. */
export const canBeTaken = (file: Adoptable, view: Pick<AdoptionView, "knowsVolume">): boolean =>
	"sizeBytes" in file || (file.heldBy !== null && !view.knowsVolume(file.heldBy));

/** What becomes different about it, as sentences. */
export function changesOf(foreign: ForeignDomain, view: AdoptionView): string[] {
	const changes: string[] = [];
	const name = freeName(foreign.name, "vm", view);
	if (name !== foreign.name) changes.push(`It is called "${name}" here.`);
	if (foreign.accelerator !== view.accelerator) {
		const words = { kvm: "with KVM", tcg: "by emulation" };
		const now = foreign.accelerator === "kvm" ? words.kvm : words.tcg;
		changes.push(`It runs ${words[view.accelerator]} on this node; it is defined to run ${now}.`);
	}
	return [...changes, ...foreign.changes];
}

function networkOf(nic: ForeignDomain["nics"][number], view: AdoptionView): Network | null {
	if (nic.bridge === null) return null;
	return (
		view.networks.find(
			(network) =>
				(network.config.kind === "bridge" && network.config.bridge === nic.bridge) ||
				network.nodes.some((node) => node.nodeId === view.nodeId && node.bridge === nic.bridge),
		) ?? null
	);
}

/** Only without obstacles. The disks stay in their order: the task finds their files by it. */
export function planAdoption(foreign: ForeignDomain, view: AdoptionView): { vm: Vm; volumes: Volume[] } {
	const { now } = view;
	const pool = view.pool;
	if (!pool) throw new AppError("wrong-state", "There is no local storage pool on this node.");
	const name = freeName(foreign.name, "vm", view);
	const volumes = foreign.disks.map((disk): Volume => {
		const file = view.fileOf(disk.path);
		return {
			...{ id: view.newId(), generation: 1, createdAt: now, updatedAt: now },
			name: freeName(`${name}-${disk.target}`, "volume", view),
			poolId: pool.id,
			nodeId: view.nodeId,
			format: disk.format,
			// The driver says it again when it takes the file over.
			sizeBytes: Math.max(MiB, "sizeBytes" in file ? file.sizeBytes : 0),
			// Not null: it has content, so nothing may ever put an empty disk in its place (see volumes.ts).
			allocatedBytes: 0,
			source: { kind: "empty" },
			phase: "pending",
			vmId: foreign.id,
			error: null,
		};
	});
	const alive = foreign.powerState !== "stopped" && foreign.powerState !== "failed";
	const vm: Vm = {
		...{ id: foreign.id, generation: 1, createdAt: now, updatedAt: now },
		name,
		description: fittingText(foreign.description),
		tags: [],
		nodeId: view.nodeId,
		spec: specOf(foreign, volumes, view),
		desiredPower: !alive ? "stopped" : foreign.powerState === "paused" ? "paused" : "running",
		deleting: false,
		status: unreportedStatus(foreign.powerState, now),
	};
	return { vm, volumes };
}

function specOf(foreign: ForeignDomain, volumes: readonly Volume[], view: AdoptionView): VmSpec {
	const disks = foreign.disks.map(({ bus, cache, discard, readOnly }, index) => ({
		...{ id: idOf({ kind: "disk", index }), volumeId: volumes[index]?.id ?? "" },
		...{ bus, cache, discard, readOnly },
	}));
	// Without a choice the first disk boots, as it does in libvirt.
	const firstDisk = disks.slice(0, 1).map((disk) => disk.id);
	return {
		firmware: foreign.firmware,
		tpm: foreign.tpm,
		cpu: { vcpus: foreign.vcpus, maxVcpus: Math.max(foreign.vcpus, foreign.maxVcpus), model: foreign.cpuModel },
		memory: {
			sizeBytes: foreign.memoryBytes,
			maxSizeBytes: Math.max(foreign.memoryBytes, foreign.maxMemoryBytes),
		},
		disks,
		cdroms: foreign.cdroms.map((_, index) => ({ id: idOf({ kind: "cdrom", index }), imageId: null })),
		nics: foreign.nics.map((nic, index) => ({
			id: idOf({ kind: "nic", index }),
			networkId: networkOf(nic, view)?.id ?? "",
			mac: nic.mac.toLowerCase(),
			model: nic.model,
			linkUp: nic.linkUp,
		})),
		bootOrder: foreign.bootOrder.length > 0 ? foreign.bootOrder.map(idOf) : firstDisk,
		cloudInit: null,
		autostart: { enabled: foreign.autostart, order: 0, delayMs: 0 },
		shutdownTimeoutMs: defaultShutdownTimeoutMs,
	};
}

const idOf = ({ kind, index }: ForeignDevice): string => `${kind}-${index}`;

/** Text that others wrote, as far as a description may be that. */
const fittingText = (text: string): string => {
	const fitting = text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f]/g, " ").slice(0, Description.maxLength);
	return fitting.isWellFormed() ? fitting : "";
};

/** The name, made to fit ours, with a number when it is taken. */
export function freeName(wanted: string, kind: "vm" | "volume", view: Pick<AdoptionView, "nameTaken">): string {
	const fitting =
		wanted
			.replaceAll(/[^A-Za-z0-9._-]/g, "-")
			.replace(/^[^A-Za-z0-9]+/, "")
			.slice(0, 58) || "adopted";
	for (let count = 1; count < 1000; count++) {
		const name = count === 1 ? fitting : `${fitting}-${count}`;
		if (new RegExp(namePattern).test(name) && !view.nameTaken(kind, name)) return name;
	}
	throw new AppError("already-exists", `There are too many objects named ${fitting}.`);
}
