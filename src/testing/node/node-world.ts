/**
 * A node with everything around it simulated: the real store in memory, fake drivers, a clock that tests move. The
 * world outlives the node: `kill()` ends the process at once, `boot()` starts the next one on what is left.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { HypervisorDriver } from "../../hypervisor/driver.ts";
import { FakeHypervisor } from "../../hypervisor/fake.ts";
import { type IdSource, idSource } from "../../lib/ids.ts";
import { silentLogger } from "../../lib/log.ts";
import { MiB } from "../../lib/units.ts";
import type { Image, Volume } from "../../model/storage.ts";
import { isFinished, type Task, type TaskKind } from "../../model/task.ts";
import type { Vm, VmSpec } from "../../model/vm.ts";
import { FakeNetworks } from "../../network/fake.ts";
import { type NodeDeps, type RunningNode, startNode } from "../../node/node.ts";
import type { StorageDriver } from "../../storage/driver.ts";
import { FakePool, FakeStorageDriver } from "../../storage/fake.ts";
import type { CommandBody } from "../../store/command.ts";
import type { Store } from "../../store/store.ts";
import {
	clusterIds,
	fixtureCluster,
	fixtureImage,
	fixtureTask,
	fixtureVm,
	fixtureVmSpec,
	fixtureVolume,
} from "../fixtures.ts";
import { ManualClock } from "../manual-clock.ts";
import { type MemoryStore, openMemoryStore } from "../memory-store.ts";
import { type KillPoint, Life } from "./life.ts";
import { findProblems } from "./node-problems.ts";
import { copyContent, fileDeps, remoteDeps, simulatedHost } from "./world-deps.ts";

export type VmPlan = {
	id?: string;
	name?: string;
	spec?: Partial<VmSpec>;
	/** New volumes, one disk each. */
	volumes?: Partial<Volume>[];
	start?: boolean;
	paused?: boolean;
};

export class NodeWorld {
	readonly nodeId: string;
	readonly clock: ManualClock;
	readonly hypervisor: FakeHypervisor;
	readonly networks: FakeNetworks;
	/** Other nodes of the cluster, by id: see second-node.ts. */
	readonly others = new Map<string, NodeWorld>();
	/** By pool id. */
	readonly pools = new Map<string, FakePool>([[clusterIds.pool, new FakePool()]]);
	/** The drivers of the present life, by pool id: for failNext and hold. */
	readonly drivers = new Map<string, FakeStorageDriver>();
	readonly ids: IdSource;
	bootId = "boot-1";
	/** Called before the file of a volume is deleted. */
	beforeDeleteVolume: (volumeId: string) => Promise<void> = async () => {};
	/** Features that some member of the cluster has not got. */
	readonly unknownToSome = new Set<string>();
	node: RunningNode | null = null;
	life = new Life();
	readonly #files = new Set<Promise<unknown>>();
	readonly #store: MemoryStore;
	readonly dataDir: string;

	private constructor(store: MemoryStore, dataDir: string, seed: number, nodeId: string, clock: ManualClock) {
		this.nodeId = nodeId;
		this.clock = clock;
		this.hypervisor = new FakeHypervisor({ clock });
		this.hypervisor.diskCopied = (from, to) => copyContent([...this.pools.values()], from, to);
		this.networks = new FakeNetworks({ clock });
		let number = seed;
		// The same ids for the same seed.
		this.ids = idSource(this.clock, {
			bytes: (length) => sha256(`${seed} ${++number}`).slice(0, length),
		});
		this.#store = store;
		this.dataDir = dataDir;
	}

	static async open(seed = 1): Promise<NodeWorld> {
		const dataDir = await mkdtemp(join(tmpdir(), "lqx-node-"));
		const clock = new ManualClock(Date.UTC(2030, 0, 1));
		const store = await openMemoryStore({
			clock: { nowMs: () => clock.nowMs(), monotonicMs: () => 0, schedule: () => ({ cancel() {} }) },
			commands: [fixtureCluster()],
		});
		return new NodeWorld(store, dataDir, seed, clusterIds.node, clock);
	}

