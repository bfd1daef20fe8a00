/**
 * For tests that kill a process at a step of its work: the file given to `haltAtStepIn` says at which one. Whoever passes that
 * step takes the file away and stops, as by SIGSTOP; it is killed there, or goes on when somebody sends SIGCONT. Nobody
 * else gives such a file, and then a step is nothing.
 */
import { readFileSync, rmSync } from "node:fs";

let stepFile: string | null = null;

export function haltAtStepIn(path: string | null): void {
	stepFile = path;
}

export function passing(step: string): void {
	if (stepFile === null || stepIn(stepFile) !== step) return;
	rmSync(stepFile);
	process.kill(process.pid, "SIGSTOP");
}

function stepIn(path: string): string | null {
	try {
		return readFileSync(path, "utf8").trim();
	} catch {
		return null;
	}
}
