/** The create form: values, checks, the body that is sent, and what it will do in words. Pure. */
import { GiB, MiB } from "../../../src/lib/units.ts";
import type { Image, Network, Node, Pool, Vm, VmCreate, Volume } from "../../api/types.ts";
import {
	type CloudInitForm,
	checkCloudInit,
	cloudInitSpecOf,
	emptyCloudInit,
	nobodyCanSignIn,
} from "../../lib/cloud-init.ts";
import { formatBytes } from "../../lib/format.ts";
import { fits, macPattern, namePattern } from "../../lib/patterns.ts";
import { common } from "../../strings/common.ts";
import { devices } from "../../strings/devices.ts";
import { move } from "../../strings/move.ts";
import { settings } from "../../strings/settings.ts";
import { storage } from "../../strings/storage.ts";
import { vm as vmText } from "../../strings/vm.ts";
import { vmCreate as t } from "../../strings/vm-create.ts";
import { roomiest, type Target, targetsFor } from "../shared/placement.ts";
import { copyObstacle, currentSpace, diskIn, type Provisioning, provisioningBody } from "../storage/choices.ts";

export const sizes = {
	small: { vcpus: 1, memoryBytes: GiB, diskBytes: 10 * GiB },
	medium: { vcpus: 2, memoryBytes: 4 * GiB, diskBytes: 20 * GiB },
	large: { vcpus: 4, memoryBytes: 8 * GiB, diskBytes: 40 * GiB },
	xlarge: { vcpus: 8, memoryBytes: 16 * GiB, diskBytes: 80 * GiB },
} as const;
export type SizeName = keyof typeof sizes | "custom";
export const noImage = "none";

type Bus = "virtio" | "scsi" | "sata";
export type ExtraDisk = {
	kind: "new" | "existing";
	sizeBytes: number | null;
	poolId: string;
	volumeId: string;
	provisioning: Provisioning;
	bus: Bus;
};
export type NewNic = { networkId: string; model: "virtio" | "e1000e"; mac: string };

export type CreateValues = {
	name: string;
	description: string;
	tags: string[];
	/** An image's id, `noImage`, or "" while nothing is chosen. */
	imageId: string;
	size: SizeName;
	vcpus: number | null;
	memoryBytes: number | null;
	diskBytes: number | null;
	maxVcpus: number | null;
	maxMemoryBytes: number | null;
	cpuModel: "portable" | "host";
	firmware: Vm["spec"]["firmware"];
	tpm: boolean;
	/** "": the image's, else the default pool. */
	poolId: string;
	format: "qcow2" | "raw";
	provisioning: Provisioning;
	fullCopy: boolean;
	bus: Bus;
	extraDisks: ExtraDisk[];
	/** Images in the drives beside the one of an ISO; "" is an empty drive. */
	drives: string[];
	nics: NewNic[];
	cloudInit: CloudInitForm;
	autostart: boolean;
	autostartOrder: number | null;
	autostartDelaySeconds: number | null;
	shutdownSeconds: number | null;
	nodeId: string;
	start: boolean;
};

export const initialValues = (networkId: string | null): CreateValues => ({
	name: "",
	description: "",
	tags: [],
	imageId: "",
	size: "medium",
	...sizes.medium,
	maxVcpus: null,
	maxMemoryBytes: null,
	cpuModel: "portable",
	firmware: "uefi",
	tpm: false,
	poolId: "",
	format: "qcow2",
	provisioning: "thin",
	fullCopy: false,
	bus: "virtio",
	extraDisks: [],
	drives: [""],
	nics: networkId === null ? [] : [{ networkId, model: "virtio", mac: "" }],
	cloudInit: emptyCloudInit(),
	autostart: false,
	autostartOrder: 100,
	autostartDelaySeconds: 0,
	shutdownSeconds: 120,
	nodeId: "",
	start: true,
});

export type Refs = {
	images: readonly Image[];
	pools: readonly Pool[];
	networks: readonly Network[];
	nodes: readonly Node[];
	volumes: readonly Volume[];
	vms: readonly Vm[];
};

const imageOf = ({ imageId }: CreateValues, { images }: Refs): Image | undefined =>
	images.find(({ id }) => id === imageId);
