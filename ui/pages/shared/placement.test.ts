import { describe, expect, test } from "bun:test";
import { GiB } from "../../../src/lib/units.ts";
import type { Pool } from "../../api/types.ts";
import { seed } from "../../dev/mock/seed.ts";
import type { MockState } from "../../dev/mock/state.ts";
import { planMove } from "../vm/move.ts";
import { roomiest, roomText, type Surroundings, targetsFor, type Wanted } from "./placement.ts";

const around = ({ tables }: MockState): Surroundings => ({
	nodes: [...tables.node.values()],
	vms: [...tables.vm.values()],
	pools: [...tables.pool.values()],
	networks: [...tables.network.values()],
});
const wanted = (changes: Partial<Wanted> = {}): Wanted => ({
	...{ memoryBytes: 4 * GiB, vcpus: 2, networkIds: [] },
	...changes,
});
const nodeNamed = ({ tables }: MockState, name: string) => {
	const node = [...tables.node.values()].find((one) => one.name === name);
	if (!node) throw new Error(`there is no ${name}`);
	return node;
};
const obstacles = (state: MockState, changes: Partial<Wanted> = {}) =>
	Object.fromEntries(targetsFor(wanted(changes), around(state)).map(({ node, obstacle }) => [node.name, obstacle]));

describe("where a VM can be", () => {
	test("all nodes that are ready, with what is left of their memory", () => {
		const state = seed({ nodes: 3, vms: 0 });
		const targets = targetsFor(wanted(), around(state));
		expect(targets.map(({ node, memoryLeftBytes, vcpus }) => [node.name, memoryLeftBytes / GiB, vcpus])).toEqual([
			["node-1", 124, 2],
			["node-2", 92, 2],
			["node-3", 252, 2],
		]);
		expect(roomiest(targets)?.node.name).toBe("node-3");
	});

	test("what runs or may run there counts; the one that moves does not", () => {
		const state = seed({ nodes: 2, vms: 2 });
		const [vm] = [...state.tables.vm.values()].filter(({ nodeId }) => nodeId === state.nodeId);
		const memory = vm?.spec.memory.sizeBytes ?? 0;
		const left = (but: string | null) => targetsFor(wanted(), around(state), but)[0]?.memoryLeftBytes ?? 0;
		expect(left(vm?.id ?? "") - left(null)).toBe(memory);
	});

	test("not on witnesses, nodes that are not ready or too small, without the bridge or a pool", () => {
		const state = seed({ nodes: 6, vms: 0 });
		const office = [...state.tables.network.values()].find(({ name }) => name === "office")?.id ?? "";
		const change = (name: string, status: object, rest: object = {}) => {
			const node = nodeNamed(state, name);
			state.change("node", node.id, { ...rest, status: { ...node.status, ...status } });
		};
		change("node-1", {}, { witness: true });
		change("node-2", { phase: "not-ready", reason: "libvirt is away." });
		change("node-3", { memoryBytes: 2 * GiB });
		change("node-4", { bridges: [] });
		for (const pool of state.tables.pool.values())
			state.change("pool", pool.id, { nodeIds: pool.nodeIds.filter((id) => id !== nodeNamed(state, "node-5").id) });
		expect(obstacles(state, { networkIds: [office] })).toEqual({
			"node-1": "A witness runs no VMs.",
			"node-2": "Not ready: libvirt is away.",
			"node-3": "It has 2 GiB of memory, the VM wants 4 GiB.",
			"node-4": "It has no bridge br0, which the network office is on.",
			"node-5": "It has no storage pool that can be used.",
			"node-6": null,
		});
		expect(obstacles(state)["node-4"]).toBeNull();
	});

	test("not where no pool works; a warning, or that nobody has looked yet, is no reason", () => {
		const state = seed({ nodes: 4, vms: 0 });
		const change = (name: string, health: Pool["nodes"][number]["health"] | null) => {
			const { id } = nodeNamed(state, name);
			for (const pool of state.tables.pool.values()) {
				const others = pool.nodes.filter(({ nodeId }) => nodeId !== id);
				const mine = pool.nodes.filter(({ nodeId }) => nodeId === id && health !== null);
				const nodes = [...others, ...mine.map((part) => ({ ...part, health: health ?? part.health }))];
				state.change("pool", pool.id, { nodes, phase: "degraded" });
			}
		};
		change("node-1", "unmounted");
		change("node-2", "error");
		change("node-3", "degraded");
		change("node-4", null);
		expect(Object.values(obstacles(state)).map((obstacle) => obstacle === null)).toEqual([false, false, true, true]);
	});

	test("nodes that left are no choice", () => {
		const state = seed({ nodes: 2, vms: 0 });
		const { id, status } = nodeNamed(state, "node-2");
		state.change("node", id, { status: { ...status, phase: "left" } });
		expect(Object.keys(obstacles(state))).toEqual(["node-1"]);
	});

	test("more than there is is said as such", () => {
		expect(roomText({ memoryLeftBytes: 3 * GiB })).toBe("3 GiB of memory left after it");
		expect(roomText({ memoryLeftBytes: -3 * GiB })).toBe("3 GiB more memory wanted than there is");
	});
});

