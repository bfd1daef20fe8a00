/** What the API asks of a node directly: figures, pictures, logs; and the small parts that these stand on. */
import { expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DomainStats } from "../hypervisor/driver.ts";
import { AppError } from "../lib/errors.ts";
import { clusterIds, fixtureId } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import { KeyedMutex, Semaphore } from "./gates.ts";
import { parseBootTime, parseCpuTimes, parseMemory, procHost } from "./host.ts";
import { cpuRatio, vmMetrics } from "./metrics.ts";
import { isWorthReporting } from "./pools.ts";
import { readTail, serialLogPath, vmFolder, vmFolders } from "./vm-folder.ts";
import { withLimit } from "./wait.ts";

async function running(world: NodeWorld): Promise<string> {
	await world.boot();
	const { id } = await world.createVm({ volumes: [{}] });
	await world.settle();
	return id;
}

test("figures: rates over the time between two samples; none for a VM that is off", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	const counters = (disk: number): Partial<DomainStats> => ({ diskReadBytes: disk, netSentBytes: disk * 2 });
	world.hypervisor.statsOverrides.set(id, counters(0));
	world.clock.advance(5_000);
	await world.settleLoops();
	expect(world.service.vmMetrics(id)).toBeNull();
	world.hypervisor.statsOverrides.set(id, counters(5_000));
	world.clock.advance(5_000);
	await world.settleLoops();
	expect(world.service.vmMetrics(id)).toMatchObject({
		...{ sampledAt: "2030-01-01T00:00:10.000Z", diskReadBytesPerSecond: 1_000, netSentBytesPerSecond: 2_000 },
		// The fake spends a tenth of a CPU; the VM has two.
		cpuUsedRatio: expect.closeTo(0.05, 5),
	});
	expect(world.service.nodeMetrics()).toMatchObject({ cpuUsedRatio: 0.5, vmsRunning: 1, load1: 0.5 });
	await world.act("vm.stop", id);
	await world.settle();
	const calls = world.hypervisor.calls.filter((call) => call === "stats").length;
	world.clock.advance(5_000);
	await world.settleLoops();
	expect(world.service.vmMetrics(id)).toBeNull();
	expect(world.hypervisor.calls.filter((call) => call === "stats")).toHaveLength(calls);
});

test("pictures: one capture a second for all who ask; a failure is not kept", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	const captures = () => world.hypervisor.calls.filter((call) => call.startsWith("screenshot")).length;
	const [one, other] = await Promise.all([world.service.screenshot(id), world.service.screenshot(id)]);
	expect(one).toBe(other);
	await world.service.screenshot(id);
	expect(captures()).toBe(1);
	world.clock.advance(1_000);
	await world.service.screenshot(id);
	expect(captures()).toBe(2);
	world.clock.advance(1_000);
	world.hypervisor.faults.fail("screenshot", new AppError("hypervisor", "no screen"));
	await expect(world.service.screenshot(id)).rejects.toMatchObject({ code: "hypervisor" });
	await world.service.screenshot(id);
	expect(captures()).toBe(4);
	await world.act("vm.stop", id);
	await world.settle();
	await expect(world.service.screenshot(id)).rejects.toMatchObject({ code: "wrong-state" });
	await expect(world.service.vncSocket(id)).rejects.toMatchObject({ code: "wrong-state" });
	await expect(world.service.openSerial(id)).rejects.toMatchObject({ code: "wrong-state" });
	await expect(world.service.screenshot(fixtureId(77))).rejects.toMatchObject({ code: "not-found" });
});

test("console, XML, leases, images and volumes are passed on", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	expect(await world.service.domainXml(id)).toContain(id);
	expect(await world.service.vncSocket(id)).toStartWith(vmFolder(world.dataDir, id));
	const serial = await world.service.openSerial(id);
	await serial.write(Buffer.from("x"));
	const { value } = await serial.output.getReader().read();
	expect(Buffer.from(value ?? []).toString()).toBe("x");
	const mac = world.vm(id).spec.nics[0]?.mac ?? "";
	world.networks.leaseTable.set(clusterIds.network, [{ mac, address: "10.20.0.9", hostname: "h", expiresAtMs: 0 }]);
	expect(await world.service.networkLeases(clusterIds.network)).toEqual([
		{ mac, address: "10.20.0.9", hostname: "h", expiresAt: "1970-01-01T00:00:00.000Z", vmId: id },
	]);
	const volumeId = world.vm(id).spec.disks[0]?.volumeId ?? "";
	const { signal } = new AbortController();
	await expect(world.service.exportVolume(volumeId, "raw", signal)).rejects.toMatchObject({ code: "wrong-state" });
	await world.act("vm.stop", id);
	await world.settle();
	const exported = await world.service.exportVolume(volumeId, "raw", signal);
	expect(exported.sizeBytes).toBe(world.volume(volumeId).sizeBytes);
	await exported.stream.cancel();
	await expect(world.service.openImage(fixtureId(5))).rejects.toMatchObject({ code: "not-found" });
	expect(world.service.demoImagePath()).toBeNull();
	expect(world.service.hypervisorState()).toBe("connected");
});