const nodeOf = ({ nodeId }: CreateValues, { nodes }: Refs): Node | undefined =>
	nodes.find(({ id }) => id === nodeId) ?? (nodes.length === 1 ? nodes[0] : undefined);

/** The members, with the room that each has for this VM and what keeps it from being there. */
export const nodesFor = ({ memoryBytes, vcpus, nics }: CreateValues, refs: Refs): Target[] =>
	targetsFor(
		{ memoryBytes: memoryBytes ?? 0, vcpus: vcpus ?? 0, networkIds: nics.map(({ networkId }) => networkId) },
		refs,
	);

/** The first disk is at least as large as the image that it is a copy of. */
export function diskBytesFor(values: CreateValues, refs: Refs): number | null {
	const image = imageOf(values, refs);
	const least = image && image.format !== "iso" ? (image.virtualSizeBytes ?? 0) : 0;
	if (values.size === "custom") return values.diskBytes;
	return Math.max(sizes[values.size].diskBytes, least);
}

export function checkCreate(values: CreateValues, refs: Refs): Record<string, string> {
	const errors: Record<string, string> = checkCloudInit(values.cloudInit);
	const whole = (path: string, value: number | null, min: number, max: number) => {
		if (value === null || !Number.isInteger(value) || value < min || value > max) {
			errors[path] = common.numberRange(String(min), String(max));
		}
	};
	if (values.name === "") errors["/name"] = common.required;
	else if (!fits(namePattern, values.name)) errors["/name"] = common.nameInvalid;
	if (values.imageId === "") errors["/disks/0/imageId"] = t.imageRequired;
	whole("/vcpus", values.vcpus, 1, 512);
	if ((values.memoryBytes ?? 0) < 32 * MiB) errors["/memoryBytes"] = settings.memoryMin;
	const node = nodeOf(values, refs);
	if (node && (values.memoryBytes ?? 0) > node.status.memoryBytes) {
		errors["/memoryBytes"] = settings.overMemory(formatBytes(node.status.memoryBytes));
	}
	// Said under both: each is shown once it was typed into. A size chosen from the list has no field of its own.
	if (values.maxVcpus !== null && values.maxVcpus < (values.vcpus ?? 0)) {
		if (values.size === "custom") errors["/vcpus"] ??= settings.aboveMax(String(values.maxVcpus));
		errors["/maxVcpus"] = settings.maxBelow;
	}
	if (values.maxMemoryBytes !== null && values.maxMemoryBytes < (values.memoryBytes ?? 0)) {
		if (values.size === "custom") errors["/memoryBytes"] ??= settings.aboveMax(formatBytes(values.maxMemoryBytes));
		errors["/maxMemoryBytes"] = settings.maxBelow;
	}
	const image = imageOf(values, refs);
	const least = image && image.format !== "iso" ? (image.virtualSizeBytes ?? 0) : 0;
	const diskBytes = diskBytesFor(values, refs);
	if (diskBytes === null || diskBytes < MiB) errors["/disks/0/sizeBytes"] = common.numberMin("1 MiB");
	else if (diskBytes < least) errors["/disks/0/sizeBytes"] = storage.imageNeeds(formatBytes(least));
	const pool = mainPool(values, refs);
	const obstacle = pool ? mainPoolObstacle(pool, values, refs) : null;
	if (obstacle !== null) errors["/disks/0/poolId"] = obstacle;
	for (const [index, disk] of values.extraDisks.entries()) {
		const path = `/disks/${index + 1}`;
		if (disk.kind === "existing" && disk.volumeId === "") errors[`${path}/volumeId`] = common.required;
		if (disk.kind === "new" && (disk.sizeBytes ?? 0) < MiB) errors[`${path}/sizeBytes`] = common.numberMin("1 MiB");
	}
	for (const [index, nic] of values.nics.entries()) {
		if (nic.mac !== "" && !fits(macPattern, nic.mac)) errors[`/nics/${index}/mac`] = devices.macInvalid;
	}
	whole("/autostart/order", values.autostartOrder, 0, 9999);
	whole("/autostart/delayMs", values.autostartDelaySeconds, 0, 3600);
	whole("/shutdownTimeoutMs", values.shutdownSeconds, 1, 3600);
	return errors;
}

