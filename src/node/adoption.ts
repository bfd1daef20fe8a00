/**
 * Domains in libvirt that are no VM of ours: listed, with what stands against adopting each, and turned into the records
 * with which they become ours (command vmAdopt; the task vm.adopt then takes over the files and the definition).
 * Domains that are ours are adopted without asking: at start and at each reconnect the VM queues look at all of them
 * (vm-queues.ts, vm-look.ts).
 */
import type { DomainState, ForeignDomain } from "../hypervisor/driver.ts";
import { toRfc3339 } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { isUuid } from "../lib/ids.ts";
import { MiB } from "../lib/units.ts";
import type { Network } from "../model/network.ts";
import { namePattern } from "../model/schema.ts";
import type { Pool, Volume } from "../model/storage.ts";
import { defaultShutdownTimeoutMs, type ForeignVm, macPattern, type Vm, type VmSpec } from "../model/vm.ts";
import { limited, type NodeContext } from "./context.ts";
import { Semaphore } from "./gates.ts";
import { limits } from "./limits.ts";
import { isHere } from "./pools.ts";

/** What a plan is made from, so that making it is pure. */
export type AdoptionView = {
	nodeId: string;
	now: string;
	newId: () => string;
	networks: Network[];
	/** Where adopted volumes are recorded; null: there is no pool on this node. */
	pool: Pool | null;
	nameTaken: (kind: "vm" | "volume", name: string) => boolean;
	/** Length of the disk, when it is known; the driver corrects it when it takes the file over. */
	sizeOf: (path: string) => number | null;
};

export class Adoption {
	readonly #context: NodeContext;
	readonly #reads = new Semaphore(4);

	constructor(context: NodeContext) {
		this.#context = context;
	}

