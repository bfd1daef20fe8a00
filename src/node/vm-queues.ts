/**
 * The queues of all VMs of this node: made when first needed, woken by tasks, by the hypervisor's events and by a full
 * comparison every 30 seconds, which reads all domains at once and wakes only the VMs that differ from their record.
 */
import type { DomainEvent, DomainState } from "../hypervisor/driver.ts";
import { AppError, isAppError } from "../lib/errors.ts";
import type { Event } from "../model/event.ts";
import type { Volume } from "../model/storage.ts";
import type { TaskKind } from "../model/task.ts";
import type { Vm } from "../model/vm.ts";
import { limited, type NodeContext } from "./context.ts";
import { limits } from "./limits.ts";
import { LiveMerges } from "./live-merges.ts";
import { poolsOf } from "./pool-wait.ts";
import { isActive } from "./vm-plan.ts";
import { type QueueParts, VmQueue } from "./vm-queue.ts";
import { VolumeMoves } from "./volume-moves.ts";
import { Volumes, type VolumeUsers } from "./volumes.ts";

/** What is never given a disk. */
const opensNothing: readonly TaskKind[] = ["vm.move", "vm.shutdown", "vm.stop", "vm.delete", "volume.discard"];

export class VmQueues implements VolumeUsers {
	readonly #context: NodeContext;
	readonly #parts: QueueParts;
	readonly #queues = new Map<string, VmQueue>();
	readonly #seen = new Set<string>();
	#hostRestarted = false;
	#lookedAtAll = false;
	readonly volumes: Volumes;
	readonly volumeMoves: VolumeMoves;
	readonly liveMerges: LiveMerges;

