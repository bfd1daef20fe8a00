/** The helpers of the benchmarks: a figure is only as good as they are. */

import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { systemClock as clock } from "../../lib/clock.ts";
import type { AppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import { openStore } from "../../store/open-store.ts";
import { loneNode } from "../store-identity.ts";
import { tokenOf } from "./api-list.ts";
import { median, percentile, round } from "./bench.ts";
import { closedLoop } from "./closed-loop.ts";
import { filledName, fillState } from "./filled-state.ts";
import { benches } from "./index.ts";
import { childrenOf, cpuSeconds, residentBytes } from "./process-figures.ts";

test("percentiles of an unsorted list, which stays as it is", () => {
	const values = Array.from({ length: 100 }, (_, at) => ((at * 37) % 100) + 1);
	const before = [...values];
	expect(percentile(values, 0)).toBe(1);
	expect(median(values)).toBe(51);
	expect(percentile(values, 0.95)).toBe(96);
	expect(percentile(values, 0.99)).toBe(100);
	expect(percentile(values, 1)).toBe(100);
	expect(values).toEqual(before);
	expect(median([7])).toBe(7);
	expect(median([])).toBeNaN();
	expect(round(1.23456)).toBe(1.23);
	expect(round(1.5, 0)).toBe(2);
});

test("the next page's token is read from the end of the page alone", () => {
	expect(tokenOf('{"items":[{"name":"\\"nextPageToken\\":1"}],"nextPageToken":"abc"}')).toBe("abc");
	expect(tokenOf('{"items":[],"nextPageToken":null}')).toBeNull();
});

test("a closed loop has one request of each client under way, and times each", async () => {
	const underWay = [0, 0, 0];
	let most = 0;
	const { timesMs, perSecond } = await closedLoop({ clients: 3, durationMs: 30 }, async (client) => {
		underWay[client] = (underWay[client] ?? 0) + 1;
		most = Math.max(most, ...underWay);
		await Promise.resolve();
		underWay[client] = (underWay[client] ?? 0) - 1;
	});
	expect(most).toBe(1);
	expect(timesMs.length).toBeGreaterThanOrEqual(3);
	expect(timesMs.every((ms) => ms >= 0)).toBe(true);
	expect(perSecond).toBeGreaterThan(0);
	const failing = closedLoop({ clients: 2, durationMs: 30 }, () => Promise.reject(new Error("refused")));
	await expect(failing).rejects.toThrow("refused");
});

test("a filled state has the VMs, finished tasks and nothing that a node must do", async () => {
	const folder = mkdtempSync("/tmp/lqx-filled-");
	try {
		const dataDir = join(folder, "data");
		const identity = await fillState(dataDir, 100);
		const onFatal = (error: AppError) => {
			throw error;
		};
		const store = await openStore({
			...loneNode,
			identity,
			dataDir,
			clock,
			logger: silentLogger,
			fsync: false,
			onFatal,
		});
		try {
			expect(store.count("vm")).toBe(100);
			expect(store.count("vm", { powerState: "failed" })).toBe(25);
			expect(store.count("vm", { powerState: "stopped" })).toBe(75);
			expect(store.count("volume", { phase: "ready" })).toBe(100);
			expect(store.count("task", { state: ["pending", "running"] })).toBe(0);
			expect(store.all("vm").every((vm) => vm.status.observedGeneration === 0)).toBe(true);
		} finally {
			await store.close();
		}
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
});

test("names of a filled state are all different", () => {
	for (const count of [1, 1_000, 20_000])
		expect(new Set(Array.from({ length: count }, (_, number) => filledName(number, count))).size).toBe(count);
});

test("the kernel's figures of a process", () => {
	expect(residentBytes(process.pid)).toBeGreaterThan(10e6);
	expect(cpuSeconds(process.pid)).toBeGreaterThan(0);
	const child = Bun.spawn(["sleep", "60"]);
	try {
		expect(childrenOf(process.pid)).toContain(child.pid);
	} finally {
		child.kill();
	}
});

test("every benchmark has a name of its own", () => {
	expect(new Set(benches.map(({ name }) => name)).size).toBe(benches.length);
});