test("the serial log: its end, never through a symlink, never anything but a file", async () => {
	await using world = await NodeWorld.open();
	const id = await running(world);
	expect(await world.service.serialLog(id, 100)).toHaveLength(0);
	const path = serialLogPath(vmFolder(world.dataDir, id));
	await writeFile(path, "0123456789");
	expect(Buffer.from(await world.service.serialLog(id, 4)).toString()).toBe("6789");
	expect(Buffer.from(await world.service.serialLog(id, 1e9)).toString()).toBe("0123456789");
	expect(await world.service.serialLog(id, -1)).toHaveLength(0);
	await rm(path);
	await symlink("/etc/hostname", path);
	await expect(world.service.serialLog(id, 100)).rejects.toMatchObject({ code: "internal" });
	await rm(path);
	await mkdir(path);
	await expect(world.service.serialLog(id, 100)).rejects.toMatchObject({ code: "internal" });
	await expect(readTail("/dev/zero", 10)).rejects.toMatchObject({ code: "internal" });
});

test("folders of VMs are made from UUIDs only, and others may pass but not look", async () => {
	expect(() => vmFolder("/data", "../../etc")).toThrow();
	expect(() => vmFolder("/data", "")).toThrow();
	const dataDir = await mkdtemp(join(tmpdir(), "lqx-folder-"));
	const before = process.umask(0o077);
	try {
		const folder = vmFolder(dataDir, fixtureId(1));
		await vmFolders.make(folder);
		await chmod(folder, 0o700);
		await vmFolders.make(folder);
		expect((await stat(folder)).mode & 0o777).toBe(0o711);
		expect((await stat(join(dataDir, "vms"))).mode & 0o777).toBe(0o711);
	} finally {
		process.umask(before);
		await rm(dataDir, { recursive: true });
	}
});

test("the host's own files are read as proc(5) says", async () => {
	const stat = "cpu  100 10 50 800 40 0 0 0 30 0\ncpu0 100 10 50 800 40 0 0 0 30 0\nbtime 1700000000\n";
	expect(parseCpuTimes(stat)).toEqual({ busy: 160, total: 1000 });
	expect(parseBootTime(stat)).toBe(1_700_000_000);
	expect(parseMemory("MemTotal:       1000 kB\nMemFree:         10 kB\nMemAvailable:    400 kB\n")).toEqual({
		...{ totalBytes: 1000 * 1024, usedBytes: 600 * 1024 },
	});
	expect(() => parseBootTime("")).toThrow();
	expect(() => parseMemory("")).toThrow();
	expect(() => parseCpuTimes("")).toThrow();
	const host = procHost();
	expect(await host.bootId()).toMatch(/^[0-9a-f-]{36}$/);
	expect(await host.bootedAtMs()).toBeLessThan(Date.now());
	expect((await host.cpuTimes()).total).toBeGreaterThan(0);
	expect((await host.memory()).totalBytes).toBeGreaterThan(0);
	expect(await host.load1()).toBeGreaterThanOrEqual(0);
});

test("figures that cannot be compared are none", () => {
	expect(cpuRatio({ busy: 1, total: 10 }, { busy: 1, total: 10 })).toBe(0);
	expect(cpuRatio({ busy: 9, total: 10 }, { busy: 5, total: 20 })).toBe(0);
	const stats: DomainStats = {
		...{ id: "x", powerState: "running", cpuTimeNs: 10, vcpus: 1, memoryActualBytes: 5, memoryUsedBytes: null },
		...{ diskReadBytes: 10, diskWriteBytes: 0, netReceivedBytes: 0, netSentBytes: 0 },
	};
	expect(vmMetrics(stats, { ...stats, cpuTimeNs: 5 }, 1_000, "t")).toBeNull();
	expect(vmMetrics(stats, stats, 0, "t")).toBeNull();
	expect(vmMetrics(stats, { ...stats, diskReadBytes: 0 }, 1_000, "t")).toMatchObject({
		...{ diskReadBytesPerSecond: 0, cpuUsedRatio: 0, memoryUsedBytes: 5 },
	});
});

