/** The rules that need nothing but an object. */
import { describe, expect, test } from "bun:test";
import {
	fixtureNetwork,
	fixturePool,
	fixtureTask,
	fixtureVm,
	fixtureVmSpec,
	fixtureVmStatus,
	fixtureVolume,
} from "../testing/fixtures.ts";
import { mayReadEvent } from "./event-visibility.ts";
import type { NetworkConfig } from "./network.ts";
import { networkConfigProblems, networksCollide } from "./network-rules.ts";
import type { ResourceKind } from "./schema.ts";
import type { Pool } from "./storage.ts";
import { imagePhaseObstacle, needsSource, poolPhase, volumePhaseObstacle } from "./storage-rules.ts";
import type { TaskKind } from "./task.ts";
import { isTimestamp, schemaProblems, validated } from "./validate.ts";
import { type PowerState, Vm, type VmSpec } from "./vm.ts";
import { updateActionOf, vmRequestObstacle, vmSpecProblems } from "./vm-rules.ts";

describe("what may be asked of a VM", () => {
	const vm = (powerState: PowerState, desiredPower: "running" | "paused" | "stopped" = "stopped", deleting = false) =>
		fixtureVm({ status: fixtureVmStatus({ powerState }), desiredPower, deleting });
	const tasks = (...kinds: TaskKind[]) => kinds.map((kind) => fixtureTask(kind, { kind: "vm", id: "x" }));

	test("follows its state when no work is under way", () => {
		expect(vmRequestObstacle("start", vm("stopped"), [])).toBeNull();
		expect(vmRequestObstacle("start", vm("running", "running"), [])).toContain("running");
		expect(vmRequestObstacle("stop", vm("stopped"), [])).not.toBeNull();
		expect(vmRequestObstacle("start", vm("running"), tasks("vm.update"))).not.toBeNull();
	});

	test("follows what the work makes of it, with ways out", () => {
		const starting = tasks("vm.start");
		expect(vmRequestObstacle("start", vm("stopped", "running"), starting)).toContain("under way");
		expect(vmRequestObstacle("pause", vm("stopped", "running"), starting)).toBeNull();
		for (const wayOut of ["stop", "delete"] as const)
			expect(vmRequestObstacle(wayOut, vm("stopped", "running"), starting)).toBeNull();
		expect(vmRequestObstacle("shutdown", vm("running"), tasks("vm.shutdown"))).not.toBeNull();
		expect(vmRequestObstacle("start", vm("running"), tasks("vm.shutdown"))).toBeNull();
		const finished = starting.map((task) => ({ ...task, state: "failed" as const }));
		expect(vmRequestObstacle("start", vm("stopped", "running"), finished)).toBeNull();
	});

	test("is nothing while it is deleted or unknown", () => {
		expect(vmRequestObstacle("start", vm("stopped", "stopped", true), [])).toContain("deleted");
		expect(vmRequestObstacle("delete", vm("stopped", "stopped", true), tasks("vm.delete"))).toContain("already");
		expect(vmRequestObstacle("delete", vm("stopped", "stopped", true), [])).toBeNull();
		expect(vmRequestObstacle("stop", vm("unknown"), tasks("vm.start"))).toContain("unknown");
	});
});

