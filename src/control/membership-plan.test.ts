/** What the leader does next so that the members of Raft are the nodes of the state. */
import { describe, expect, test } from "bun:test";
import { maxMembers, maxVoters } from "../model/member-limits.ts";
import type { Node } from "../model/node.ts";
import type { Configuration, PeerStatus } from "../raft/types.ts";
import { fixtureId, fixtureNode } from "../testing/fixtures.ts";
import { lostNodes, wantedChanges } from "./membership-plan.ts";

const [a, b, c] = [fixtureId(0xa), fixtureId(0xb), fixtureId(0xc)] as const;
const node = (id: string, phase: Node["status"]["phase"] = "ready", changes: Partial<Node> = {}): Node => {
	const made = fixtureNode({ id, name: id.slice(-2), ...changes });
	return { ...made, status: { ...made.status, phase } };
};
const members = (changes: Partial<Configuration>): Configuration => ({
	...{ voters: [a], witnesses: [], learners: [], removed: [] },
	...changes,
});
const peer = (id: string, changes: Partial<PeerStatus> = {}): PeerStatus => ({
	...{ id, match: 100, mode: "replicate", recovering: false, active: true },
	...changes,
});

describe("the next change of the members", () => {
	const next = (nodes: Node[], configuration: Configuration, peers: PeerStatus[] = []) =>
		wantedChanges({ nodes, configuration, peers, lastIndex: 100 })[0] ?? null;

	test("none when Raft has whom the state lists", () => {
		expect(next([node(a), node(b)], members({ voters: [a, b] }), [peer(b)])).toBe(null);
	});

	test("a node that was admitted becomes a learner, then a voter, or a witness", () => {
		expect(next([node(a), node(b, "joining")], members({}))).toEqual({ kind: "add-learner", node: b });
		const learning = members({ learners: [b] });
		expect(next([node(a), node(b, "joining")], learning, [peer(b)])).toEqual({
			...{ kind: "promote", node: b, witness: false },
		});
		expect(next([node(a), node(b, "joining", { witness: true })], learning, [peer(b)])).toEqual({
			...{ kind: "promote", node: b, witness: true },
		});
	});

	test("a learner is not promoted before it has nearly everything and is heard", () => {
		const nodes = [node(a), node(b, "joining")];
		const learning = members({ learners: [b] });
		for (const not of [{ match: 10 }, { active: false }, { mode: "snapshot" }, { mode: "probe" }] as const)
			expect(next(nodes, learning, [peer(b, not)])).toBe(null);
		expect(next(nodes, learning, [])).toBe(null);
	});

	test("a node that has left goes before anybody comes, whatever it was", () => {
		const nodes = [node(a), node(b, "left"), node(c, "joining")];
		expect(next(nodes, members({ voters: [a, b] }))).toEqual({ kind: "remove", node: b });
		expect(next(nodes, members({ learners: [b] }))).toEqual({ kind: "remove", node: b });
		expect(next([node(a, "left"), node(b)], members({ voters: [a, b] }))).toEqual({ kind: "remove", node: a });
	});

	test("a voter that the state does not know yet stays: the state may be behind", () => {
		expect(next([], members({}))).toBe(null);
		expect(next([node(b)], members({ voters: [a, b] }), [peer(b)])).toBe(null);
	});

	test("beyond those that may vote nobody is promoted before one of them has gone; beyond all members nobody is added", () => {
		const ids = Array.from({ length: maxMembers + 1 }, (_, at) => fixtureId(0x100 + at));
		const [voters, learners] = [ids.slice(0, maxVoters), ids.slice(maxVoters, maxMembers)];
		const nodes = ids.map((id) => node(id));
		const peers = ids.map((id) => peer(id));
		expect(next(nodes.slice(0, -2), members({ voters, learners: learners.slice(0, -1) }), peers)).toBe(null);
		expect(next(nodes, members({ voters, learners: learners.slice(0, -1) }), peers)).toEqual({
			...{ kind: "add-learner", node: learners.at(-1) as string },
		});
		expect(next(nodes, members({ voters, learners }), peers)).toBe(null);
		expect(next(nodes, members({ voters: voters.slice(1), learners }), peers)).toEqual({
			...{ kind: "promote", node: learners[0] as string, witness: false },
		});
	});

	test("what else could be done is told, for when the first is refused", () => {
		const nodes = [node(a), node(b, "left"), node(c, "left"), node(fixtureId(0xd), "joining")];
		expect(wantedChanges({ nodes, configuration: members({ voters: [a, b, c] }), peers: [], lastIndex: 100 })).toEqual([
			{ kind: "remove", node: b },
			{ kind: "remove", node: c },
			{ kind: "add-learner", node: fixtureId(0xd) },
		]);
	});

	test("an id that was removed is not added again", () => {
		expect(next([node(a), node(b, "joining")], members({ removed: [b] }))).toBe(null);
	});
});

test("lost are nodes that say they work and are silent for long", () => {
	const nodes = [node(a), node(b), node(c, "joining"), node(fixtureId(0xd), "left"), node(fixtureId(0xe), "not-ready")];
	const silent = (id: string) => (id === a ? 500 : 20_000);
	const lost = (marks: boolean) => lostNodes(nodes, silent, 10_000, marks).map(({ id }) => id);
	expect(lost(false)).toEqual([b]);
	// Told apart from one that only says of itself that it is not ready, once.
	expect(lost(true)).toEqual([b, fixtureId(0xe)]);
	const said = nodes.map((one) => ({ ...one, status: { ...one.status, phase: "not-ready" as const, lost: true } }));
	expect(lostNodes(said, silent, 10_000, true)).toEqual([]);
});
