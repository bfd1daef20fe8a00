/**
 * This host's part of the cluster: carries out the tasks of its VMs, volumes, images, networks and pools, adopts what
 * runs, reports what it sees, samples figures. One mutator per VM (vm-queue.ts), reconcilers woken by events and by
 * timers, planners that are pure (vm-plan.ts, vm-observe.ts, vm-settle.ts).
 *
 * The caller gives it everything that it touches, calls `startNode` once the cluster exists in the store, and `stop()`
 * before the store and the drivers are closed. Neither starting nor stopping changes a VM: libvirt owns them. Starting
 * does not wait for libvirt, which may be away; work that needs it waits, with a limit.
 */
import type { DomainEvent } from "../hypervisor/driver.ts";
import type { Timer } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import type { Event } from "../model/event.ts";
import { snapshotsToGo } from "../model/orphan-tasks.ts";
import { AddressPoller } from "./addresses.ts";
import { Adoption } from "./adoption.ts";
import { Autostart } from "./autostart.ts";
import { createContext, limited, type NodeContext, type NodeDeps } from "./context.ts";
import { discardVolume } from "./discard.ts";
import { ImageCopies } from "./image-copies.ts";
import { Images } from "./images.ts";
import { IoRecovery } from "./io-recovery.ts";
import { intervals, limits } from "./limits.ts";
import { Metrics } from "./metrics.ts";
import { Moves } from "./moves.ts";
import { Networks } from "./networks.ts";
import { LocalNodeService } from "./node-service.ts";
import { NodeStatusReporter } from "./node-status.ts";
import { Openings } from "./openings.ts";
import { adoptVolume } from "./orphan-adoption.ts";
import { deleteOrphans } from "./orphan-deletion.ts";
import { overwriteOf } from "./overwrite.ts";
import { type Looked, PoolChecks } from "./pool-checks.ts";
import { Pools } from "./pools.ts";
import { Screenshots } from "./screenshots.ts";
import type { NodeService } from "./service.ts";
import { type DeletionParts, deleteSnapshot } from "./snapshot-delete.ts";
import { abandonDeserted } from "./snapshot-take.ts";
import { LocalSources, type NodeSources } from "./sources.ts";
import { patchVm } from "./status.ts";
import { Strays } from "./strays.ts";
import { sweep } from "./sweep.ts";
import { TaskBoard } from "./task-board.ts";
import { type TaskHandlers, TaskRunner } from "./task-runner.ts";
import { Uploads } from "./uploads.ts";
import { VmQueues } from "./vm-queues.ts";
import { flattenVolume } from "./volume-flatten.ts";
import { moveVolume, type VolumeMoveParts } from "./volume-move.ts";
import { Bell, withLimit } from "./wait.ts";

export type { NodeDeps } from "./context.ts";

export type RunningNode = {
	service: NodeService;
	/** What other nodes may have of this one. */
	sources: NodeSources;
	/** Ends all loops; waits at most 10 s for steps in flight, and 5 s for the pools' drivers. VMs go on. Unfinished tasks stay for the next start. */
	stop(): Promise<void>;
};

export async function startNode(deps: NodeDeps): Promise<RunningNode> {
	const node = new LocalNode(deps);
	await node.start();
	return { service: node.service, sources: node.sources, stop: () => node.stop() };
}

class LocalNode {
	readonly service: NodeService;
	readonly sources: NodeSources;
	readonly #stopping = new AbortController();
	readonly #context: NodeContext;
	readonly #pools: Pools;
	readonly #checks: PoolChecks;
	readonly #networks: Networks;
	readonly #openings: Openings;
	readonly #ioRecovery: IoRecovery;
	readonly #copies: ImageCopies;
	readonly #moves: Moves;
	readonly #queues: VmQueues;
	readonly #strays: Strays;
	readonly #board: TaskBoard;
	readonly #runner: TaskRunner;
	readonly #status: NodeStatusReporter;
	readonly #metrics: Metrics;
	readonly #screenshots: Screenshots;
	readonly #addresses: AddressPoller;
	readonly #autostart: Autostart;
	#ends: (() => void)[] = [];
	#awayTimer: Timer | null = null;
	/** Loops and the start sequence. */
	readonly #background = new Set<Promise<void>>();