	/** Another node of the same cluster; the state has to know it already. Disposed of before this one. */
	async beside(nodeId: string): Promise<NodeWorld> {
		const dataDir = await mkdtemp(join(tmpdir(), "lqx-node-"));
		const other = new NodeWorld(this.#store, dataDir, 1_000_000, nodeId, this.clock);
		this.others.set(nodeId, other);
		other.others.set(this.nodeId, this);
		return other;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.life.end();
		if (this.nodeId === clusterIds.node) await this.#store.close();
		await rm(this.dataDir, { recursive: true, force: true });
	}

	get store(): Store {
		return this.#store;
	}

	get service() {
		if (!this.node) throw new Error("the node does not run");
		return this.node.service;
	}

	get pool(): FakePool {
		return this.pools.get(clusterIds.pool) as FakePool;
	}

	get driver(): FakeStorageDriver {
		return this.drivers.get(clusterIds.pool) as FakeStorageDriver;
	}

	propose(body: CommandBody) {
		return this.#store.proposer.proposeSystem(body);
	}

	/** Starts the node's next process, killed at `kill`. Resolves when it has started, or has died. */
	async boot(kill: KillPoint | null = null, changes: Partial<NodeDeps> = {}): Promise<void> {
		this.life.end();
		await this.#onDisk();
		const death = Promise.withResolvers<void>();
		const life = new Life(kill, () => death.resolve());
		this.life = life;
		this.node = null;
		const started = startNode({ ...this.#deps(life), ...changes }).then((node) => {
			this.node = node;
		});
		await Promise.race([started, death.promise]);
	}

	kill(): void {
		this.life.end();
		this.node = null;
	}

	/** The host loses power and comes back: what ran is gone. */
	powerCut(): void {
		this.kill();
		this.bootId = `${this.bootId}+`;
		this.hypervisor.hostRestarts();
	}

	#deps(life: Life): NodeDeps {
		this.drivers.clear();
		const { hypervisor } = this;
		const wrapped = life.wrap<HypervisorDriver>("hypervisor", hypervisor, ["info", "onEvent"]);
		const store = new Proxy(this.#store, {
			get: (target, key) => {
				if (key === "subscribe")
					return (listener: Parameters<Store["subscribe"]>[0]) => target.subscribe(life.listener(listener));
				const value: unknown = Reflect.get(target, key, target);
				return typeof value === "function" ? value.bind(target) : value;
			},
		});
		return {
			nodeId: this.nodeId,
			version: "test",
			dataDir: this.dataDir,
			demoImage: null,
			store,
			proposer: {
				propose: (body, meta) => life.around(`propose.${body.kind}`, () => this.#store.proposer.propose(body, meta)),
				proposeSystem: (body) => life.around(`propose.${body.kind}`, () => this.#store.proposer.proposeSystem(body)),
			},
			hypervisor: new Proxy(wrapped, {
				get: (target, key) => {
					if (key !== "onEvent") return Reflect.get(target, key, target);
					return (listener: Parameters<HypervisorDriver["onEvent"]>[0]) => hypervisor.onEvent(life.listener(listener));
				},
			}),
			credentials: async () => null,
			storage: {
				open: (pool) => this.#openPool(life, pool.id),
				discover: async () => ({ exports: [], cephPools: [], targets: [], luns: [] }),
			},
			network: life.wrap("network", this.networks),
			everybodyHas: (feature) => !this.unknownToSome.has(feature),
			...fileDeps(life, this.dataDir, (work) => this.#file(work)),
			remote: remoteDeps(life, this.nodeId, (nodeId) => this.others.get(nodeId)?.node?.sources),
			fetchUrl: ({ url, imageId, driver }) =>
				life.around("fetchUrl", async () => {
					const bytes = this.pool.hostFiles.get(url) ?? new Uint8Array(512);
					const file = await driver.openUpload(imageId, bytes.length, { restart: true });
					await file.write(bytes);
					await file.close();
				}),
			host: simulatedHost(this.clock, () => this.bootId),
			accelerator: { kind: "tcg", reason: "simulated" },
			clock: life.clock(this.clock),
			ids: this.ids,
			logger: silentLogger,
		};
	}

	/** The real file system is slower than everything else here: what it was asked for is waited for. */
	#file<T>(work: Promise<T>): Promise<T> {
		this.#files.add(work);
		return work.finally(() => this.#files.delete(work));
	}

	async #onDisk(): Promise<void> {
		while (this.#files.size > 0) await Promise.allSettled(this.#files);
	}

	#openPool(life: Life, poolId: string): StorageDriver {
		const pool = this.pools.get(poolId) ?? new FakePool(`/fake/${poolId}`);
		this.pools.set(poolId, pool);
		const driver = new FakeStorageDriver(pool);
		this.drivers.set(poolId, driver);
		pool.isHeld = (path) => this.hypervisor.holds(path);
		if (driver.snapshots) driver.snapshots = life.wrap("snapshots", driver.snapshots);
		const deleteVolume = driver.deleteVolume.bind(driver);
		driver.deleteVolume = async (id) => {
			await this.beforeDeleteVolume(id);
			await deleteVolume(id);
		};
		// A process that died had its files closed.
		for (const upload of pool.uploads.values()) upload.writer = null;
		return life.wrap<StorageDriver>("storage", driver);
	}

	// What a person does.

	task(kind: TaskKind, targetId: string, input: Task["input"] = {}, cancelable = true): Task {
		const target = kind.slice(0, kind.indexOf(".")) as "vm" | "volume" | "image" | "network" | "pool";
		return fixtureTask(
			kind,
			{ kind: target, id: targetId },
			{ id: this.ids.newId(), input, cancelable, nodeId: this.nodeId },
		);
	}

	/** Returns the VM's id and the task's. */
	async createVm(plan: VmPlan = {}): Promise<{ id: string; taskId: string; volumeIds: string[] }> {
		const id = plan.id ?? this.ids.newId();
		const name = plan.name ?? `vm-${id.slice(-8)}`;
		const volumes = (plan.volumes ?? []).map((volume, index) =>
			fixtureVolume({
				...{ id: this.ids.newId(), name: `${name}-${index}`, sizeBytes: 64 * MiB, nodeId: this.nodeId },
				...volume,
			}),
		);
		const spec = fixtureVmSpec({
			disks: volumes.map((volume, index) => diskOf(volume.id, index)),
			nics: [{ id: "nic-0", networkId: clusterIds.network, mac: macOf(id), model: "virtio", linkUp: true }],
			...plan.spec,
		});
		const task = this.task("vm.create", id, { start: plan.start ?? true });
		const desiredPower = (plan.start ?? true) ? "running" : "stopped";
		await this.propose({
			kind: "vmCreate",
			vm: fixtureVm({ id, name, spec, desiredPower, nodeId: this.nodeId }),
			volumes,
			task,
		});
		return { id, taskId: task.id, volumeIds: volumes.map((volume) => volume.id) };
	}

	async act(kind: TaskKind, vmId: string, input: Task["input"] = {}): Promise<string> {
		const task = this.task(kind, vmId, input);
		await this.propose({ kind: "vmAction", id: vmId, task });
		return task.id;
	}

	async update(vmId: string, change: (spec: VmSpec) => VmSpec, name?: string): Promise<string> {
		const task = this.task("vm.update", vmId, {}, false);
		const vm = this.vm(vmId);
		await this.propose({
			kind: "vmUpdate",
			id: vmId,
			spec: change(structuredClone(vm.spec)),
			task,
			...(name === undefined ? {} : { name }),
		});
		return task.id;
	}

	async deleteVm(vmId: string, deleteVolumes = true): Promise<string> {
		const task = this.task("vm.delete", vmId, { deleteVolumes }, false);
		await this.propose({ kind: "vmDelete", id: vmId, deleteVolumes, task });
		return task.id;
	}

	async createVolume(changes: Partial<Volume> = {}): Promise<{ id: string; taskId: string }> {
		const id = changes.id ?? this.ids.newId();
		const volume = fixtureVolume({ id, name: `volume-${id.slice(-8)}`, sizeBytes: 64 * MiB, ...changes });
		const task = this.task("volume.create", id);
		await this.propose({ kind: "volumeCreate", volume, task });
		return { id, taskId: task.id };
	}

	async createImage(changes: Partial<Image> = {}): Promise<{ id: string; taskId: string }> {
		const id = this.ids.newId();
		const image = fixtureImage({ id, name: `image-${id.slice(-8)}`, format: "raw", ...changes });
		const task = this.task("image.import", id);
		await this.propose({ kind: "imageCreate", image, task });
		return { id, taskId: task.id };
	}

	// What is.

	vm(id: string): Vm {
		const vm = this.#store.get("vm", id);
		if (!vm) throw new Error("there is no such VM");
		return vm;
	}

	volume(id: string): Volume {
		const volume = this.#store.get("volume", id);
		if (!volume) throw new Error("there is no such volume");
		return volume;
	}

	taskOf(id: string): Task {
		const task = this.#store.get("task", id);
		if (!task) throw new Error("there is no such task");
		return task;
	}

	unfinished(): Task[] {
		return this.#store.all("task").filter((task) => !isFinished(task.state));
	}

	/**
	 * Lets the node work until `until` holds. Time stands still while anything goes on, and moves by `stepMs` when
	 * nothing does, at most `limitMs` in all. Fails when it does not come to pass.
	 */
	async until(until: () => boolean, options: { stepMs?: number; limitMs?: number } = {}): Promise<void> {
		const stepMs = options.stepMs ?? 0;
		const endsAtMs = this.clock.monotonicMs() + (options.limitMs ?? 0);
		while (!until()) {
			if (this.life.dead) return;
			await this.settleLoops(until);
			if (until() || this.life.dead) return;
			if (stepMs === 0 || this.clock.monotonicMs() >= endsAtMs) throw new Error(`did not come to pass: ${until}`);
			this.clock.advance(stepMs);
		}
	}

	/** Until nothing is unfinished and nothing moves. */
	async settle(options: { stepMs?: number; limitMs?: number } = {}): Promise<void> {
		await this.until(() => this.unfinished().length === 0, options);
		await this.settleLoops();
	}

	/** Until nothing moves, whatever is unfinished, or `until` holds. */
	async settleLoops(until: () => boolean = () => false): Promise<void> {
		let seen = -1;
		for (let quiet = 0; quiet < 8; ) {
			for (const world of [this, ...this.others.values()]) await world.#onDisk();
			await turn();
			if (this.life.dead || until()) return;
			const progress = this.#progress();
			quiet = progress === seen ? quiet + 1 : 0;
			seen = progress;
		}
	}

	#progress(): number {
		const calls = [this, ...this.others.values()].map(
			({ hypervisor, life }) => hypervisor.calls.length + life.calls.length,
		);
		return calls.reduce((sum, count) => sum + count, this.#store.appliedIndex);
	}

	/** What is orphaned, stuck or untrue, as sentences; empty when all is well. */
	problems(): Promise<string[]> {
		return findProblems(this);
	}
}

const sha256 = (text: string): Uint8Array => new Bun.CryptoHasher("sha256").update(text).digest();

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export const diskOf = (volumeId: string, index: number): VmSpec["disks"][number] => ({
	...{ id: `disk-${index}`, volumeId },
	...{ bus: "virtio", cache: "none", discard: true, readOnly: false },
});

/** A MAC address that is as unique as the id. */
export const macOf = (id: string): string => {
	const hex = id.replaceAll("-", "").slice(-10);
	return `52:${hex.match(/../g)?.join(":")}`;
};