/** What is not the default is sent; `hash` turns guest passwords into their crypt(3) form. */
export async function createBody(
	values: CreateValues,
	refs: Refs,
	hash: (password: string) => Promise<string>,
): Promise<VmCreate> {
	const image = imageOf(values, refs);
	const iso = image?.format === "iso";
	const fromImage = image !== undefined && !iso;
	const pool = mainPool(values, refs);
	const { format, mustBeFull } = diskIn(pool, { ...values, from: imagePool(values, refs) });
	const body: VmCreate = {
		name: values.name,
		vcpus: values.vcpus ?? 1,
		memoryBytes: values.memoryBytes ?? GiB,
		disks: [
			{
				...(fromImage ? { imageId: image.id } : {}),
				sizeBytes: diskBytesFor(values, refs) ?? 20 * GiB,
				...(values.poolId !== "" ? { poolId: values.poolId } : {}),
				...(format !== "qcow2" ? { format } : {}),
				...provisioningBody(pool, values.provisioning),
				...(fromImage && (values.fullCopy || mustBeFull) ? { fullCopy: true } : {}),
				...(values.bus !== "virtio" ? { bus: values.bus } : {}),
			},
			...values.extraDisks.map((disk) =>
				disk.kind === "existing"
					? { volumeId: disk.volumeId, bus: disk.bus }
					: {
							sizeBytes: disk.sizeBytes ?? GiB,
							bus: disk.bus,
							...(disk.poolId === "" ? {} : { poolId: disk.poolId }),
							...provisioningBody(poolById(refs, disk.poolId), disk.provisioning),
						},
			),
		],
		cdroms: drivesOf(values, iso ? image.id : null),
		nics: values.nics.map(({ networkId, model, mac }) => ({ networkId, model, ...(mac === "" ? {} : { mac }) })),
		firmware: values.firmware,
		start: values.start,
	};
	if (values.description !== "") body.description = values.description;
	if (values.tags.length > 0) body.tags = values.tags;
	if (values.nodeId !== "") body.nodeId = values.nodeId;
	if (values.tpm) body.tpm = true;
	if (values.maxVcpus !== null) body.maxVcpus = values.maxVcpus;
	if (values.maxMemoryBytes !== null) body.maxMemoryBytes = values.maxMemoryBytes;
	if (values.cpuModel !== "portable") body.cpuModel = values.cpuModel;
	if (values.autostart) {
		body.autostart = {
			enabled: true,
			order: values.autostartOrder ?? 100,
			delayMs: (values.autostartDelaySeconds ?? 0) * 1000,
		};
	}
	if (values.shutdownSeconds !== null && values.shutdownSeconds !== 120) {
		body.shutdownTimeoutMs = values.shutdownSeconds * 1000;
	}
	const cloudInit = await cloudInitSpecOf(values.cloudInit, hash);
	if (cloudInit) body.cloudInit = cloudInit;
	return body;
}

/** The ISO takes the first empty drive, or a drive of its own. */
function drivesOf(values: CreateValues, isoId: string | null): { imageId: string | null }[] {
	const drives = values.drives.map((imageId) => ({ imageId: imageId === "" ? null : imageId }));
	if (isoId === null) return drives;
	const empty = drives.findIndex(({ imageId }) => imageId === null);
	if (empty < 0) return [{ imageId: isoId }, ...drives];
	return drives.map((drive, index) => (index === empty ? { imageId: isoId } : drive));
}

export const poolById = ({ pools }: Pick<Refs, "pools">, poolId: string): Pool | undefined =>
	pools.find(({ id }) => id === poolId);

/** Where the image of the first disk lies. */
export function imagePool(values: CreateValues, refs: Refs): Pool | undefined {
	const image = imageOf(values, refs);
	return image && image.format !== "iso" ? poolById(refs, image.poolId) : undefined;
}

/** The pool of the first disk: the one that was chosen, or its image's; undefined while the node chooses. */
export const mainPool = (values: CreateValues, refs: Refs): Pool | undefined =>
	values.poolId === "" ? imagePool(values, refs) : poolById(refs, values.poolId);

