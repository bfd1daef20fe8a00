/** Where new VMs, volumes and images go. */
import { describe, expect, test } from "bun:test";
import { GiB } from "../lib/units.ts";
import type { NetworkNodeStatus } from "../model/network.ts";
import type { Node, NodeStatus } from "../model/node.ts";
import type { PoolNodeStatus } from "../model/storage.ts";
import { fixtureId, fixtureNetwork, fixtureNode, fixturePool } from "../testing/fixtures.ts";
import { type PlacementState, placeStorage, placeVm, type WantedVm } from "./placement.ts";

const node = (number: number, status: Partial<NodeStatus> = {}, changes: Partial<Node> = {}): Node => {
	const base = fixtureNode({ id: fixtureId(number), name: `node-${number}`, ...changes });
	return { ...base, status: { ...base.status, memoryBytes: 16 * GiB, cpuCount: 8, ...status } };
};
const load = (nodeNumber: number, memoryBytes: number, vcpus = 1) => ({
	nodeId: fixtureId(nodeNumber),
	memoryBytes,
	vcpus,
});
const part = (nodeNumber: number, availableBytes: number, health: PoolNodeStatus["health"] = "healthy") => ({
	...{ nodeId: fixtureId(nodeNumber), health, reason: null, totalBytes: 100 * GiB, usedBytes: 0, availableBytes },
	...{ capabilities: null, updatedAt: "2026-01-02T03:04:05.000Z" },
});
const pool = (numbers: number[], available = 50 * GiB) =>
	fixturePool({
		phase: "ready",
		nodeIds: numbers.map(fixtureId),
		nodes: numbers.map((number) => part(number, available)),
	});
const ready = (nodeNumber: number): NetworkNodeStatus => ({
	...{ nodeId: fixtureId(nodeNumber), health: "healthy", bridge: "br0", error: null },
});
const broken = { health: "error" as const, error: { code: "network" as const, message: "It does not work." } };
const wanted: WantedVm = { memoryBytes: 2 * GiB, vcpus: 2, networks: [], pools: [null], volumes: [] };
const state = (nodes: Node[], changes: Partial<PlacementState> = {}): PlacementState => ({
	nodes,
	loads: [],
	pools: [pool([1, 2, 3])],
	...changes,
});
const chosen = (given: PlacementState, change: Partial<WantedVm> = {}) =>
	placeVm(given, { ...wanted, ...change }).nodeId;