describe("a spec", () => {
	const nic = { id: "nic-0", networkId: "n", mac: "52:54:00:00:00:01", model: "virtio", linkUp: true } as const;
	const disk = { id: "disk-0", volumeId: "v", bus: "virtio", cache: "none", discard: true, readOnly: false } as const;
	const paths = (changes: Partial<VmSpec>) => vmSpecProblems(fixtureVmSpec(changes)).map(({ path }) => path);

	test("has devices with ids of their own, and refers only to them", () => {
		expect(paths({ disks: [disk], nics: [nic], bootOrder: ["disk-0", "nic-0"] })).toEqual([]);
		expect(paths({ disks: [disk], cdroms: [{ id: "disk-0", imageId: null }] })).toEqual(["/spec/cdroms/0/id"]);
		expect(paths({ bootOrder: ["disk-0"] })).toEqual(["/spec/bootOrder/0"]);
		expect(paths({ disks: [disk], bootOrder: ["disk-0", "disk-0"] })).toEqual(["/spec/bootOrder/1"]);
		expect(paths({ disks: [disk, { ...disk, id: "disk-1" }] })).toEqual(["/spec/disks/1/volumeId"]);
		expect(paths({ nics: [nic, { ...nic, id: "nic-1" }] })).toEqual(["/spec/nics/1/mac"]);
	});

	test("has maxima that are not below what it begins with", () => {
		expect(paths({ cpu: { vcpus: 3, maxVcpus: 2, model: "host" } })).toEqual(["/spec/cpu/maxVcpus"]);
		expect(paths({ memory: { sizeBytes: 2, maxSizeBytes: 1 } })).toEqual(["/spec/memory/maxSizeBytes"]);
	});

	test("changes in ways that are allowed in different states", () => {
		const before = fixtureVmSpec({ cdroms: [{ id: "cd-0", imageId: null }] });
		const other = { ...before, cdroms: [{ id: "cd-0", imageId: "i" }] };
		expect(updateActionOf(before, { ...before, shutdownTimeoutMs: 1 })).toBe("update");
		expect(updateActionOf(before, other)).toBe("change-media");
		expect(updateActionOf(before, { ...other, tpm: true })).toBe("update-hardware");
		expect(updateActionOf(before, { ...before, cdroms: [] })).toBe("update-hardware");
	});
});

describe("networks", () => {
	const nat = (gateway: string, prefixLength: number, dhcpStart: string, dhcpEnd: string): NetworkConfig => ({
		...{ kind: "nat", gateway, prefixLength, dhcpStart, dhcpEnd },
	});
	const fields = (config: NetworkConfig) => networkConfigProblems(config).map(({ path }) => path);

	test("have a gateway and a range of their subnet, apart from each other", () => {
		expect(fields(fixtureNetwork().config)).toEqual([]);
		expect(fields({ kind: "bridge", bridge: "br0" })).toEqual([]);
		expect(fields(nat("10.0.0.1", 24, "10.0.1.10", "10.0.1.20"))).toEqual(["/config/dhcpStart", "/config/dhcpEnd"]);
		expect(fields(nat("10.0.0.0", 24, "10.0.0.10", "10.0.0.255"))).toEqual(["/config/gateway", "/config/dhcpEnd"]);
		expect(fields(nat("10.0.0.1", 24, "10.0.0.20", "10.0.0.10"))).toEqual(["/config/dhcpEnd"]);
		expect(fields(nat("10.0.0.15", 24, "10.0.0.10", "10.0.0.20"))).toEqual(["/config/gateway"]);
		expect(fields(nat("192.168.255.1", 16, "192.168.0.1", "192.168.255.0"))).toEqual([]);
	});

	test("collide when their addresses overlap", () => {
		const one = nat("10.0.0.1", 24, "10.0.0.2", "10.0.0.9");
		expect(networksCollide(one, nat("10.0.255.1", 16, "10.0.0.2", "10.0.0.9"))).toBe(true);
		expect(networksCollide(one, nat("10.0.1.1", 24, "10.0.1.2", "10.0.1.9"))).toBe(false);
		expect(networksCollide(one, { kind: "bridge", bridge: "br0" })).toBe(false);
	});
});

test("the phase of a pool follows from what its nodes report", () => {
	const report = (nodeId: string, health: Pool["nodes"][number]["health"]) => ({
		...{ nodeId, health, reason: null, totalBytes: null, usedBytes: null, availableBytes: null },
		...{ capabilities: null, updatedAt: "" },
	});
	const phase = (...nodes: Pool["nodes"]) => poolPhase(fixturePool({ nodeIds: ["a", "b"], nodes }));
	expect(phase()).toBe("pending");
	expect(phase(report("c", "healthy"))).toBe("pending");
	expect(phase(report("a", "healthy"))).toBe("degraded");
	expect(phase(report("a", "healthy"), report("b", "healthy"))).toBe("ready");
	expect(phase(report("a", "healthy"), report("b", "unmounted"))).toBe("degraded");
	expect(phase(report("a", "error"), report("b", "unmounted"))).toBe("error");
	expect(poolPhase(fixturePool({ phase: "deleting" }))).toBe("deleting");
});

