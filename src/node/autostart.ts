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
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { toRfc3339 } from "../lib/clock.ts";
import { isAppError } from "../lib/errors.ts";
import { isFinished, type Task } from "../model/task.ts";
import type { Vm } from "../model/vm.ts";
import type { NodeContext } from "./context.ts";
import { limits } from "./limits.ts";
import { Bell } from "./wait.ts";

type Record = { bootId: string; waiting: string[] };

export class Autostart {
	readonly #context: NodeContext;
	readonly #path: string;
	/** Rung when a task has changed. */
	readonly #bell = new Bell();
	#record: Record = { bootId: "", waiting: [] };

	constructor(context: NodeContext) {
		this.#context = context;
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

	taskChanged(): void {
		this.#bell.ring();
	}

	/** Call after `hostWasRestarted`, when the VMs were looked at. Ends early, with the reason, when the node stops. */
	async run(): Promise<void> {
		const { store, stopping, clock, logger, upToDate } = this.#context;
		const asked: string[] = [];
		for (let id = this.#record.waiting[0]; id !== undefined; id = this.#record.waiting[0]) {
			stopping.throwIfAborted();
			// While the host was off, the VM may have been taken over.
			await upToDate();
			const vm = store.get("vm", id);
			const taskId = vm && (await this.#ask(vm));
			this.#record.waiting.shift();
			await this.#write();
			if (!vm || !taskId) continue;
			logger.info("a VM is started by itself", { vmId: id });
			asked.push(taskId);
			const next = store.get("vm", this.#record.waiting[0] ?? "");
			const { order, delayMs } = vm.spec.autostart;
			if (!next || (next.spec.autostart.order === order && delayMs === 0)) continue;
			await this.#finished(asked.splice(0));
			if (delayMs > 0) await new Bell().wait(clock, delayMs, stopping);
		}
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
		if (vm.deleting || !vm.spec.autostart.enabled || vm.nodeId !== nodeId) return null;
		if (vm.status.powerState !== "stopped" && vm.status.powerState !== "failed") return null;
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

export const autostartOrder = (vms: readonly Vm[]): Vm[] =>
	vms
		.filter((vm) => vm.spec.autostart.enabled && !vm.deleting)
		.sort((a, b) => a.spec.autostart.order - b.spec.autostart.order || (a.name < b.name ? -1 : 1));

function isRecord(value: unknown): value is Record {
	if (typeof value !== "object" || value === null || !("bootId" in value) || !("waiting" in value)) return false;
	const { bootId, waiting } = value;
	return typeof bootId === "string" && Array.isArray(waiting) && waiting.every((id) => typeof id === "string");
}