	constructor(
		context: NodeContext,
		given: Omit<QueueParts, "context" | "volumes" | "volumeMoves" | "liveMerges" | "hostRestarted" | "seen">,
	) {
		this.#context = context;
		this.volumes = new Volumes(context, given.pools, this, given.copies);
		this.volumeMoves = new VolumeMoves(context, given.pools);
		this.liveMerges = new LiveMerges(context, given.pools);
		this.#parts = {
			...given,
			context,
			volumes: this.volumes,
			volumeMoves: this.volumeMoves,
			liveMerges: this.liveMerges,
			hostRestarted: (vmId) => this.#hostRestarted && !this.#seen.has(vmId),
			seen: (vmId) => void this.#seen.add(vmId),
		};
	}

	/** Call before the first look: whatever ran before has ended with the host. */
	hostWasRestarted(): void {
		this.#hostRestarted = true;
	}

	/** Has it been looked at since this process started? */
	wasSeen(vmId: string): boolean {
		return this.#seen.has(vmId);
	}

	/** Was it this node's, as far as this process knows? */
	wentElsewhere({ target, object }: Event): boolean {
		const vm = object as Vm | null;
		return vm !== null && vm.nodeId !== this.#context.nodeId && this.#queues.has(target.id);
	}

	get(vmId: string): VmQueue {
		const queue = this.#queues.get(vmId) ?? new VmQueue(this.#parts, vmId);
		this.#queues.set(vmId, queue);
		return queue;
	}

	onStoreEvent(event: Event): void {
		if (event.target.kind === "vm" && event.type === "deleted") this.#forget(event.target.id);
		// A VM may wait for its volume.
		const vmId = event.target.kind === "volume" ? ((event.object as Volume | null)?.vmId ?? null) : null;
		if (vmId !== null) this.#queues.get(vmId)?.wake();
		if (event.target.kind !== "image") return;
		this.volumes.imageChanged();
		for (const queue of this.#queues.values()) if (queue.task) queue.wake();
	}

	onDomainEvent(event: DomainEvent): void {
		if (event.kind === "connection" || !this.#isMine(event.id)) return;
		if (event.kind === "lifecycle" || event.kind === "io-error") this.get(event.id).wake({ compare: false });
	}

	/** At start, and when libvirt came back: looks at every VM and compares it with its spec. */
	lookAtAll(): void {
		this.#lookedAtAll = true;
		for (const vm of this.#mine()) this.get(vm.id).wake({ compare: true });
	}

	/** VMs that use it may not have been compared with their spec while it did not work. */
	poolIsBack(poolId: string): void {
		const { store, connection } = this.#context;
		if (!this.#lookedAtAll || !connection.connected) return;
		for (const vm of this.#mine())
			if (poolsOf(store, vm.spec).includes(poolId)) this.get(vm.id).wake({ compare: true });
	}

	/** libvirt is away: what ran is unknown after a while. */
	lookAtAlive(): void {
		for (const vm of this.#mine())
			if (vm.status.powerState !== "stopped" && vm.status.powerState !== "failed")
				this.get(vm.id).wake({ compare: false });
	}

	/** One comparison of everything with one call. */
	async resync(): Promise<void> {
		if (!this.#context.connection.connected) return this.lookAtAlive();
		const domains = await limited(this.#context, "Listing the VMs", limits.readMs, () =>
			this.#context.hypervisor.listDomains(),
		);
		const byId = new Map(domains.map((domain) => [domain.id, domain]));
		for (const vm of this.#mine()) {
			const task = this.#parts.board.ofTarget("vm", vm.id).length > 0;
			if (task) this.get(vm.id).wake();
			else if (differs(vm, byId.get(vm.id) ?? null)) this.get(vm.id).wake({ compare: false });
		}
	}

	async whileStill<T>(
		vmId: string,
		signal: AbortSignal,
		work: (active: boolean) => Promise<T>,
		waitMs?: number | null,
	): Promise<T> {
		if (!this.#isMine(vmId)) {
			const elsewhere = this.#context.store.get("vm", vmId);
			if (elsewhere === null) return work(false);
			throw new AppError("wrong-state", `The VM "${elsewhere.name}" is on another node now. Try again.`);
		}
		return this.get(vmId).whileStill(signal, work, waitMs);
	}

	/**
	 * Only a VM whose process may be behind its record can hold what is not its own any more: work on it is under way, a
	 * part waits for a restart, or its last update failed. libvirt says what such a VM has open. Only one that has the volume, or
	 * is being given what its record had before, is waited for: its queue may be held for hours, by the growth of another disk.
	 */
	async heldBy(volumeId: string, signal: AbortSignal, { now = false } = {}): Promise<string | null> {
		for (const vm of this.#mine()) {
			const { id, name, spec, status, generation } = vm;
			if (spec.disks.some((disk) => disk.volumeId === volumeId)) continue;
			const busy = this.#parts.board.ofTarget("vm", id).length > 0;
			const behind = status.pendingRestart || status.observedGeneration !== generation;
			// Of many that are made or deleted at once each would ask for all the others.
			if (!(busy && !now) && !behind && status.powerState !== "unknown") continue;
			await this.#context.connection.wait(limits.hypervisorWaitMs, signal);
			const mayGetIt = this.mayGetDisks(id);
			const hasIt = await this.#hasOpen(id, volumeId);
			if (now && hasIt) return name;
			if (now || (!hasIt && !mayGetIt)) continue;
			const waitMs = hasIt ? limits.exclusiveWaitMs : null;
			const later = this.get(id).whileStill(signal, () => this.#hasOpen(id, volumeId), waitMs);
			const stillHasIt = await later.catch((error) => {
				// It is known to have had it, and whoever asked wants to be told.
				if (hasIt && isAppError(error, "timeout")) return true;
				throw error;
			});
			if (stillHasIt) return name;
		}
		return null;
	}

	/** What is under way may give its process a disk. A task that has not begun reads the record of then. */
	mayGetDisks(vmId: string): boolean {
		const current = this.#queues.get(vmId)?.task ?? null;
		return current !== null && !opensNothing.includes(current.kind);
	}

	/** It runs, or something is under way that may start it. Waits for nothing that its queue does. */
	async mayRun(vmId: string): Promise<boolean> {
		if (!this.#isMine(vmId)) return false;
		if (this.#parts.board.ofTarget("vm", vmId).length > 0 || this.get(vmId).task !== null) return true;
		const domain = await limited(this.#context, "Reading the VM's state", limits.readMs, () =>
			this.#context.hypervisor.getDomain(vmId),
		);
		return isActive(domain);
	}

	/** The process of the VM; what libvirt would open next does not count. */
	async #hasOpen(vmId: string, volumeId: string): Promise<boolean> {
		const { hypervisor } = this.#context;
		try {
			const [domain, xml] = await limited(this.#context, "Reading the VM's definition", limits.readMs, () =>
				Promise.all([hypervisor.getDomain(vmId), hypervisor.domainXml(vmId)]),
			);
			return isActive(domain) && xml.includes(volumeId);
		} catch (error) {
			if (isAppError(error, "not-found")) return false;
			throw error;
		}
	}

	/** Work in flight, to be waited for when the node stops. */
	running(): Promise<void>[] {
		return [...this.#queues.values()].flatMap((queue) => (queue.running ? [queue.running] : []));
	}

	/** Looks under way at VMs with which nothing else happens: what else happens may wait for storage. */
	looking(): Promise<void>[] {
		const isLook = ({ vmId, task }: VmQueue) => task === null && this.#parts.board.ofTarget("vm", vmId).length === 0;
		return [...this.#queues.values()].flatMap((queue) => (queue.running && isLook(queue) ? [queue.running] : []));
	}

	#mine(): Vm[] {
		return this.#context.store.all("vm", { nodeId: this.#context.nodeId });
	}

	#isMine(vmId: string): boolean {
		return this.#context.store.get("vm", vmId)?.nodeId === this.#context.nodeId;
	}

	#forget(vmId: string): void {
		this.#queues.delete(vmId);
		this.#seen.delete(vmId);
	}
}

/** Does the record need another look? Pure, cheap, and rather once too often than never. */
export function differs(vm: Vm, domain: DomainState | null): boolean {
	const { powerState, observedGeneration, taskId } = vm.status;
	if (taskId !== null) return true;
	const isDefined = domain?.definedGeneration === vm.generation && !domain.autostart;
	if (observedGeneration > 0 && !isDefined && !vm.deleting) return true;
	if (domain === null || !isActive(domain)) return powerState !== "stopped" && powerState !== "failed";
	return powerState !== (domain.powerState === "paused" ? "paused" : "running");
}