	/** `unavailable` while libvirt is away. */
	async foreignVms(): Promise<ForeignVm[]> {
		const domains = await limited(this.#context, "Listing the VMs", limits.readMs, () =>
			this.#context.hypervisor.listDomains(),
		);
		const foreign = domains.filter((domain) => this.#context.store.get("vm", domain.id) === null);
		return Promise.all(foreign.map((domain) => this.#reads.run(() => this.#describe(domain))));
	}

	/** Records for vmAdopt. `not-found`, or `wrong-state` with the obstacles. */
	async plan(domainId: string): Promise<{ vm: Vm; volumes: Volume[] }> {
		if (!isUuid(domainId)) throw new AppError("not-found", "There is no such VM in libvirt.");
		const known = this.#context.store.get("vm", domainId);
		if (known) throw new AppError("already-exists", `This is VM "${known.name}" of LimiQuantix already.`);
		const domain = await limited(this.#context, "Reading the VM's state", limits.readMs, () =>
			this.#context.hypervisor.getDomain(domainId),
		);
		if (!domain) throw new AppError("not-found", "There is no such VM in libvirt.");
		const foreign = await this.#inspect(domain);
		const view = this.#view();
		const obstacles = typeof foreign === "string" ? [foreign] : [...foreign.obstacles, ...obstaclesOf(foreign, view)];
		if (typeof foreign === "string" || obstacles.length > 0)
			throw new AppError("wrong-state", `The VM cannot be adopted: ${obstacles.join(" ")}`);
		return planAdoption(foreign, view);
	}

	async #describe(domain: DomainState): Promise<ForeignVm> {
		const base = { id: domain.id, name: domain.name, nodeId: this.#context.nodeId, powerState: domain.powerState };
		const foreign = await this.#inspect(domain);
		if (typeof foreign === "string") return { ...base, vcpus: 0, memoryBytes: 0, obstacles: [foreign] };
		const { vcpus, memoryBytes } = foreign;
		return { ...base, vcpus, memoryBytes, obstacles: [...foreign.obstacles, ...obstaclesOf(foreign, this.#view())] };
	}

	/** The domain, or why it cannot be read, as a sentence. */
	async #inspect(domain: DomainState): Promise<ForeignDomain | string> {
		if (domain.ours)
			return "It was made by LimiQuantix, but the cluster has no record of it. If it belongs to another cluster or to an old state, leave it there; else remove it with virsh undefine.";
		try {
			return await limited(this.#context, "Reading the VM's definition", limits.readMs, () =>
				this.#context.hypervisor.inspectForeign(domain.id),
			);
		} catch (error) {
			return error instanceof AppError ? error.message : "Its definition cannot be read.";
		}
	}

	#view(): AdoptionView {
		const { store, nodeId, clock, ids } = this.#context;
		const pools = store.all("pool").filter((pool) => isHere(pool, nodeId) && pool.phase !== "deleting");
		const byAge = pools.sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1));
		return {
			nodeId,
			now: toRfc3339(clock.nowMs()),
			newId: () => ids.newId(),
			networks: store.all("network").filter((network) => !network.deleting),
			pool: byAge.find((pool) => pool.type === "local") ?? null,
			nameTaken: (kind, name) => store.count(kind, { name }) > 0,
			sizeOf: () => null,
		};
	}
}

/** What our side has against it, as sentences. Pure. */
export function obstaclesOf(foreign: ForeignDomain, view: AdoptionView): string[] {
	const obstacles: string[] = [];
	if (view.pool === null) obstacles.push("There is no local storage pool on this node to record its disks in.");
	for (const nic of foreign.nics) {
		if (networkOf(nic, view) !== null) {
			if (!new RegExp(macPattern).test(nic.mac.toLowerCase()))
				obstacles.push(`Its MAC address ${nic.mac} is not a unicast address.`);
			continue;
		}
		const where = nic.bridge ?? nic.network ?? "nothing";
		obstacles.push(
			`Its NIC ${nic.mac} is on ${where}, which is no network of LimiQuantix: add a network for that bridge.`,
		);
	}
	return obstacles;
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

/** Only without obstacles. Pure but for the ids. The disks stay in their order: the task finds their files by it. */
export function planAdoption(foreign: ForeignDomain, view: AdoptionView): { vm: Vm; volumes: Volume[] } {
	const { now } = view;
	const pool = view.pool;
	if (!pool) throw new AppError("wrong-state", "There is no local storage pool on this node.");
	const name = freeName(foreign.name, "vm", view);
	const volumes = foreign.disks.map((disk): Volume => {
		const id = view.newId();
		return {
			...{ id, generation: 1, createdAt: now, updatedAt: now },
			name: freeName(`${name}-${disk.target}`, "volume", view),
			poolId: pool.id,
			nodeId: view.nodeId,
			format: disk.format,
			sizeBytes: Math.max(MiB, view.sizeOf(disk.path) ?? MiB),
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
		description: "",
		tags: [],
		nodeId: view.nodeId,
		spec: specOf(foreign, volumes, view),
		desiredPower: !alive ? "stopped" : foreign.powerState === "paused" ? "paused" : "running",
		deleting: false,
		status: {
			powerState: foreign.powerState,
			reason: null,
			observedGeneration: 0,
			pendingRestart: false,
			differences: [],
			accelerator: null,
			startedAt: null,
			addresses: [],
			taskId: null,
			error: null,
			updatedAt: now,
		},
	};
	return { vm, volumes };
}

function specOf(foreign: ForeignDomain, volumes: readonly Volume[], view: AdoptionView): VmSpec {
	const disks = foreign.disks.map((disk, index) => ({
		id: `disk-${index}`,
		volumeId: volumes[index]?.id ?? "",
		bus: disk.bus,
		cache: "none" as const,
		discard: false,
		readOnly: false,
	}));
	return {
		firmware: foreign.firmware,
		tpm: false,
		cpu: { vcpus: foreign.vcpus, maxVcpus: Math.max(foreign.vcpus, foreign.maxVcpus), model: "portable" },
		memory: {
			sizeBytes: foreign.memoryBytes,
			maxSizeBytes: Math.max(foreign.memoryBytes, foreign.maxMemoryBytes),
		},
		disks,
		cdroms: [],
		nics: foreign.nics.map((nic, index) => ({
			id: `nic-${index}`,
			networkId: networkOf(nic, view)?.id ?? "",
			mac: nic.mac.toLowerCase(),
			model: nic.model,
			linkUp: true,
		})),
		bootOrder: disks.slice(0, 1).map((disk) => disk.id),
		cloudInit: null,
		autostart: { enabled: false, order: 0, delayMs: 0 },
		shutdownTimeoutMs: defaultShutdownTimeoutMs,
	};
}

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
