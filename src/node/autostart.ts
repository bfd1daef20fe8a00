/**
 * Starts VMs by themselves after the host was booted: those with autostart, by order, then name, each followed by its
 * delay. VMs of one order without a delay start together; the next order waits until they are started or have failed.
 * Not after a restart of the daemon, which leaves VMs as they are.
 *
 * A VM that ran when the host lost power and has no autostart stays stopped, with that reason: which VMs come back by
 * themselves, and in which order, is what a person said with autostart (as on other appliances). Whatever happened to
 * run may be what brought the host down, or depend on what is not there yet.
 *
 * What is still to be started is in `<dataDir>/autostart.json`, with the boot that it belongs to. After kill -9 in the
 * middle it goes on where it was, and does not start again what a person has stopped meanwhile.
 *
 * A VM whose pools do not work yet waits until they do, for ten minutes, and keeps no other one waiting, be it of a later order: after a power
 * cut the storage may come up later than its clients. What a person starts or stops in the meantime is left to that person.
 *
 * A VM of which the record still says that it runs, because it could not be looked at yet (its disk goes on growing, say, which may take
 * hours), waits until it was: only then it is known that it ended with the host.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { toRfc3339 } from "../lib/clock.ts";
import { isAppError } from "../lib/errors.ts";
import type { Event } from "../model/event.ts";
import { isFinished, type Task, type TaskKind } from "../model/task.ts";
import type { Vm } from "../model/vm.ts";
import type { NodeContext } from "./context.ts";
import { limits } from "./limits.ts";
import { poolsOf } from "./pool-wait.ts";
import type { Pools } from "./pools.ts";
import { Bell } from "./wait.ts";

const powerKinds: readonly TaskKind[] = ["vm.start", "vm.shutdown", "vm.stop"];

type Parts = {
	pools: Pick<Pools, "works">;
	/** Has the VM been looked at since this process began? Before, it may still be said to run. */
	isSeen(vmId: string): boolean;
	/** Becomes the reason of a VM that is stopped. */
	say(vmId: string, reason: string | null): void;
};

type Record = { bootId: string; waiting: string[] };

export class Autostart {
	readonly #context: NodeContext;
	readonly #path: string;
	/** Rung when a task has changed. */
	readonly #bell = new Bell();
	#record: Record = { bootId: "", waiting: [] };
	#giveUpAtMs = 0;
	/** Until then those that were not looked at wait for that. */
	#lookedAtMs = 0;
	/** VMs that somebody has started or stopped since this process began. */
	readonly #inOtherHands = new Set<string>();
	readonly #ownTasks = new Set<string>();
	/** What was said of VMs that wait, by their id. */
	readonly #said = new Map<string, string>();
	readonly #parts: Parts;

	constructor(context: NodeContext, parts: Parts) {
		this.#context = context;
		this.#parts = parts;
		this.#path = join(context.dataDir, "autostart.json");
	}

	/**
	 * Was the host booted since this node last started? Also true on the very first start. Then the VMs that are there
	 * now are the ones to be started; later ones are not.
	 */
	async hostWasRestarted(): Promise<boolean> {
		const { host, store, nodeId } = this.#context;
		const bootId = await host.bootId();
		const known = await this.#read();
		if (known?.bootId === bootId) {
			this.#record = known;
			return false;
		}
		this.#record = { bootId, waiting: autostartOrder(store.all("vm", { nodeId })).map((vm) => vm.id) };
		await this.#write();
		return true;
	}

