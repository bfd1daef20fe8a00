/** One member's process, started again and again on the same data. */
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { cpuSeconds, residentBytes } from "../process-figures.ts";

export type MemberProcess = {
	readonly pid: number;
	readonly alive: boolean;
	readonly residentBytes: number;
	/** Since its last start. */
	readonly cpuSeconds: number;
	/** What it said on its standard error, over all starts. */
	log(): string;
	start(): void;
	/** SIGKILL; resolves when it is gone. */
	kill(): Promise<void>;
	/** SIGSTOP and SIGCONT. */
	pause(): void;
	resume(): void;
	/** SIGTERM, and SIGKILL when that takes longer than ten seconds. */
	end(): Promise<void>;
};

const endLimitMs = 10_000;

/** Not started yet. */
export function memberProcess(command: readonly string[], logPath: string): MemberProcess {
	let child: Bun.Subprocess<"ignore", "ignore", number> | null = null;
	const living = () => {
		if (!child) throw new Error(`${command.join(" ")} does not run`);
		return child;
	};
	return {
		get pid() {
			return living().pid;
		},
		get alive() {
			return child !== null && child.exitCode === null && child.signalCode === null;
		},
		get residentBytes() {
			return residentBytes(living().pid);
		},
		get cpuSeconds() {
			return cpuSeconds(living().pid);
		},
		log: () => (existsSync(logPath) ? readFileSync(logPath, "utf8") : ""),
		start() {
			const log = openSync(logPath, "a");
			child = Bun.spawn([...command], { stdin: "ignore", stdout: "ignore", stderr: log });
			closeSync(log);
		},
		async kill() {
			living().kill("SIGKILL");
			await living().exited;
		},
		pause: () => living().kill("SIGSTOP"),
		resume: () => living().kill("SIGCONT"),
		async end() {
			if (!child) return;
			child.kill("SIGCONT");
			child.kill("SIGTERM");
			const late = setTimeout(() => child?.kill("SIGKILL"), endLimitMs);
			await child.exited;
			clearTimeout(late);
		},
	};
}