/** Why the first disk cannot be made there of its image. */
export function mainPoolObstacle(pool: Pool, values: CreateValues, refs: Refs): string | null {
	const from = imagePool(values, refs);
	const nodeId = values.nodeId === "" ? null : values.nodeId;
	const nameOf = (id: string) => refs.nodes.find((node) => node.id === id)?.name ?? common.unknown;
	return from ? copyObstacle(pool, { from, nodeId, nameOf }) : null;
}

export type Plan = { steps: string[]; warnings: string[] };

/** What creating will do, sentence by sentence, and what somebody may regret. */
export function planOf(values: CreateValues, refs: Refs): Plan {
	const steps: string[] = [];
	const image = imageOf(values, refs);
	const iso = image?.format === "iso";
	const poolName = (id: string) => {
		const pool = refs.pools.find((other) => other.id === id);
		return pool ? t.plan.pool(pool.name) : t.plan.defaultPool;
	};
	const size = formatBytes(diskBytesFor(values, refs) ?? 0);
	if (image && !iso) {
		const pool = mainPool(values, refs);
		const { mustBeFull } = diskIn(pool, { ...values, from: imagePool(values, refs) });
		const say = values.fullCopy || mustBeFull ? t.plan.fullCopy : t.plan.copy;
		steps.push(say(image.name, size, poolName(pool?.id ?? image.poolId)));
	} else if (values.imageId !== "") steps.push(t.plan.emptyDisk(size, poolName(values.poolId)));
	for (const disk of values.extraDisks) {
		const volume = refs.volumes.find(({ id }) => id === disk.volumeId);
		if (disk.kind === "new") steps.push(t.plan.emptyDisk(formatBytes(disk.sizeBytes ?? 0), poolName(disk.poolId)));
		else if (volume) steps.push(t.plan.existing(volume.name));
	}
	if (image && iso) steps.push(t.plan.iso(image.name));
	steps.push(
		t.plan.hardware(values.vcpus ?? 0, formatBytes(values.memoryBytes ?? 0), vmText.firmwares[values.firmware]),
	);
	const networks = values.nics.map(({ networkId }) => refs.networks.find(({ id }) => id === networkId)?.name ?? "");
	steps.push(networks.length === 0 ? t.plan.noNetwork : t.plan.network(networks.join(", ")));
	if (values.cloudInit.kind !== "none") steps.push(t.plan.cloudInit);
	const node = nodeOf(values, refs)?.name ?? (refs.nodes.length > 1 ? move.onBest : t.plan.thisNode);
	steps.push(values.start ? t.plan.start(node) : t.plan.noStart(node));
	return { steps, warnings: warningsOf(values, refs) };
}

const takesMemory = new Set(["running", "paused", "starting", "migrating"]);

function warningsOf(values: CreateValues, refs: Refs): string[] {
	const warnings: string[] = [];
	const node = nodeOf(values, refs);
	if (node && values.start) {
		const used = refs.vms
			.filter(({ nodeId, status }) => nodeId === node.id && takesMemory.has(status.powerState))
			.reduce((sum, { spec }) => sum + spec.memory.sizeBytes, values.memoryBytes ?? 0);
		if (used > node.status.memoryBytes) {
			warnings.push(t.warnings.memory(formatBytes(used), formatBytes(node.status.memoryBytes)));
		}
		if (node.status.accelerator === "tcg") warnings.push(t.warnings.tcg);
	}
	const image = imageOf(values, refs);
	const pool = mainPool(values, refs);
	const freeBytes = pool ? currentSpace(pool) : null;
	const needed = diskBytesFor(values, refs) ?? 0;
	if (pool && freeBytes !== null && needed > freeBytes) {
		warnings.push(t.warnings.space(formatBytes(needed), formatBytes(freeBytes), pool.name));
	}
	const targets = nodesFor(values, refs);
	if (values.nodeId === "" && targets.length > 1 && roomiest(targets) === undefined) {
		const reasons = targets.map(({ node, obstacle }) => move.nodeOff(node.name, obstacle ?? ""));
		warnings.push(t.warnings.nowhere(reasons.join(" ")));
	}
	if (nobodyCanSignIn(values.cloudInit)) warnings.push(t.warnings.noLogin);
	if (values.cloudInit.kind === "none" && image && /cloud/i.test(`${image.name} ${image.tags.join(" ")}`)) {
		warnings.push(t.warnings.noCloudInit);
	}
	return warnings;
}
