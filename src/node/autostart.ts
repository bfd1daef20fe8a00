/**
 * Starts VMs by themselves after the host was booted: those with autostart, by order, then name, each followed by its
 * delay. Not after a restart of the daemon, which leaves VMs as they are.
 *
 * A VM that ran when the host lost power and has no autostart stays stopped, with that reason: which VMs come back by
 * themselves, and in which order, is what a person said with autostart (as on other appliances). Whatever happened to
 * run may be what brought the host down, or depend on what is not there yet.
 *
 * How far it came is in `<dataDir>/autostart.json`: the boot, and the VMs that were asked for in it. After kill -9 in
 * the middle it goes on where it was, and does not start again what a person has stopped meanwhile.
 */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { toRfc3339 } from "../lib/clock.ts";
import { isAppError } from "../lib/errors.ts";
import type { Task } from "../model/task.ts";
import type { Vm } from "../model/vm.ts";
import type { NodeContext } from "./context.ts";
import { Bell } from "./wait.ts";

type Record = { bootId: string; asked: string[]; finished: boolean };

export class Autostart {
	readonly #context: NodeContext;
	readonly #path: string;
	#record: Record = { bootId: "", asked: [], finished: true };

	constructor(context: NodeContext) {
		this.#context = context;
		this.#path = join(context.dataDir, "autostart.json");
	}

	/** Was the host booted since this node last started? Also true on the very first start. */
	async hostWasRestarted(): Promise<boolean> {
		const bootId = await this.#context.host.bootId();
		const known = await this.#read();
		const restarted = known?.bootId !== bootId;
		this.#record = restarted ? { bootId, asked: [], finished: false } : (known ?? this.#record);
		if (restarted) await this.#write();
		return restarted;
	}

	/** Call after `hostWasRestarted`, when the VMs were looked at. Ends early when the node stops. */
	async run(): Promise<void> {
		if (this.#record.finished) return;
		const { store, nodeId, stopping, clock, logger } = this.#context;
		const vms = autostartOrder(store.all("vm", { nodeId }));
		for (const [position, vm] of vms.entries()) {
			if (this.#record.asked.includes(vm.id)) continue;
			stopping.throwIfAborted();
			const asked = await this.#ask(vm.id);
			this.#record.asked.push(vm.id);
			await this.#write();
			if (!asked) continue;
			logger.info("a VM is started by itself", { vmId: vm.id });
			if (position < vms.length - 1 && vm.spec.autostart.delayMs > 0)
				await new Bell().wait(clock, vm.spec.autostart.delayMs, stopping);
		}
		this.#record.finished = true;
		await this.#write();
	}

	/** False when it needs no start, or cannot be started. */
	async #ask(vmId: string): Promise<boolean> {
		const { store, clock, ids, nodeId, propose, logger } = this.#context;
		const vm = store.get("vm", vmId);
		if (!vm || vm.deleting || !vm.spec.autostart.enabled) return false;
		if (vm.status.powerState !== "stopped" && vm.status.powerState !== "failed") return false;
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
			return true;
		} catch (error) {
			if (!isAppError(error, "wrong-state") && !isAppError(error, "not-found")) throw error;
			logger.info("a VM could not be started by itself", { vmId, error });
			return false;
		}
	}

	async #read(): Promise<Record | null> {
		try {
			const value: unknown = JSON.parse(await readFile(this.#path, "utf8"));
			return isRecord(value) ? value : null;
		} catch {
			// Missing or damaged: then this start counts as the first of this boot, and what runs is left alone.
			return null;
		}
	}

	async #write(): Promise<void> {
		const aside = `${this.#path}.new`;
		await writeFile(aside, `${JSON.stringify(this.#record)}\n`, { mode: 0o600 });
		await rename(aside, this.#path);
	}
}

export const autostartOrder = (vms: readonly Vm[]): Vm[] =>
	vms
		.filter((vm) => vm.spec.autostart.enabled && !vm.deleting)
		.sort((a, b) => a.spec.autostart.order - b.spec.autostart.order || (a.name < b.name ? -1 : 1));

function isRecord(value: unknown): value is Record {
	if (typeof value !== "object" || value === null) return false;
	return (
		"bootId" in value &&
		typeof value.bootId === "string" &&
		"asked" in value &&
		Array.isArray(value.asked) &&
		value.asked.every((id) => typeof id === "string") &&
		"finished" in value &&
		typeof value.finished === "boolean"
	);
}
