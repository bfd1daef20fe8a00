import { describe, expect, test } from "bun:test";
import { readXml } from "../../lib/xml-reader.ts";
import { parseNeighbours } from "./addresses.ts";
import { qemuUserOf } from "./host.ts";
import type { LibvirtDomainEvent } from "./rpc/events.ts";
import { domainEventOf, isActive, powerStateOf } from "./states.ts";
import { domainStatsOf } from "./stats.ts";

const domain = { uuid: "0190aaaa-0000-7000-8000-000000000001", name: "n", id: 1 };
const id = domain.uuid;

describe("states", () => {
	test("become ours", () => {
		const table = [
			["running booted", "running"],
			["running postcopy", "migrating"],
			["blocked unknown", "running"],
			["paused user", "paused"],
			["paused io-error", "paused"],
			["paused migration", "migrating"],
			["paused starting-up", "starting"],
			["paused shutting-down", "stopping"],
			["paused crashed", "failed"],
			["shutdown user", "stopping"],
			["shutoff shutdown", "stopped"],
			["shutoff failed", "stopped"],
			["shutoff crashed", "failed"],
			["crashed panicked", "failed"],
			["pmsuspended unknown", "paused"],
			["nostate unknown", "unknown"],
		] as const;
		for (const [theirs, ours] of table) {
			const [state, reason] = theirs.split(" ");
			expect(`${theirs} → ${powerStateOf(state as never, reason ?? "")}`).toBe(`${theirs} → ${ours}`);
		}
		expect(isActive("shutoff")).toBe(false);
		expect(isActive("crashed")).toBe(true);
	});
});

describe("events", () => {
	const lifecycle = (event: string, detail: string) =>
		domainEventOf({ domain, kind: "lifecycle", event, detail } as LibvirtDomainEvent);

	test("of the life cycle carry the state that they lead to", () => {
		expect(lifecycle("started", "booted")).toEqual({ kind: "lifecycle", id, powerState: "running", detail: "booted" });
		expect(lifecycle("resumed", "unpaused")).toMatchObject({ powerState: "running" });
		expect(lifecycle("suspended", "paused")).toMatchObject({ powerState: "paused", detail: "user" });
		expect(lifecycle("suspended", "io-error")).toMatchObject({ powerState: "paused", detail: "io-error" });
		expect(lifecycle("shutdown", "guest")).toMatchObject({ powerState: "stopping" });
		expect(lifecycle("stopped", "destroyed")).toMatchObject({ powerState: "stopped", detail: "destroyed" });
		expect(lifecycle("stopped", "crashed")).toMatchObject({ powerState: "failed", detail: "crashed" });
		expect(lifecycle("stopped", "failed")).toMatchObject({ powerState: "failed", detail: "crashed" });
		expect(lifecycle("crashed", "panicked")).toMatchObject({ powerState: "failed" });
		expect(lifecycle("pmsuspended", "memory")).toMatchObject({ powerState: "paused" });
		expect(lifecycle("defined", "updated")).toMatchObject({ powerState: null, detail: "defined" });
		expect(lifecycle("undefined", "removed")).toMatchObject({ powerState: null, detail: "undefined" });
		expect(lifecycle("unknown", "x")).toBeNull();
	});

	test("of devices are passed on; what the node has no use for is not", () => {
		expect(domainEventOf({ domain, kind: "reboot" })).toEqual({ kind: "reboot", id });
		expect(domainEventOf({ domain, kind: "tray-change", alias: "ua-a", open: true })).toEqual({
			kind: "tray",
			id,
			alias: "ua-a",
			open: true,
		});
		expect(domainEventOf({ domain, kind: "device-removed", alias: "ua-a" })).toEqual({
			kind: "device-removed",
			id,
			alias: "ua-a",
		});
		const io = { domain, kind: "io-error", path: "/p", alias: "ua-a", action: "pause" } as const;
		expect(domainEventOf({ ...io, reason: "enospc" })).toMatchObject({ kind: "io-error", reason: "no-space" });
		expect(domainEventOf({ ...io, reason: "" })).toMatchObject({ kind: "io-error", reason: "io-error" });
		expect(domainEventOf({ domain, kind: "control-error" })).toBeNull();
	});
});

describe("figures", () => {
	test("are added up over devices", () => {
		const stats = {
			"state.state": 1,
			"state.reason": 1,
			"cpu.time": 5000,
			"balloon.current": 2048,
			"balloon.available": 2000,
			"balloon.usable": 500,
			"vcpu.current": 2,
			"vcpu.maximum": 4,
			"block.count": 2,
			"block.0.rd.bytes": 10,
			"block.1.rd.bytes": 5,
			"block.1.wr.bytes": 7,
			"net.count": 1,
			"net.0.rx.bytes": 3,
			"net.0.tx.bytes": 4,
		};
		expect(domainStatsOf({ domain, stats })).toEqual({
			id,
			powerState: "running",
			cpuTimeNs: 5000,
			vcpus: 2,
			memoryActualBytes: 2048 * 1024,
			memoryUsedBytes: 1500 * 1024,
			diskReadBytes: 15,
			diskWriteBytes: 7,
			netReceivedBytes: 3,
			netSentBytes: 4,
		});
	});

	test("of a busy domain, or without control groups, may be few", () => {
		const stats = { "state.state": 3, "state.reason": 1, "vcpu.maximum": 2, "vcpu.0.time": 40, "vcpu.1.time": 2 };
		expect(domainStatsOf({ domain, stats })).toMatchObject({
			powerState: "paused",
			cpuTimeNs: 42,
			memoryActualBytes: null,
			memoryUsedBytes: null,
			diskReadBytes: 0,
		});
		expect(domainStatsOf({ domain, stats: { "block.count": 1e12 } }).powerState).toBe("unknown");
	});
});

describe("the host", () => {
	test("says as whom QEMU runs", () => {
		const host = (label: string) =>
			readXml(`<host><secmodel><model>apparmor</model></secmodel><secmodel><model>dac</model>
				<baselabel type='kvm'>${label}</baselabel><baselabel type='qemu'>+1:+1</baselabel></secmodel></host>`);
		expect(qemuUserOf(host("+64055:+109"))).toEqual({ uid: 64055, gid: 109 });
		expect(qemuUserOf(host("nonsense"))).toEqual({ uid: 0, gid: 0 });
		expect(qemuUserOf(null)).toEqual({ uid: 0, gid: 0 });
	});

	test("knows its neighbours", () => {
		const text = `IP address       HW type     Flags       HW address            Mask     Device
10.0.0.5         0x1         0x2         52:54:00:AA:BB:CC     *        br0
10.0.0.6         0x1         0x0         00:00:00:00:00:00     *        br0
`;
		expect(parseNeighbours(text)).toEqual([{ address: "10.0.0.5", mac: "52:54:00:aa:bb:cc" }]);
		expect(parseNeighbours("")).toEqual([]);
	});
});