	constructor(deps: NodeDeps) {
		const context = createContext(deps, this.#stopping.signal);
		this.#context = context;
		this.#pools = new Pools(context, (poolId) =>
			this.#openings.userOf(poolId, (vmId) => this.#queues.mayGetDisks(vmId)),
		);
		this.#checks = new PoolChecks(context, this.#pools, (looked) => this.#lookedAtPool(looked));
		this.#openings = new Openings(context, this.#pools);
		this.#ioRecovery = new IoRecovery(context, (vmId) => this.#queues.liveMerges.settle(vmId));
		this.#networks = new Networks(context);
		this.#board = new TaskBoard(context, (task) => this.#runner.offer(task));
		this.#copies = new ImageCopies(context, this.#pools);
		this.#moves = new Moves(context, this.#pools);
		const pools = this.#pools;
		this.#queues = new VmQueues(context, {
			...{ pools, networks: this.#networks, board: this.#board, copies: this.#copies, moves: this.#moves },
			openings: this.#openings,
		});
		this.#strays = new Strays(context);
		this.sources = new LocalSources(context, pools);
		const uploads = new Uploads(context, this.#pools);
		const images = new Images(context, this.#pools, uploads, this.#queues);
		const handlers = this.#handlers(images);
		this.#runner = new TaskRunner(context, this.#board, handlers, (vmId) => this.#queues.get(vmId).wake());
		this.#status = new NodeStatusReporter(context);
		this.#metrics = new Metrics(context);
		this.#screenshots = new Screenshots(context);
		this.#addresses = new AddressPoller(context, (vmId, found) => this.#queues.get(vmId).setAddresses(found));
		this.#autostart = new Autostart(context, {
			...{ pools, isSeen: (vmId) => this.#queues.wasSeen(vmId) },
			say: (vmId, reason) => this.#sayWhileStopped(vmId, reason),
		});
		const adoption = new Adoption(context, this.#pools);
		const [metrics, screenshots] = [this.#metrics, this.#screenshots];
		this.service = new LocalNodeService({ context, pools: this.#pools, uploads, adoption, metrics, screenshots });
	}

	#handlers(images: Images): TaskHandlers {
		const { volumes } = this.#queues;
		const storage = { context: this.#context, pools: this.#pools };
		return {
			"volume.create": (id, run) =>
				snapshotsToGo(run.task).length > 0 ? adoptVolume(storage, id, run) : volumes.create(id, run),
			"volume.resize": (id, run) => volumes.resize(id, run),
			"volume.delete": (id, run) => volumes.delete(id, run),
			"volume.move": (id, run) => moveVolume(this.#volumeMoveParts(), id, run),
			"volume.check": (id, run) => volumes.check(id, run),
			"volume.flatten": (id, run) => flattenVolume({ ...storage, users: this.#queues }, id, run),
			"volume.discard": (_id, run) => discardVolume(storage, run),
			"snapshot.delete": (id, run) => deleteSnapshot(this.#snapshotParts(), id, run),
			"image.import": (id, run) => images.import(id, run),
			"image.delete": (id, run) => images.delete(id, run),
			"network.create": (id, run) => this.#networks.create(id, run),
			"network.delete": (id, run) => this.#networks.delete(id, run, this.#queues),
			"pool.create": (id, run) => this.#pools.create(id, overwriteOf(this.#context, run.task)),
			"pool.delete": (id) => this.#pools.delete(id),
			"pool.deleteOrphans": (id, run) => deleteOrphans(storage, id, run),
		};
	}

	#snapshotParts(): DeletionParts {
		const queues = this.#queues;
		return { context: this.#context, pools: this.#pools, users: queues, merges: queues.liveMerges };
	}

	#volumeMoveParts(): VolumeMoveParts {
		const queues = this.#queues;
		const own = { context: this.#context, pools: this.#pools, openings: this.#openings };
		return { ...own, users: queues, moves: queues.volumeMoves };
	}

	async start(): Promise<void> {
		const { store, hypervisor } = this.#context;
		if (await this.#autostart.hostWasRestarted()) this.#queues.hostWasRestarted();
		this.#ends.push(hypervisor.onEvent((event) => this.#onDomainEvent(event)));
		this.#ends.push(store.subscribe((events) => this.#onStoreEvents(events)));
		this.#board.load();
		this.#run("the start of the node", () => this.#bringUp());
		// A round is not waited for: a pool that hangs would keep the others from the next one.
		this.#every(intervals.poolCheckMs, "checking pools", async () =>
			this.#run("checking pools", () => this.#checks.run()),
		);
		this.#every(intervals.metricsMs, "sampling figures", () => this.#metrics.sample());
		this.#every(intervals.addressesMs, "reading addresses", () => this.#addresses.poll());
		this.#every(intervals.resyncMs, "comparing all VMs", () => this.#resync());
		this.#every(intervals.resyncMs, "tidying up", () => this.#tidyUp());
	}

	async stop(): Promise<void> {
		const reason = new AppError("canceled", "The node's service is ending.");
		for (const end of this.#ends.splice(0)) end();
		this.#awayTimer?.cancel();
		this.#stopping.abort(reason);
		this.#board.abortAll(reason);
		const inFlight = [...this.#queues.running(), ...this.#runner.running(), ...this.#background];
		const options = { what: "Steps in flight", limitMs: limits.stopMs };
		await withLimit(this.#context.clock, options, () => Promise.all(inFlight)).catch((error) =>
			this.#context.logger.warn("the node ends although steps are in flight", { error }),
		);
		await this.#pools.end();
	}

	#lookedAtPool({ poolId, isBack }: Looked): void {
		const signal = this.#stopping.signal;
		this.#ioRecovery.run((vmId, work) => this.#queues.whileStill(vmId, signal, work));
		this.#autostart.poolsChanged();
		if (!isBack) return;
		this.#run("giving libvirt the key of a pool", () => this.#openings.putSecretsOf(poolId));
		this.#queues.poolIsBack(poolId);
	}

	#sayWhileStopped(vmId: string, reason: string | null): void {
		this.#run("saying why a VM has not started", () =>
			this.#queues.whileStill(vmId, this.#stopping.signal, async () => {
				if (this.#context.store.get("vm", vmId)?.status.powerState !== "stopped") return;
				await patchVm(this.#context, vmId, { reason });
			}),
		);
	}

	/**
	 * In the order in which things need each other. Nothing here fails the start: what does not work says so itself. Nothing waits for
	 * storage for longer than a pool that answers needs: what is late is made up for when it answers.
	 */
	async #bringUp(): Promise<void> {
		const { connection, stopping } = this.#context;
		this.#run("tidying up after tries of pools", () => this.#pools.tidy());
		// What was a pool's that is gone may be in the way of another one, and no libvirt is needed for it.
		const pools = this.#aWhile(this.#pools.sweep()).then(() => this.#aWhile(this.#checks.run()));
		await Promise.all([pools, this.#status.refresh(), this.#metrics.sample()]);
		while (!connection.connected) await connection.wait(limits.hypervisorWaitMs, stopping).catch(throwIf(stopping));
		await this.#readAnew();
		await withLimit(this.#context.clock, { what: "Looking at all VMs", limitMs: limits.readMs }, () =>
			Promise.all(this.#queues.looking()),
		).catch(throwIf(stopping));
		this.#run("tidying up", () => this.#removeForgotten().then(() => this.#abandonSnapshots()));
		await this.#autostart.run();
	}

	async #aWhile(work: Promise<void>): Promise<void> {
		const options = { what: "Making the pools ready", limitMs: limits.poolCheckMs };
		await withLimit(this.#context.clock, options, () => work).catch(throwIf(this.#stopping.signal));
	}

	/** Of VMs that did not come here after all, and of pools and images that are gone. */
	async #removeForgotten(): Promise<void> {
		// It takes as long as the slowest of their storage does.
		this.#run("letting go of pools that are gone", () => this.#pools.sweep());
		await this.#moves.sweep();
		await this.#queues.volumeMoves.sweep();
		await this.#queues.liveMerges.sweep(this.#queues);
		await this.#copies.sweep();
	}

	#abandonSnapshots(): Promise<void> {
		return abandonDeserted({ context: this.#context, pools: this.#pools }, this.#board, this.#queues);
	}

	/** libvirt is there (again): nothing that was read before counts. */
	async #readAnew(): Promise<void> {
		await this.#openings.putAllSecrets();
		this.#queues.lookAtAll();
		await this.#networks.ensureAll();
		await this.#status.refresh();
		await this.#lookForStrays();
	}

	async #lookForStrays(): Promise<void> {
		if (!this.#context.connection.connected) return;
		const domains = await limited(this.#context, "Listing the VMs", limits.readMs, () =>
			this.#context.hypervisor.listDomains(),
		);
		await this.#strays.look(domains);
	}

	/** Of a VM that came to another node, or of a domain that is no VM of this node. */
	#lookForStray(id: string): void {
		if (this.#context.connection.connected)
			this.#run("looking for a VM of another node", () => this.#strays.lookAt(id));
	}

	async #ensureNew(networkId: string): Promise<void> {
		// Its task, if it is this node's, comes with the same events.
		await Promise.resolve();
		if (this.#board.find("network.create", networkId) === null) await this.#networks.ensureNew(networkId);
	}

	async #resync(): Promise<void> {
		this.#board.load();
		this.#runner.offerAll();
		await sweep(this.#context, this.#queues.volumes);
		await this.#queues.resync();
		await this.#lookForStrays();
		await this.#status.refresh();
		await this.#networks.ensureUnready();
	}

	/** Apart from the VMs, which must not wait for what hangs in storage. */
	async #tidyUp(): Promise<void> {
		await this.#removeForgotten();
		await this.#abandonSnapshots();
		await this.#openings.sweep(
			(vmId) => this.#queues.mayRun(vmId),
			(volumeId, poolId) => this.#queues.volumeMoves.keepsOpen(volumeId, poolId),
		);
	}

	#onStoreEvents(events: readonly Event[]): void {
		for (const event of events) {
			this.#board.onEvent(event);
			this.#queues.onStoreEvent(event);
			this.#strays.onStoreEvent(event);
			if (event.target.kind === "vm" && this.#queues.wentElsewhere(event)) this.#lookForStray(event.target.id);
			if (event.target.kind === "task") this.#autostart.taskChanged(event);
			// Others may have said of it that it is lost.
			if (event.target.kind === "node" && event.target.id === this.#context.nodeId)
				this.#run("reporting the node", () => this.#status.report());
			// Who deletes a volume group waits for the other nodes to leave it.
			if (event.target.kind === "pool" && (event.type === "deleted" || this.#pools.isDeleted(event.target.id)))
				this.#run("giving the folder of a deleted pool free", () => this.#removeForgotten());
			if (event.target.kind === "image" && event.type === "deleted")
				this.#run("removing the copy of an image", () => this.#copies.sweep());
			if (event.target.kind === "network" && event.type === "deleted")
				this.#run("removing a network", () => this.#networks.removeForgotten());
			if (event.target.kind === "network" && event.type === "created")
				this.#run("making a network ready", () => this.#ensureNew(event.target.id));
		}
	}

	#onDomainEvent(event: DomainEvent): void {
		if (event.kind !== "connection") {
			if (event.kind === "lifecycle") {
				this.#screenshots.forget(event.id);
				this.#lookForStray(event.id);
			}
			this.#queues.onDomainEvent(event);
			return;
		}
		this.#context.connection.changed();
		this.#run("reporting the node", () => this.#status.report());
		if (!this.#context.connection.connected) this.#lookWhenAway();
		else this.#run("reading anew", () => this.#readAnew());
	}

	#run(what: string, work: () => Promise<unknown>): void {
		if (this.#stopping.signal.aborted) return;
		const running: Promise<void> = work().then(
			() => {},
			(error) => {
				if (!this.#stopping.signal.aborted) this.#context.logger.warn(`failed: ${what}`, { error });
			},
		);
		this.#background.add(running);
		void running.then(() => this.#background.delete(running));
	}

	/** Not at once: a libvirtd that is restarted is back before anybody need hear of it. Counted from when it went. */
	#lookWhenAway(): void {
		const leftMs = limits.hypervisorAwayMs - this.#context.connection.awayMs();
		this.#awayTimer?.cancel();
		if (leftMs < 0) return;
		this.#awayTimer = this.#context.clock.schedule(leftMs + 1, () => this.#queues.lookAtAlive());
	}

	/** Again and again, with `periodMs` between the end of one round and the beginning of the next. */
	#every(periodMs: number, what: string, work: () => Promise<unknown>): void {
		this.#run(what, async () => {
			for (;;) {
				await new Bell().wait(this.#context.clock, periodMs, this.#stopping.signal);
				await work().catch((error) => {
					if (!this.#stopping.signal.aborted) this.#context.logger.warn(`failed: ${what}`, { error });
				});
			}
		});
	}
}

/** Goes on, unless the node ends. */
const throwIf = (stopping: AbortSignal) => () => stopping.throwIfAborted();