test("a report moves volumes and images only where a report may", () => {
	expect(volumePhaseObstacle("pending", "creating")).toBeNull();
	expect(volumePhaseObstacle("ready", "deleting")).not.toBeNull();
	expect(volumePhaseObstacle("deleting", "ready")).not.toBeNull();
	expect(volumePhaseObstacle("deleting", "error")).toBeNull();
	expect(volumePhaseObstacle("ready", "pending")).not.toBeNull();
	expect(volumePhaseObstacle("error", "pending")).not.toBeNull();
	expect(volumePhaseObstacle("creating", "pending")).toBeNull();
	expect(imagePhaseObstacle("uploading", "importing")).toBeNull();
	expect(imagePhaseObstacle("ready", "uploading")).not.toBeNull();
	expect(imagePhaseObstacle("deleting", "ready")).not.toBeNull();
});

test("a volume needs its source while it shares data with it, or is being copied", () => {
	const source = (fullCopy: boolean, phase: "ready" | "creating") =>
		needsSource(fixtureVolume({ source: { kind: "image", imageId: "i", fullCopy }, phase }));
	expect([source(false, "ready"), source(true, "creating"), source(true, "ready")]).toEqual([true, true, false]);
	expect(needsSource(fixtureVolume())).toBe(false);
});

describe("validation", () => {
	test("accepts what is in the schema and nothing beside it", () => {
		expect(schemaProblems(Vm, fixtureVm())).toEqual([]);
		expect(schemaProblems(Vm, { ...fixtureVm(), extra: 1 })).toMatchObject([{ path: "/extra" }]);
		expect(schemaProblems(Vm, JSON.parse(`{"__proto__": 1, ${JSON.stringify(fixtureVm()).slice(1)}`))).toMatchObject([
			{ path: "/__proto__" },
		]);
		expect(() => validated(Vm, { ...fixtureVm(), name: "a/b" }, "The VM")).toThrow("The VM is not valid: /name");
	});

	test("reports a bounded number of problems", () => {
		const tags = Array.from({ length: 1000 }, () => 1);
		expect(schemaProblems(Vm, { ...fixtureVm(), tags }).length).toBeLessThanOrEqual(20);
	});

	test("takes times in UTC only", () => {
		expect(isTimestamp("2026-01-02T03:04:05Z")).toBe(true);
		for (const text of [
			"2026-01-02T03:04:05+02:00",
			"2026-13-02T03:04:05Z",
			"2026-01-02",
			"now",
			"2026-01-02T03:04:05",
		])
			expect(isTimestamp(text)).toBe(false);
	});
});

test("events of accounts are for administrators and their owners", () => {
	const event = (kind: ResourceKind, id: string, object: unknown) => ({
		...{ id: "1.0", time: "", type: "updated" as const, target: { kind, id, name: null }, object },
	});
	const viewer = { role: "viewer", userId: "u" } as const;
	const sees = (kind: ResourceKind, id: string, object: unknown) => mayReadEvent(event(kind, id, object), viewer);
	expect(sees("vm", "v", {})).toBe(true);
	expect([sees("user", "u", {}), sees("user", "other", {})]).toEqual([true, false]);
	expect([sees("session", "s", { userId: "u" }), sees("session", "s", { userId: "o" })]).toEqual([true, false]);
	expect([sees("joinToken", "t", null), sees("joinToken", "t", { userId: "u" })]).toEqual([false, false]);
	expect([sees("token", "t", null), sees("token", "t", { userId: 1 })]).toEqual([false, false]);
	expect(mayReadEvent(event("user", "other", {}), { role: "admin", userId: null })).toBe(true);
});