describe("a VM goes", () => {
	test("where the most memory is left after it", () => {
		const three = [node(1), node(2, { memoryBytes: 32 * GiB }), node(3)];
		expect(chosen(state(three))).toBe(fixtureId(2));
		expect(chosen(state(three, { loads: [load(2, 20 * GiB)] }))).toBe(fixtureId(1));
		expect(chosen(state(three, { loads: [load(2, 20 * GiB), load(1, GiB)] }))).toBe(fixtureId(3));
		expect(placeVm(state(three), wanted).reason).toBe(
			"Placed on node-2: of 3 nodes that fit it has the most memory left after it (30 GiB).",
		);
	});

	test("then where the fewest vCPUs share a CPU, then by name", () => {
		expect(chosen(state([node(2), node(1)]))).toBe(fixtureId(1));
		expect(chosen(state([node(1), node(2, { cpuCount: 16 })]))).toBe(fixtureId(2));
		const loads = [load(1, GiB, 8), load(2, GiB, 1)];
		expect(chosen(state([node(1), node(2)], { loads }))).toBe(fixtureId(2));
	});

	test("the same way in whatever order the state has its nodes", () => {
		const all = [node(1, { memoryBytes: 8 * GiB }), node(2), node(3)];
		const orders = [all, [...all].reverse(), [all[1], all[0], all[2]].filter((one) => one !== undefined)];
		expect(new Set(orders.map((nodes) => chosen(state(nodes)))).size).toBe(1);
	});

	test("to no node that is a witness, not ready, or has left", () => {
		const nodes = [
			node(1, { memoryBytes: 64 * GiB }, { witness: true }),
			node(2, { memoryBytes: 64 * GiB, phase: "not-ready", reason: "libvirt does not answer." }),
			node(3, { memoryBytes: 3 * GiB }),
			node(4, { phase: "left" }),
		];
		expect(placeVm(state(nodes), wanted)).toEqual({
			nodeId: fixtureId(3),
			reason: "Placed on node-3: no other node fits.",
		});
	});

	test("where its pool, its network and its volumes are", () => {
		const two = [node(1), node(2)];
		expect(chosen(state(two, { pools: [pool([2])] }))).toBe(fixtureId(2));
		const network = fixtureNetwork({ name: "office", config: { kind: "bridge", bridge: "br0" } });
		expect(chosen(state([node(1), node(2, { bridges: ["br0"] })]), { networks: [network] })).toBe(fixtureId(2));
		expect(chosen(state(two), { volumes: [{ name: "data", nodeId: fixtureId(2) }] })).toBe(fixtureId(2));
		expect(chosen(state(two), { volumes: [{ name: "shared", nodeId: null }] })).toBe(fixtureId(1));
		const broken = fixturePool({
			...{ phase: "degraded", nodeIds: [fixtureId(1), fixtureId(2)] },
			nodes: [part(1, GiB, "error"), part(2, GiB)],
		});
		expect(chosen(state(two, { pools: [broken] }))).toBe(fixtureId(2));
	});

	test("where its networks and its pools are ready, rather than where more memory is", () => {
		const three = [node(1), node(2, { memoryBytes: 32 * GiB }), node(3, { memoryBytes: 64 * GiB })];
		const office = fixtureNetwork({ name: "office", nodes: [ready(1), ready(2), { ...ready(3), ...broken }] });
		const place = (change: Partial<WantedVm>, changes: Partial<PlacementState> = {}) =>
			placeVm(state(three, changes), { ...wanted, ...change });
		expect(place({ networks: [office] })).toEqual({
			nodeId: fixtureId(2),
			reason:
				"Placed on node-2: of 2 nodes that fit and where its networks and storage are ready it has the most memory left after it (30 GiB).",
		});
		const lab = fixtureNetwork({ name: "lab", nodes: [ready(1)] });
		expect(place({ networks: [office, lab] })).toEqual({
			nodeId: fixtureId(1),
			reason: "Placed on node-1: of 3 nodes that fit it is the only one where its networks and storage are ready.",
		});
		// One that a node has not looked at yet, rather than one that does not work there.
		const nowhere = fixtureNetwork({ name: "nowhere", nodes: [{ ...ready(3), ...broken }] });
		expect(place({ networks: [nowhere] })).toEqual({
			nodeId: fixtureId(2),
			reason:
				"Placed on node-2: of 2 nodes that fit and where its networks and storage may be ready soon it has the most memory left after it (30 GiB). Not ready there yet: the network nowhere.",
		});
		const unseen = fixturePool({ ...pool([1, 2, 3]), name: "big", nodes: [part(1, GiB)] });
		for (const pools of [[null], [{ id: unseen.id }]])
			expect(place({ pools }, { pools: [unseen] }).nodeId).toBe(fixtureId(1));
	});

	test("where its pool works: without a warning, then with one, and nowhere else", () => {
		const two = [node(1, { memoryBytes: 64 * GiB }), node(2)];
		const mixed = (...healths: PoolNodeStatus["health"][]) =>
			fixturePool({
				...{ name: "shared", phase: "degraded", nodeIds: [1, 2].map(fixtureId) },
				nodes: healths.map((health, index) => part(index + 1, 9 * GiB, health)),
			});
		const place = (...healths: PoolNodeStatus["health"][]) =>
			placeVm(state(two, { pools: [mixed(...healths)] }), wanted);
		for (const health of ["unmounted", "error"] as const) {
			expect(place(health, "healthy")).toEqual({
				nodeId: fixtureId(2),
				reason: "Placed on node-2: no other node fits.",
			});
			expect(place(health, "degraded")).toEqual({
				nodeId: fixtureId(2),
				reason: "Placed on node-2: no other node fits. Degraded there: the storage pool shared.",
			});
		}
		expect(place("degraded", "healthy")).toEqual({
			nodeId: fixtureId(2),
			reason: "Placed on node-2: of 2 nodes that fit it is the only one where its networks and storage are ready.",
		});
		expect(place("degraded", "degraded")).toEqual({
			nodeId: fixtureId(1),
			reason:
				"Placed on node-1: of 2 nodes that fit it has the most memory left after it (62 GiB). Degraded there: the storage pool shared.",
		});
		// One that works, though not without a warning, rather than one that nobody has looked at.
		const unseen = fixturePool({ ...mixed(), nodes: [part(2, GiB, "degraded")] });
		expect(placeVm(state(two, { pools: [unseen] }), wanted).nodeId).toBe(fixtureId(2));
		expect(() => place("unmounted", "unmounted")).toThrow("node-1 has no storage pool that can be used");
	});

	test("nowhere, with the reason for each node", () => {
		const nodes = [
			node(1, {}, { witness: true }),
			node(2, { memoryBytes: GiB }),
			node(3, { phase: "maintenance" }),
			node(4),
			node(5, { phase: "left" }),
		];
		const refusal = () => placeVm(state(nodes), wanted);
		expect(refusal).toThrow(
			"The VM fits on no node: node-1 is a witness and runs no VMs; node-2 has 1 GiB of memory, and 2 GiB are wanted; node-3 is maintenance; node-4 has no storage pool that can be used.",
		);
	});

	test("to the only node, whatever it says of itself: what it cannot do yet waits for it", () => {
		const alone = state([node(1, { phase: "not-ready", memoryBytes: 0 }), node(2, { phase: "left" })], { pools: [] });
		expect(placeVm(alone, wanted)).toEqual({ nodeId: fixtureId(1), reason: null });
	});

	test("also when memory is promised twice: not all VMs run at once", () => {
		const loads = [load(1, 20 * GiB), load(2, 30 * GiB)];
		expect(placeVm(state([node(1), node(2)], { loads }), wanted)).toEqual({
			nodeId: fixtureId(1),
			reason: "Placed on node-1: of 2 nodes that fit it has the most memory left after it (none).",
		});
	});
});