describe("moving", () => {
	const parts = (power: "stopped" | "running", phase: "ready" | "not-ready" | "left") => {
		const state = seed({ nodes: 2, vms: 1 });
		const [vm] = state.tables.vm.values();
		const [node] = state.tables.node.values();
		if (!vm || !node) throw new Error("the mock is empty");
		return {
			vm: { ...vm, status: { ...vm.status, powerState: power } },
			from: { ...node, status: { ...node.status, phase } },
			volumes: [...state.tables.volume.values()],
		};
	};

	test("copies what lies on the node, as much as is in use", () => {
		const { vm, from, volumes } = parts("stopped", "ready");
		const plan = planMove(vm, from, volumes);
		expect(plan).toMatchObject({ gone: false, obstacle: null, copyBytes: volumes[0]?.allocatedBytes });
		expect(plan.copied).toHaveLength(1);
		const shared = volumes.map((volume) => ({ ...volume, nodeId: null }));
		expect(planMove(vm, from, shared)).toMatchObject({ copied: [], copyBytes: 0 });
	});

	test("is for VMs that are off", () => {
		const { vm, from, volumes } = parts("running", "ready");
		expect(planMove(vm, from, volumes).obstacle).toBe("A VM that is running cannot be moved.");
	});

	test("of one whose node is gone wants its disks elsewhere, whatever its state", () => {
		for (const status of [{ phase: "left" }, { phase: "not-ready", lost: true }, { phase: "not-ready" }] as const) {
			const { vm, from: node, volumes } = parts("running", "ready");
			const from = { ...node, status: { ...node.status, ...status } };
			expect(planMove(vm, from, volumes)).toMatchObject({
				gone: true,
				obstacle: `Its disk ${volumes[0]?.name} lies on node-1, which is not heard of: it cannot be moved.`,
			});
			expect(planMove(vm, from, [])).toMatchObject({ gone: true, obstacle: null });
		}
	});

	test("is not of one whose node only misses its libvirt: it may run there", () => {
		const { vm, from: node } = parts("stopped", "not-ready");
		const reason = "libvirt does not answer.";
		const from = { ...node, status: { ...node.status, hypervisor: "disconnected", reason } as const };
		expect(planMove(vm, from, [])).toMatchObject({
			...{
				gone: false,
				obstacle: "node-1 is not ready, but it answers: libvirt does not answer. The VM is moved when it is ready.",
			},
		});
		expect(planMove(vm, { ...from, status: { ...from.status, lost: true } }, [])).toMatchObject({ gone: true });
	});

	test("is not of one that runs on a host that is not its node's any more", () => {
		const { vm, from } = parts("stopped", "left");
		const twice = { ...vm, alsoRunsOn: ["01980000-0000-7000-8000-000000000099"] };
		expect(planMove(twice, from, []).obstacle).toContain("Shut it down there first");
	});
});
