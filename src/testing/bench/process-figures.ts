/** CPU time and memory of another process, as the kernel counts them (proc(5)). */
import { readFileSync } from "node:fs";

/** Clock ticks a second in /proc/PID/stat: 100 on every Linux that we run on. */
const ticksPerSecond = 100;

/** User and system time of the process, its threads and its ended children, in seconds (10 ms steps). */
export function cpuSeconds(pid: number): number {
	const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
	const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
	return [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at]), 0) / ticksPerSecond;
}

/** As cpuSeconds, with the children that still run. */
export const cpuSecondsWithChildren = (pid: number): number =>
	[pid, ...childrenOf(pid)].reduce((sum, one) => sum + cpuSeconds(one), 0);

/** Of the process's first thread, ended ones that it has not waited for included. */
export const childrenOf = (pid: number): number[] =>
	readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);

/** Resident set of the process. */
export function residentBytes(pid: number): number {
	const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
	return Number(line?.[1] ?? Number.NaN) * 1024;
}