describe("volumes and images go", () => {
	const nodes = [node(1), node(2), node(3)];
	const pools = [
		fixturePool({ phase: "ready", nodeIds: [1, 2].map(fixtureId), nodes: [part(1, 5 * GiB), part(2, 9 * GiB)] }),
		fixturePool({
			id: fixtureId(0x31),
			name: "big",
			phase: "ready",
			nodeIds: [fixtureId(3)],
			nodes: [part(3, 80 * GiB)],
		}),
	];

	test("where the most room is, in the pool that is asked for", () => {
		const place = (pool: { id: string } | null, bytes = 0) =>
			placeStorage(state(nodes, { pools }), { what: "The volume", pool, bytes });
		expect(place(null).nodeId).toBe(fixtureId(3));
		expect(place({ id: fixturePool().id })).toEqual({
			nodeId: fixtureId(2),
			reason: "Placed on node-2: its pool has the most room.",
		});
		expect(() => place({ id: fixturePool().id }, 10 * GiB)).toThrow("no node has more than 9 GiB");
		expect(() => place({ id: fixtureId(0x99) })).toThrow("The volume fits on no node: node-1 has no usable part");
	});

	test("where the pool works: without a warning, then with one where that has the room, and nowhere else", () => {
		const two = [node(1), node(2)];
		const place = (parts: PoolNodeStatus[], bytes = GiB) => {
			const pool = fixturePool({ phase: "degraded", nodeIds: [1, 2].map(fixtureId), nodes: parts });
			return placeStorage(state(two, { pools: [pool] }), { what: "The volume", pool, bytes });
		};
		// What a part had before it was lost says nothing.
		for (const health of ["unmounted", "error"] as const)
			expect(place([part(1, 90 * GiB, health), part(2, 5 * GiB)])).toEqual({
				nodeId: fixtureId(2),
				reason: "Placed on node-2: no other node fits.",
			});
		const parts = [part(1, 90 * GiB, "degraded"), part(2, 5 * GiB)];
		expect(place(parts)).toEqual({ nodeId: fixtureId(2), reason: "Placed on node-2: its pool works best there." });
		expect(place(parts, 6 * GiB).nodeId).toBe(fixtureId(1));
		expect(() => place(parts, 91 * GiB)).toThrow("no node has more than 90 GiB");
		// What is not known is not zero: the node finds out.
		expect(place([part(2, GiB)], 2 * GiB).nodeId).toBe(fixtureId(1));
	});

	test("where the pool of their source works as well, however much room there is elsewhere", () => {
		const target = fixturePool({
			...{ id: fixtureId(0x31), name: "fast", phase: "ready", nodeIds: [1, 2, 3].map(fixtureId) },
			nodes: [part(1, 5 * GiB), part(2, 6 * GiB), part(3, 90 * GiB)],
		});
		type Health = PoolNodeStatus["health"] | "absent";
		const place = (healths: Health[], given: { nodes?: Node[]; pool?: typeof target } = {}) => {
			const has = healths.flatMap((health, index) => (health === "absent" ? [] : [{ health, number: index + 1 }]));
			const from = fixturePool({
				...{ name: "nas", phase: "degraded", nodeIds: has.map(({ number }) => fixtureId(number)) },
				nodes: has.map(({ health, number }) => part(number, GiB, health)),
			});
			const pool = given.pool ?? target;
			const wanted = { what: "The volume" as const, pool, bytes: GiB, from };
			return placeStorage(state(given.nodes ?? nodes, { pools: [from, target] }), wanted);
		};
		expect(place(["healthy", "healthy", "healthy"]).nodeId).toBe(fixtureId(3));
		expect(place(["healthy", "healthy", "error"])).toEqual({
			nodeId: fixtureId(2),
			reason: "Placed on node-2: its pool has the most room.",
		});
		expect(place(["healthy", "degraded", "degraded"])).toEqual({
			nodeId: fixtureId(1),
			reason: "Placed on node-1: its pool and that of the source work best there.",
		});
		expect(place(["healthy", "absent", "unmounted"])).toEqual({
			nodeId: fixtureId(1),
			reason: "Placed on node-1: no other node fits.",
		});
		// The only node that has it is asked like any other: it is not the only one of the cluster.
		const notReady = [node(1, { phase: "not-ready" }), node(2), node(3)];
		const lacks = "has no usable part of the storage pool nas, where the source is";
		expect(() => place(["healthy", "absent", "absent"], { nodes: notReady })).toThrow(
			`The volume fits on no node: node-1 is not-ready; node-2 ${lacks}; node-3 ${lacks}.`,
		);
		const apart = fixturePool({ ...target, nodeIds: [3].map(fixtureId) });
		expect(() =>
			placeStorage(state(nodes, { pools: [pool([1, 2]), apart] }), {
				...{ what: "The volume", pool: apart, bytes: 0, from: pool([1, 2]) },
			}),
		).toThrow("node-1 has no usable part of the storage pool fast; node-2 has no usable part");
	});

	test("in the pool of their source, where that works", () => {
		const same = pool([1, 2]);
		const placed = placeStorage(state(nodes, { pools: [same] }), {
			...{ what: "The volume", pool: same, bytes: 0, from: same },
		});
		expect(placed).toEqual({ nodeId: fixtureId(1), reason: "Placed on node-1: its pool has the most room." });
	});

	test("to the only node without further questions", () => {
		const placed = placeStorage(state([node(1)], { pools: [] }), { what: "The image", pool: null, bytes: 0 });
		expect(placed).toEqual({ nodeId: fixtureId(1), reason: null });
	});
});
