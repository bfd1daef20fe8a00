/**
 * Stops a real daemon exactly at a step of its work (lib/halting.ts), so that it, or another one, can be killed there. The daemon
 * has been started with the argument that `argument` says.
 */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { LabDaemon } from "../lab/daemon.ts";
import { waitUntil } from "../lab/wait-until.ts";

export class Halts {
	readonly arguments: readonly string[];
	readonly #file: string;
	readonly #daemon: () => Pick<LabDaemon, "pid" | "alive">;

	/** `file`: a path that this has for itself. */
	constructor(file: string, daemon: () => Pick<LabDaemon, "pid" | "alive">) {
		this.#file = file;
		this.#daemon = daemon;
		this.arguments = ["--halt-file", file];
	}

	/** It stops when it passes this step the next time, once. */
	at(step: string): void {
		// In one piece: it may look at any moment.
		writeFileSync(`${this.#file}.new`, step);
		renameSync(`${this.#file}.new`, this.#file);
	}

	never(): void {
		rmSync(this.#file, { force: true });
	}

	/** It has come to the step, or was told of none. */
	get passed(): boolean {
		return !existsSync(this.#file);
	}

	get standsStill(): boolean {
		return this.passed && this.#isStopped();
	}

	/** Resolves when it stands still there. */
	reached(step: string, limitMs: number): Promise<void> {
		return waitUntil(`"${step}" to be reached`, limitMs, () => this.standsStill, { everyMs: 5 }).then(() => {});
	}

	goOn(): void {
		process.kill(this.#daemon().pid, "SIGCONT");
	}

	#isStopped(): boolean {
		const daemon = this.#daemon();
		if (!daemon.alive()) throw new Error("The daemon ended.");
		// The state is what follows the name, which is in brackets.
		const stat = readFileSync(`/proc/${daemon.pid}/stat`, "latin1");
		return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) === "T";
	}
}
