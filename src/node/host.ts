/** What the node reads of its host, from Linux's /proc. `procRoot` is another folder only in tests. */
import { readFile } from "node:fs/promises";
import { AppError } from "../lib/errors.ts";

export type CpuTimes = { busy: number; total: number };

export interface HostFacts {
	/** Changes with each boot of the host, and with nothing else. */
	bootId(): Promise<string>;
	/** RFC 3339 is made from it; moves when the wall clock is set. */
	bootedAtMs(): Promise<number>;
	/** Jiffies since boot, over all CPUs. */
	cpuTimes(): Promise<CpuTimes>;
	memory(): Promise<{ totalBytes: number; usedBytes: number }>;
	load1(): Promise<number>;
}

export function procHost(procRoot = "/proc"): HostFacts {
	const read = (name: string) => readFile(`${procRoot}/${name}`, "utf8");
	return {
		bootId: async () => (await read("sys/kernel/random/boot_id")).trim(),
		bootedAtMs: async () => parseBootTime(await read("stat")) * 1000,
		cpuTimes: async () => parseCpuTimes(await read("stat")),
		memory: async () => parseMemory(await read("meminfo")),
		load1: async () => Number.parseFloat(await read("loadavg")) || 0,
	};
}

/** proc(5): `btime`, seconds since 1970. */
export function parseBootTime(stat: string): number {
	const match = /^btime (\d+)$/m.exec(stat);
	if (!match) throw new AppError("internal", "The host does not say when it was booted.");
	return Number(match[1]);
}

/** proc(5): user nice system idle iowait irq softirq steal (guest times are part of user). */
export function parseCpuTimes(stat: string): CpuTimes {
	const match = /^cpu +([\d ]+)$/m.exec(stat);
	if (!match) throw new AppError("internal", "The host does not say how busy its CPUs are.");
	const times = (match[1] ?? "").split(" ").slice(0, 8).map(Number);
	const total = times.reduce((sum, time) => sum + time, 0);
	return { busy: total - (times[3] ?? 0) - (times[4] ?? 0), total };
}

/** proc(5): what programs could still get (MemAvailable) counts as free. */
export function parseMemory(meminfo: string): { totalBytes: number; usedBytes: number } {
	const field = (name: string): number => {
		const match = new RegExp(`^${name}: +(\\d+) kB$`, "m").exec(meminfo);
		if (!match) throw new AppError("internal", `The host does not say its ${name}.`);
		return Number(match[1]) * 1024;
	};
	const totalBytes = field("MemTotal");
	return { totalBytes, usedBytes: Math.max(0, totalBytes - field("MemAvailable")) };
}
