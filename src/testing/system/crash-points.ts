/**
 * kill -9 of the daemon at random moments while VMs are made, started, stopped and deleted; then a start, and in the end
 * a look at everything on the host. A seed gives the same operations and the same delays; what they meet on the way is
 * the machine's business, so a seed narrows a failure down and does not replay it exactly.
 */
import { AppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import { isFinished, type Task } from "../../model/task.ts";
import type { VmCreate } from "../../model/vm.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import { type LabSystem, startLabSystem } from "./lab-system.ts";
import { domainIds, findLeftovers, qemuPids } from "./leftovers.ts";
import { underWay, wrongEnds } from "./task-ends.ts";

/** What stays for longer after a start is left over. */
const tidyLimitMs = 20_000;

const mostVms = 5;
/** Longer than most operations take on a busy machine; short delays are the likelier ones. */
const longestDelayMs = 1500;
const settleLimitMs = 120_000;

export type CrashReport = {
	seed: number;
	points: number;
	operations: Record<string, number>;
	/** Crashes that met work under way. */
	interrupted: number;
	/** The operations that they met, by kind. */
	met: Record<string, number>;
};

export type CrashOptions = {
	seed: number;
	points: number;
	/** A crash that meets no work proves nothing: goes on until this many have, or three times `points` are made. */
	interrupted: number;
};

/** Fails with everything that is wrong, and the seed in the message. */
export async function runCrashPoints(options: CrashOptions): Promise<CrashReport> {
	const { seed } = options;
	const random = seededRandom(seed);
	await using system = await startLabSystem({ name: "crash" });
	const run = new CrashRun(system, random);
	try {
		await system.image();
		await system.network();
		let points = 0;
		for (; points < options.points || (run.interrupted < options.interrupted && points < options.points * 3); points++)
			await run.point();
		await run.checkAll();
		return { seed, points, operations: run.operations, interrupted: run.interrupted, met: run.met };
	} catch (error) {
		const log = system.daemon.log().split("\n").slice(-40).join("\n");
		throw new AppError("internal", `Seed ${seed}: ${error instanceof Error ? error.message : error}\n${log}`, {
			cause: error,
		});
	}
}

class CrashRun {
	readonly operations: Record<string, number> = {};
	interrupted = 0;
	readonly met: Record<string, number> = {};
	#made = 0;
	readonly #system: LabSystem;
	readonly #random: () => number;

	constructor(system: LabSystem, random: () => number) {
		this.#system = system;
		this.#random = random;
	}

	/** One to three operations, a crash in the middle of them, a start, and the end of all tasks. */
	async point(): Promise<void> {
		const { daemon } = this.#system;
		const count = 1 + Math.floor(this.#random() * 3);
		const asked: Promise<unknown>[] = [];
		for (let index = 0; index < count; index++) asked.push((await this.#ask()).answered);
		await Bun.sleep(this.#random() ** 2 * longestDelayMs); // the point of the test is a moment that nobody chose
		await daemon.kill9();
		const killedAtMs = Date.now();
		await Promise.all(asked);
		if (this.#random() < 0.25) {
			// Again, while it starts.
			const starting = daemon.start().catch(() => {});
			await Bun.sleep(this.#random() * 400);
			await daemon.kill9();
			await starting;
		}
		await daemon.start();
		await this.#system.ready();
		const tasks = await this.#untilSettled();
		const met = underWay(tasks, killedAtMs);
		if (met.length > 0) this.interrupted += 1;
		for (const { kind } of met) this.met[kind] = (this.met[kind] ?? 0) + 1;
		await this.#check(tasks);
	}

	/** Nothing left over, nothing missing, and every task ended as it should. */
	async #check(tasks: readonly Task[]): Promise<void> {
		const { body } = await this.#system.api.call("vmList", { query: { limit: 1000 } });
		const vmIds = new Set(body.items.map((vm) => vm.id));
		let found: string[] = [];
		const isTidy = async () => {
			found = [...(await findLeftovers(this.#system)), ...wrongEnds(tasks, vmIds)];
			return found.length === 0;
		};
		// The pool's own process tries its folder with a file that it takes away, beside what the node does at its start.
		await waitUntil("nothing to be left over", tidyLimitMs, isTidy).catch((error) => {
			if (found.length === 0) throw error;
		});
		if (found.length === 0) return;
		const newest = tasks
			.slice(0, 20)
			.map((task) => `${task.kind} ${task.targets[0]?.name} ${task.state} ${task.error?.message ?? ""}`);
		throw new AppError("internal", `${found.join("; ")}\nTasks, newest first:\n${newest.join("\n")}`);
	}

	/** Chooses an operation and asks for it; `answered` settles when it was answered or cut off. */
	async #ask(): Promise<{ answered: Promise<unknown> }> {
		const { api } = this.#system;
		const { body } = await api.call("vmList", { query: { limit: 100 } });
		const vms = body.items.filter((vm) => !vm.deleting);
		const vm = vms[Math.floor(this.#random() * vms.length)];
		const choice = this.#random();
		const called = (name: string, call: Promise<unknown>) => {
			this.operations[name] = (this.operations[name] ?? 0) + 1;
			// Refused in this state, or cut off: both are fine.
			const answered = call.catch((error: unknown) => {
				if (!(error instanceof AppError)) throw error;
				if (!["wrong-state", "not-found", "unavailable", "in-use"].includes(error.code)) throw error;
			});
			return { answered };
		};
		if (!vm || (vms.length < mostVms && choice < 0.4)) return called("create", this.#create());
		const path = { id: vm.id };
		if (choice < 0.6) return called("start", api.call("vmStart", { path, body: { paused: this.#random() < 0.5 } }));
		if (choice < 0.75) return called("stop", api.call("vmStop", { path }));
		return called("delete", api.call("vmDelete", { path }));
	}

	async #create(): Promise<unknown> {
		const { api } = this.#system;
		const imageId = (await this.#system.image()).id;
		const networkId = (await this.#system.network()).id;
		const kind = this.#random();
		const common = { name: `crash-${++this.#made}`, memoryBytes: 64 * MiB, vcpus: 1 };
		const withSeed: Partial<VmCreate> = {
			...{ firmware: "uefi", nics: [{ networkId }], disks: [{ imageId }, { sizeBytes: 8 * MiB }] },
			cloudInit: { kind: "raw", userData: "#cloud-config\n{}\n", metaData: null, networkConfig: null },
		};
		const copied: Partial<VmCreate> = {
			firmware: "bios",
			nics: [],
			disks: [{ imageId, fullCopy: true }],
			start: false,
		};
		const empty: Partial<VmCreate> = { firmware: "bios", nics: [{ networkId }], disks: [{ sizeBytes: 8 * MiB }] };
		const rest = kind < 0.4 ? withSeed : kind < 0.6 ? copied : empty;
		return api.call("vmCreate", { body: { ...common, ...rest } });
	}

	/** All tasks, newest first, once they have finished. */
	#untilSettled(): Promise<Task[]> {
		const { api } = this.#system;
		return waitUntil(
			"all tasks to finish",
			settleLimitMs,
			async () => {
				const { body } = await api.call("taskList", { query: { limit: 1000 } });
				return body.items.every((task) => isFinished(task.state)) ? body.items : undefined;
			},
			{ everyMs: 50 },
		);
	}

	/** What is left can be used: each VM starts (one of them is looked at from inside), stops and goes. */
	async checkAll(): Promise<void> {
		const { api, createVm, done, vm } = this.#system;
		const { body } = await api.call("vmList", { query: { limit: 100 } });
		for (const { id, status } of body.items) {
			const path = { id };
			if (status.powerState !== "stopped" && status.powerState !== "failed")
				await done(await api.call("vmStop", { path }));
			await done(await api.call("vmStart", { path }));
			const now = await vm(id);
			if (now.status.powerState !== "running" || now.status.error)
				throw new AppError("internal", `${now.name} is ${now.status.powerState}: ${now.status.error?.message}`);
		}
		const pids = await qemuPids(this.#system);
		if (pids.length !== body.items.length)
			throw new AppError("internal", `${pids.length} QEMU processes for ${body.items.length} running VMs`);
		for (const { id } of body.items) await done(await api.call("vmDelete", { path: { id } }));
		const fresh = await createVm({ name: "fresh" });
		await new GuestTerminal(this.#system, fresh.id).booted();
		await done(await api.call("vmDelete", { path: { id: fresh.id } }));
		const found = await findLeftovers(this.#system);
		const domains = await domainIds(this.#system);
		const processes = await qemuPids(this.#system);
		if (found.length + domains.length + processes.length > 0)
			throw new AppError("internal", `left over: ${[...found, ...domains, ...processes].join("; ")}`);
	}
}

/** mulberry32: numbers from 0 to 1, the same for the same seed. */
function seededRandom(seed: number): () => number {
	let state = seed >>> 0;
	return () => {
		state = (state + 0x6d2b79f5) >>> 0;
		let mixed = Math.imul(state ^ (state >>> 15), state | 1);
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
	};
}

/** From LIMIQUANTIX_TEST_SEED, to look into a failure; else a new one each time. */
export const chosenSeed = (): number =>
	Number(process.env.LIMIQUANTIX_TEST_SEED ?? crypto.getRandomValues(new Uint32Array(1))[0]);