test("usage of a pool is worth a report when it moved by more than a hundredth, or a minute ago", () => {
	const usage = { totalBytes: 1000, usedBytes: 500, availableBytes: 500 };
	const known = { nodeId: "x", health: "healthy", reason: null, capabilities: null, updatedAt: "", ...usage } as const;
	const healthy = { health: "healthy", reason: null } as const;
	expect(isWorthReporting(known, healthy, usage, 1e9)).toBe(false);
	expect(isWorthReporting(known, healthy, { ...usage, usedBytes: 510 }, 0)).toBe(false);
	expect(isWorthReporting(known, healthy, { ...usage, usedBytes: 511 }, 0)).toBe(true);
	expect(isWorthReporting(known, healthy, { ...usage, usedBytes: 501 }, 60_000)).toBe(true);
	expect(isWorthReporting(known, healthy, { ...usage, totalBytes: 1001 }, 0)).toBe(true);
	expect(isWorthReporting(known, { health: "error", reason: "x" }, null, 0)).toBe(true);
	expect(
		isWorthReporting({ ...known, health: "error", reason: "x" }, { health: "error", reason: "x" }, null, 1e9),
	).toBe(false);
});

test("a semaphore lets in so many, in order; whoever stops waiting takes no place", async () => {
	const gate = new Semaphore(2);
	const order: number[] = [];
	const ends = [1, 2, 3, 4].map(() => Promise.withResolvers<void>());
	const cancel = new AbortController();
	const runs = ends.map((end, at) =>
		gate.run(
			async () => {
				order.push(at);
				await end.promise;
			},
			at === 2 ? cancel.signal : undefined,
		),
	);
	await Promise.resolve();
	expect(order).toEqual([0, 1]);
	cancel.abort(new Error("enough"));
	await expect(runs[2]).rejects.toThrow("enough");
	ends[0]?.resolve();
	await runs[0];
	await Promise.resolve();
	expect(order).toEqual([0, 1, 3]);
	for (const end of ends) end.resolve();
	await Promise.all([runs[1], runs[3]]);
	await expect(gate.run(async () => {}, cancel.signal)).rejects.toThrow("enough");
	await gate.run(() => Promise.reject(new Error("x"))).catch(() => {});
	await Promise.all([gate.run(async () => {}), gate.run(async () => {})]);
});

test("a mutex by key lets different keys go side by side", async () => {
	const mutex = new KeyedMutex();
	const order: string[] = [];
	const hold = Promise.withResolvers<void>();
	const first = mutex.run("a", () => hold.promise.then(() => void order.push("first")));
	const second = mutex.run("a", async () => void order.push("second"));
	await mutex.run("b", async () => void order.push("other"));
	hold.resolve();
	await Promise.all([first, second]);
	expect(order).toEqual(["other", "first", "second"]);
});

test("a limit ends what honours its signal, and what does not; being told to end leaves time to clean up", async () => {
	const clock = new ManualClock();
	const seen: unknown[] = [];
	const options = { what: "It", limitMs: 1_000 };
	const deaf = withLimit(clock, options, () => new Promise(() => {})).catch((error: unknown) => error);
	clock.advance(1_000);
	expect(await deaf).toMatchObject({ code: "timeout", message: "It did not finish within 1 s." });
	let touch = () => {};
	const idle = withLimit(clock, { ...options, idleMs: 100 }, (signal, given) => {
		touch = given;
		signal.addEventListener("abort", () => seen.push(signal.reason.code));
		return new Promise(() => {});
	}).catch((error: unknown) => error);
	clock.advance(90);
	touch();
	clock.advance(90);
	expect(seen).toEqual([]);
	clock.advance(10);
	expect(await idle).toMatchObject({ code: "timeout", message: "It made no progress for 100 ms." });
	expect(seen).toEqual(["timeout"]);
	const control = new AbortController();
	const cleaned = Promise.withResolvers<string>();
	const told = withLimit(clock, { ...options, limitMs: 1e9, signal: control.signal }, () => cleaned.promise);
	control.abort(new Error("enough"));
	cleaned.resolve("done after all");
	expect(await told).toBe("done after all");
	const stuck = withLimit(clock, { ...options, limitMs: 1e9, signal: control.signal }, () => new Promise(() => {}));
	const ended = stuck.catch((error: unknown) => error);
	clock.advance(30_000);
	expect(await ended).toMatchObject({ message: "enough" });
	expect(clock.waiting).toBe(0);
});
