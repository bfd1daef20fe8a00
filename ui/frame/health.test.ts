import { expect, test } from "bun:test";
import type { ClusterInfo } from "../api/types.ts";
import { seed } from "../dev/mock/seed.ts";
import { findProblems, type HealthInput, healthOf } from "./health.ts";

const state = seed({ vms: 12 });
state.stop();
const cluster: ClusterInfo = {
	id: "c",
	generation: 1,
	createdAt: "",
	updatedAt: "",
	name: "lab",
	version: "0.1.0",
	quorum: true,
	leaderNodeId: null,
	demoAvailable: false,
	firstRun: false,
};
const input: HealthInput = {
	cluster,
	nodes: [...state.tables.node.values()],
	clocks: null,
	vms: [...state.tables.vm.values()],
	pools: [...state.tables.pool.values()],
	images: [...state.tables.image.values()],
	networks: [...state.tables.network.values()],
};

test("a failed VM and a bad image need attention, and do not make the cluster bad", () => {
	const problems = findProblems(input);
	expect(problems.map(({ kind, name }) => `${kind} ${name}`)).toEqual(["vm cache-02", "image old-appliance"]);
	expect(problems[0]?.text).toContain("no space left");
	expect(healthOf(input, problems)).toBe("warning");
	expect(healthOf(input, [])).toBe("good");
});

test("a VM that runs twice is trouble, with the host on which it is to be shut down", () => {
	const [vm] = input.vms;
	const [node] = input.nodes;
	if (!vm || !node) throw new Error("the seed is empty");
	const problems = findProblems({ ...input, vms: [{ ...vm, alsoRunsOn: [node.id] }] });
	expect(problems[0]).toMatchObject({
		...{ kind: "vm", severity: "error", name: vm.name },
		text: "It runs also on node-1, which has it no more: shut it down on that host.",
	});
});

test("no quorum, a node that is away and a pool in error are trouble, first in the list", () => {
	const [node] = input.nodes;
	const [pool] = input.pools;
	if (!node || !pool) throw new Error("the seed is empty");
	const bad: HealthInput = {
		...input,
		cluster: { ...cluster, quorum: false },
		nodes: [{ ...node, status: { ...node.status, phase: "not-ready", reason: "no answer" } }],
		pools: [{ ...pool, phase: "error" }],
	};
	const problems = findProblems(bad);
	expect(problems.slice(0, 3).map(({ kind, severity }) => `${kind} ${severity}`)).toEqual([
		"cluster error",
		"node error",
		"pool error",
	]);
	expect(healthOf(bad, problems)).toBe("bad");
});

test("a clock that is off needs attention, with by how much", () => {
	const right = { clockOff: false, clockOffsetMs: 12 };
	const members = [
		{ nodeId: "a", name: "node-1", ...right },
		{ nodeId: "b", name: "node-2", clockOff: true, clockOffsetMs: -7_500_000 },
	];
	const found = findProblems({ ...input, clocks: { clockBasis: "majority", members }, images: [], vms: [] });
	expect(found).toMatchObject([
		{ kind: "node", name: "node-2", severity: "warning", text: "Its clock is 2 h 5 min behind most others." },
	]);
});

test("two clocks that differ are one trouble, of the cluster: nobody knows which is right", () => {
	const members = [
		{ nodeId: "a", name: "node-1", clockOff: true, clockOffsetMs: 0 },
		{ nodeId: "b", name: "node-2", clockOff: true, clockOffsetMs: -7_500_000 },
	];
	const found = findProblems({ ...input, clocks: { clockBasis: "none", members }, images: [], vms: [] });
	expect(found).toMatchObject([
		{ kind: "cluster", name: "lab", text: expect.stringContaining("node-1, node-2 differ by 2 h 5 min") },
	]);
});

test("libvirt is missed on nodes that run VMs, and not on a witness or on one that has left", () => {
	const [node] = input.nodes;
	if (!node) throw new Error("the seed is empty");
	const status = { ...node.status, hypervisor: "disconnected" } as const;
	const ofNode = (changes: Partial<typeof node>) =>
		findProblems({ ...input, nodes: [{ ...node, ...changes }], vms: [] });
	const missed = ofNode({ status }).find(({ kind }) => kind === "node");
	expect(missed).toMatchObject({ severity: "error", text: expect.stringContaining("libvirt") });
	for (const changes of [{ status, witness: true }, { status: { ...status, phase: "left" } }] as const)
		expect(ofNode(changes).filter(({ kind }) => kind === "node")).toEqual([]);
	const lost = { ...status, phase: "not-ready" } as const;
	expect(ofNode({ status: lost, witness: true }).map(({ kind }) => kind)).toContain("node");
});

test("of a node that is not heard of, its VMs are not listed one by one", () => {
	const vms = input.vms.map((vm) => ({ ...vm, status: { ...vm.status, powerState: "unknown" as const, error: null } }));
	const lost = (node: HealthInput["nodes"][number]) =>
		({ ...node, status: { ...node.status, phase: "not-ready", lost: true } }) as const;
	const ofVms = (nodes: HealthInput["nodes"]) =>
		findProblems({ ...input, nodes, vms }).filter(({ kind }) => kind === "vm");
	expect(ofVms(input.nodes)).toHaveLength(vms.length);
	expect(ofVms(input.nodes.map(lost))).toEqual([]);
});

test("nor are its pools, but those that are bad elsewhere, too", () => {
	const [node] = input.nodes;
	const [pool] = input.pools;
	const [report] = pool?.nodes ?? [];
	if (!node || !pool || !report) throw new Error("the seed is empty");
	const status = { ...node.status, phase: "not-ready", lost: true } as const;
	const unheard = { ...report, health: "error", reason: "Its node is not heard of." } as const;
	const elsewhere = { ...report, nodeId: "elsewhere" };
	const ofPools = (...nodes: (typeof report)[]) =>
		findProblems({ ...input, nodes: [{ ...node, status }], pools: [{ ...pool, phase: "degraded", nodes }] })
			.filter(({ kind }) => kind === "pool")
			.map(({ text }) => text);
	expect(ofPools(unheard, elsewhere)).toEqual([]);
	expect(ofPools(unheard, { ...elsewhere, health: "unmounted", reason: "Not mounted." })).toEqual(["Not mounted."]);
	// What the others know is not hidden by that.
	const full = { totalBytes: 100, usedBytes: 97 };
	expect(ofPools(unheard, { ...elsewhere, ...full })).toEqual(["The pool is more than 90 % full."]);
	expect(ofPools({ ...unheard, ...full }, elsewhere)).toEqual([]);
});

test("nothing known yet is unknown, not healthy", () => {
	expect(healthOf({ cluster: null, nodes: [] }, [])).toBe("unknown");
});