	taskChanged({ type, object }: Event): void {
		const task = object as Task | null;
		if (type === "created" && task && powerKinds.includes(task.kind) && !this.#ownTasks.has(task.id))
			for (const { id } of task.targets) this.#inOtherHands.add(id);
		this.#bell.ring();
	}

	/** Pools may work that did not. */
	poolsChanged(): void {
		this.#bell.ring();
	}

	/** Call after `hostWasRestarted`, when the VMs were looked at. Ends early, with the reason, when the node stops. */
	async run(): Promise<void> {
		const { store, stopping, clock, logger, upToDate } = this.#context;
		const { waiting } = this.#record;
		const asked: string[] = [];
		this.#giveUpAtMs = clock.monotonicMs() + limits.autostartPoolsMs;
		this.#lookedAtMs = clock.monotonicMs() + limits.readMs;
		for (let id = await this.#next(); id !== undefined; id = await this.#next()) {
			stopping.throwIfAborted();
			// While the host was off, the VM may have been taken over.
			await upToDate();
			const vm = store.get("vm", id);
			const taskId = vm && (await this.#ask(vm));
			waiting.splice(waiting.indexOf(id), 1);
			await this.#write();
			if (vm && !taskId && vm.status.reason !== null && vm.status.reason === this.#said.get(id))
				this.#parts.say(id, null);
			if (!vm || !taskId) continue;
			logger.info("a VM is started by itself", { vmId: id });
			asked.push(taskId);
			const next = store.get("vm", waiting.find((one) => this.#isDue(one)) ?? "");
			const { order, delayMs } = vm.spec.autostart;
			if (!next || (next.spec.autostart.order === order && delayMs === 0)) continue;
			await this.#finished(asked.splice(0));
			if (delayMs > 0) await new Bell().wait(clock, delayMs, stopping);
		}
	}

	/** The first whose pools work; undefined when there is none left. */
	async #next(): Promise<string | undefined> {
		const { clock, stopping } = this.#context;
		const { waiting } = this.#record;
		for (;;) {
			const next = waiting.find((id) => this.#isDue(id));
			if (next !== undefined || waiting.length === 0) return next;
			for (const id of waiting) this.#sayThatItWaits(id);
			const leftMs = this.#giveUpAtMs - clock.monotonicMs();
			await this.#bell.wait(clock, leftMs > 0 ? Math.min(leftMs, limits.readMs) : limits.readMs, stopping);
		}
	}

	#isDue(vmId: string): boolean {
		const nowMs = this.#context.clock.monotonicMs();
		if (!this.#parts.isSeen(vmId) && (nowMs < this.#lookedAtMs || this.#isSaidToRun(vmId))) return false;
		return nowMs >= this.#giveUpAtMs || this.#poolAwaited(vmId) === null;
	}

	/** Of one that is not for us to start any more, it does not matter. */
	#isSaidToRun(vmId: string): boolean {
		const vm = this.#context.store.get("vm", vmId);
		return vm !== null && this.#isOurs(vm) && !canStart(vm);
	}

	#isOurs(vm: Vm): boolean {
		const isToStart = !vm.deleting && vm.spec.autostart.enabled && vm.nodeId === this.#context.nodeId;
		return isToStart && !this.#inOtherHands.has(vm.id);
	}

	/** The pool that the VM's start waits for; null when it need not wait. */
	#poolAwaited(vmId: string): string | null {
		const { store } = this.#context;
		const vm = store.get("vm", vmId);
		if (!vm || this.#inOtherHands.has(vmId)) return null;
		const pool = poolsOf(store, vm.spec).find((id) => store.get("pool", id) !== null && !this.#parts.pools.works(id));
		return pool === undefined ? null : (store.get("pool", pool)?.name ?? null);
	}

	#sayThatItWaits(vmId: string): void {
		const pool = this.#poolAwaited(vmId);
		if (pool === null || this.#said.has(vmId)) return;
		const reason = `It starts by itself as soon as storage pool "${pool}" works on this node.`;
		this.#said.set(vmId, reason);
		this.#parts.say(vmId, reason);
	}

	/** A start that hangs does not keep the others waiting for longer than its own limit. */
	async #finished(taskIds: readonly string[]): Promise<void> {
		const { store, clock, stopping } = this.#context;
		const endsAtMs = clock.monotonicMs() + limits.startMs;
		const isOver = (id: string) => isFinished(store.get("task", id)?.state ?? "canceled");
		while (!taskIds.every(isOver)) {
			const leftMs = endsAtMs - clock.monotonicMs();
			if (leftMs <= 0) return;
			await this.#bell.wait(clock, leftMs, stopping);
		}
	}

	/** The id of the task; null when it needs no start, or cannot be started. */
	async #ask(vm: Vm): Promise<string | null> {
		const { clock, ids, nodeId, propose, logger } = this.#context;
		const vmId = vm.id;
		if (!this.#isOurs(vm) || !canStart(vm)) return null;
		const task: Task = {
			id: ids.newId(),
			kind: "vm.start",
			state: "pending",
			progress: null,
			message: "Autostart after the boot of the host",
			targets: [{ kind: "vm", id: vmId, name: vm.name }],
			requester: { kind: "system", id: null, name: "autostart" },
			nodeId,
			parentId: null,
			createdAt: toRfc3339(clock.nowMs()),
			startedAt: null,
			finishedAt: null,
			cancelable: true,
			cancelRequested: false,
			error: null,
			input: {},
		};
		try {
			this.#ownTasks.add(task.id);
			await propose({ kind: "vmAction", id: vmId, desiredPower: "running", task });
			return task.id;
		} catch (error) {
			if (!isAppError(error, "wrong-state") && !isAppError(error, "not-found")) throw error;
			logger.info("a VM could not be started by itself", { vmId, error });
			return null;
		}
	}

	async #read(): Promise<Record | null> {
		try {
			const value: unknown = JSON.parse(await readFile(this.#path, "utf8"));
			return isRecord(value) ? value : null;
		} catch {
			// Missing or damaged: this start counts as the first of this boot.
			return null;
		}
	}

	#write(): Promise<void> {
		return this.#context.folders.writeRecord(this.#path, `${JSON.stringify(this.#record)}\n`);
	}
}

const canStart = ({ status }: Vm): boolean => status.powerState === "stopped" || status.powerState === "failed";

export const autostartOrder = (vms: readonly Vm[]): Vm[] =>
	vms
		.filter((vm) => vm.spec.autostart.enabled && !vm.deleting)
		.sort((a, b) => a.spec.autostart.order - b.spec.autostart.order || (a.name < b.name ? -1 : 1));

function isRecord(value: unknown): value is Record {
	if (typeof value !== "object" || value === null || !("bootId" in value) || !("waiting" in value)) return false;
	const { bootId, waiting } = value;
	return typeof bootId === "string" && Array.isArray(waiting) && waiting.every((id) => typeof id === "string");
}
