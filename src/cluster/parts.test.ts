/** The pure parts of a node's place in the cluster: whom the links know, what an administrator sees, where it is reached. */
import { describe, expect, test } from "bun:test";
import type { NetworkInterfaceInfo } from "node:os";
import { gzipSync } from "node:zlib";
import { MiB } from "../lib/units.ts";
import { judgeClocks } from "../model/clock-rules.ts";
import type { Node } from "../model/node.ts";
import type { PeerStatus as LinkStatus } from "../peer/peer.ts";
import type { Status } from "../raft/types.ts";
import { fixtureId, fixtureNode } from "../testing/fixtures.ts";
import { decodePacked, decodeProposal, encodePacked, encodeProposal } from "./methods.ts";
import { ownAddresses } from "./own-addresses.ts";
import { peerMembers } from "./peer-members.ts";
import { clusterStatus, type LeaderView } from "./status.ts";

const [a, b, c] = [fixtureId(0xa), fixtureId(0xb), fixtureId(0xc)] as const;
const node = (id: string, phase: Node["status"]["phase"] = "ready"): Node => {
	const made = fixtureNode({
		id,
		name: `n${id.slice(-1)}`,
		peerAddresses: [`10.0.0.${id.slice(-1).charCodeAt(0)}:8444`],
	});
	return { ...made, status: { ...made.status, phase } };
};
const configuration = (voters: string[], learners: string[] = [], removed: string[] = []) => ({
	...{ voters, learners, removed, witnesses: [] },
});

describe("whom the links know", () => {
	const hints = [{ nodeId: b, name: "nb", addresses: ["10.0.0.98:8444", "not an address"] }];

	test("before there is a state, those that the node was told of", () => {
		const { members, removed } = peerMembers([], hints, configuration([]));
		expect(members).toEqual([{ nodeId: b, addresses: [{ host: "10.0.0.98", port: 8444 }] }]);
		expect(removed).toEqual([]);
	});

	test("then the nodes of the state, and no others", () => {
		const { members } = peerMembers([node(a), node(c)], hints, configuration([a, c]));
		expect(members.map(({ nodeId }) => nodeId)).toEqual([a, c]);
	});

	test("a node that is to go is known until Raft has let it go", () => {
		const nodes = [node(a), node(b, "left")];
		const still = peerMembers(nodes, [], configuration([a, b]));
		expect([still.members.map(({ nodeId }) => nodeId), still.removed]).toEqual([[a, b], []]);
		const gone = peerMembers(nodes, [], configuration([a], [], [b]));
		expect(gone.members.map(({ nodeId }) => nodeId)).toEqual([a]);
		expect(gone.removed).toContain(b);
	});

	test("a removed one whose record is gone, too, is still told so", () => {
		expect(peerMembers([node(a)], [], configuration([a], [], [b])).removed).toEqual([b]);
	});
});

describe("what an administrator sees", () => {
	const raft = (changes: Partial<Status> = {}): Status => ({
		...{ nodeId: a, term: 3, role: "follower", leader: b, quorum: true, commitIndex: 90, appliedIndex: 90 },
		...{ lastIndex: 90, durableIndex: 90, configuration: configuration([a, b, c]), configurationIndex: 5 },
		...{ recovering: false, removed: false, transferringTo: null, peers: [] },
		dropped: { invalid: 0, otherCluster: 0, removed: 0 },
		...changes,
	});
	const view: LeaderView = {
		...{ nodeId: b, lastIndex: 100, configuration: configuration([a, b], [c]) },
		peers: [
			{ id: a, match: 90, mode: "replicate", recovering: false, active: true },
			{ id: c, match: 0, mode: "snapshot", recovering: true, active: false },
		],
	};
	const link = (nodeId: string, state: LinkStatus["link"]["state"], rttMs: number | null): LinkStatus =>
		({
			nodeId,
			peer: { build: "1.2.3", features: ["cluster-1"] },
			link: { state, rttMs, connectedSinceMs: state === "connected" ? nowMs - 60_000 : null },
			incoming: { raft: 1 },
		}) as unknown as LinkStatus;
	const nowMs = Date.UTC(2029, 0, 1);
	const status = (changes: Partial<Parameters<typeof clusterStatus>[0]> = {}) =>
		clusterStatus({
			...{
				nodes: [node(a), node(b), node(c)],
				raft: raft(),
				appliedIndex: 90,
				leaderView: view,
				removed: false,
				hindrance: null,
				arriving: null,
				nowMs,
			},
			links: [link(b, "connected", 0.5), link(c, "waiting", null)],
			own: { version: "1.2.4", features: ["cluster-1"], certificateExpiresMs: Date.UTC(2030, 0, 1) },
			clocks: judgeClocks(a, []),
			...changes,
		});

	test("roles, lag and who is reached are the leader's view", () => {
		const { members, quorumSize, voterCount, failuresTolerated, problem } = status();
		expect(members.map(({ name, role, reachable, lagEntries }) => [name, role, reachable, lagEntries])).toEqual([
			["na", "follower", true, 10],
			["nb", "leader", true, 0],
			["nc", "learner", false, 100],
		]);
		expect(members[2]).toMatchObject({ recovering: true, receivesSnapshot: true, latencyMs: null });
		expect(members[1]).toMatchObject({ version: "1.2.3", latencyMs: 0.5, certificateExpiresAt: null });
		expect(members[0]).toMatchObject({ version: "1.2.4", certificateExpiresAt: "2030-01-01T00:00:00.000Z" });
		expect([quorumSize, voterCount, failuresTolerated, problem]).toEqual([2, 2, 0, null]);
	});

	test("without a leader's view the links say who is reached, and lags are not known", () => {
		const { members, failuresTolerated } = status({ leaderView: null });
		expect(members.map(({ reachable, lagEntries }) => [reachable, lagEntries])).toEqual([
			[true, null],
			[true, null],
			[false, null],
		]);
		expect(failuresTolerated).toBe(0);
	});

	test("no quorum, a removed node and a node that recovers are said in words", () => {
		const lonely = status({ raft: raft({ leader: null, quorum: false }), leaderView: null });
		expect([lonely.quorum, lonely.problem]).toEqual([false, expect.stringContaining("2 of 3")]);
		const removed = status({ removed: true });
		expect([removed.quorum, removed.leaderNodeId]).toEqual([false, null]);
		expect(removed.problem).toContain("removed");
		expect(status({ removed: true, hindrance: "It has left." }).problem).toBe("It has left.");
		expect(status({ raft: raft({ recovering: true }) }).problem).toContain("damaged");
	});

	test("a node that was admitted and has no state yet says where the members look for it, and what to do", () => {
		const empty = { nodes: [], raft: raft({ leader: null, quorum: false, configuration: configuration([]) }) };
		const arriving = { nodeId: a, name: "na", addresses: ["10.0.0.9:1"] };
		const stuck = status({ ...empty, leaderView: null, arriving });
		expect(stuck).toMatchObject({ arriving: true, quorum: false, quorumSize: 0, voterCount: 0, members: [] });
		expect(stuck.problem).toContain("do not reach it at 10.0.0.9:1: `limiquantix cluster readdress na HOST:PORT`");
		expect(stuck.problem).toContain("`limiquantix cluster leave` here");
		const alone = status({ ...empty, leaderView: null, arriving, links: [link(b, "waiting", null)] });
		expect(alone.problem).toContain("it does not reach the members");
		expect(status({ ...empty, leaderView: null, arriving, removed: true }).problem).toContain("what it was before");
		// With the state it is as every other one, but for a moment.
		expect(status({ arriving })).toMatchObject({ arriving: true, problem: null });
	});

	test("a node that reaches the others, and whom none of them reaches, says so and not that there is no quorum", () => {
		const lost = { raft: raft({ leader: null, quorum: false }), leaderView: null };
		const oneWay = (sinceMs: number): LinkStatus[] => {
			const connected = link(b, "connected", 1);
			const since = { ...connected.link, connectedSinceMs: nowMs - sinceMs };
			return [{ ...connected, link: since, incoming: { ...connected.incoming, raft: 0 } }];
		};
		const { problem, quorum } = status({ ...lost, links: oneWay(60_000) });
		expect(quorum).toBe(false);
		expect(problem).toContain("do not reach this node at 10.0.0.97:8444, though it reaches them");
		expect(problem).toContain("`limiquantix cluster readdress na HOST:PORT` on another node");
		// They may be about to.
		expect(status({ ...lost, links: oneWay(1_000) }).problem).toContain("No quorum: 2 of 3");
		expect(status(lost).problem).toContain("No quorum: 2 of 3");
	});

	test("the others say of such a node where they look for it in vain", () => {
		const gone = { ...link(c, "waiting", null), link: { state: "waiting", lastClose: { code: "unreachable" } } };
		const three = { ...view, configuration: configuration([a, b, c]) };
		const { problem } = status({ leaderView: three, links: [gone as unknown as LinkStatus] });
		expect(problem).toStartWith("Not all voting nodes can be reached. nc reaches this node, and is not reached at");
		const silent = { ...gone, incoming: { raft: 0 } } as unknown as LinkStatus;
		expect(status({ leaderView: three, links: [silent] }).problem).toBe("Not all voting nodes can be reached.");
		// It does not vote yet: nobody else would say that something is wrong.
		const nodes = [node(a), node(b), node(c, "joining")];
		expect(status({ nodes, links: [silent] }).problem).toStartWith("nc was admitted, and is not reached at");
	});

	test("when each member's certificate ends, as its link has seen it; one that nobody renewed is named", () => {
		const seen = (nodeId: string, certificateNotAfterMs: number) =>
			({
				...link(nodeId, "connected", 1),
				peer: { build: "1", features: [], certificateNotAfterMs },
			}) as unknown as LinkStatus;
		const dayMs = 86_400_000;
		const far = status({ links: [seen(b, nowMs + 31 * dayMs)] });
		expect(far.members.map(({ certificateExpiresAt }) => certificateExpiresAt)).toEqual([
			...["2030-01-01T00:00:00.000Z", "2029-02-01T00:00:00.000Z"],
			null,
		]);
		expect(far.problem).toBeNull();
		expect(status({ links: [seen(b, nowMs + 29 * dayMs)] }).problem).toContain("renew-certificate nb");
		expect(status({ nowMs: Date.UTC(2029, 11, 31) }).problem).toContain("certificate of na");
	});

	describe("clocks", () => {
		const clock = (nodeId: string, offsetMs: number) => ({ nodeId, offsetMs, errorMs: 0.5 });
		const clocksOf = (...others: ReturnType<typeof clock>[]) => {
			const { members, problem } = status({ clocks: judgeClocks(a, others) });
			return { offsets: members.map(({ clockOffsetMs, clockOff }) => [clockOffsetMs, clockOff]), problem };
		};

		test("that are right are said to be", () => {
			const all = [clock(b, 2.4), clock(c, -3)];
			expect(clocksOf(...all)).toEqual({
				offsets: [
					[0, false],
					[2, false],
					[-3, false],
				],
				problem: null,
			});
		});

		test("alone, nothing is said", () => {
			expect(clocksOf()).toEqual({
				offsets: [
					[null, false],
					[null, false],
					[null, false],
				],
				problem: null,
			});
		});

		test("of three, the one that is off is named, and what to do", () => {
			const { offsets, problem } = clocksOf(clock(b, 0), clock(c, -7_500_000));
			expect(offsets).toEqual([
				[0, false],
				[0, false],
				[-7_500_000, true],
			]);
			expect(problem).toStartWith("The clock of nc is 2 h 5 min behind those of most others. On nc, let chrony");
			expect(clocksOf(clock(b, 9_000), clock(c, 9_000)).problem).toStartWith("The clock of na is 9.0 s behind those");
			expect(clocksOf(clock(b, 0), clock(c, 9_000)).problem).toStartWith("The clock of nc is 9.0 s ahead of those");
		});

		test("of two, nobody knows which is wrong", () => {
			const { offsets, problem } = clocksOf(clock(b, 61_000));
			expect(offsets).toEqual([
				[0, true],
				[61_000, true],
				[null, false],
			]);
			expect(problem).toStartWith(
				"The clocks of na and nb differ by 1 min 1 s, and which is right is not known here. On each",
			);
		});

		test("of the two of which one has just left, nothing is said", () => {
			const nodes = [node(a), node(b, "left")];
			const { problem } = status({ nodes, clocks: judgeClocks(a, [clock(b, 61_000)]) });
			expect(problem).toBe("Not all voting nodes can be reached.");
		});

		test("by what they are judged is said", () => {
			const basis = (...others: ReturnType<typeof clock>[]) => status({ clocks: judgeClocks(a, others) }).clockBasis;
			expect([basis(), basis(clock(b, 0)), basis(clock(b, 0), clock(c, 0))]).toEqual(["none", "none", "majority"]);
		});

		test("of a node that is cut off, and goes on by what was agreed on before, it is said, without a quorum too", () => {
			const before = { off: new Set([a]), keptMs: 7_500_000 };
			const lost = { raft: raft({ leader: null, quorum: false }), leaderView: null };
			for (const [others, changes] of [
				[[], lost],
				[[clock(b, 7_500_000)], {}],
			] as const) {
				const { clockBasis, members, problem } = status({ ...changes, clocks: judgeClocks(a, others, before) });
				expect(clockBasis).toBe("kept");
				expect(members[0]).toMatchObject({ clockOffsetMs: -7_500_000, clockOff: true });
				expect(members[1]?.clockOff).toBe(false);
				expect(problem).toContain(
					"The clock of na is 2 h 5 min behind what most others agreed on when it heard them last, and it goes on by that. On na, let",
				);
			}
		});

		test("a member that has no link because of its certificate is named, with what was said", () => {
			const message = "The certificate is good from 2031-01-01 to 2034-01-01, and …";
			const refused = {
				...link(c, "waiting", null),
				link: { state: "waiting", lastClose: { code: "bad-certificate", message } },
			};
			const said = `There is no link to nc: ${message}`;
			expect(status({ links: [refused as unknown as LinkStatus] }).problem).toBe(said);
			const lost = { raft: raft({ leader: null, quorum: false }), leaderView: null };
			expect(status({ ...lost, links: [refused as unknown as LinkStatus] }).problem).toEndWith(said);
		});
	});

	test("a cluster that was recovered elsewhere is told from one that is only lost", () => {
		const refused = {
			...link(b, "waiting", null),
			link: { state: "waiting", rttMs: null, lastClose: { code: "wrong-cluster", message: "" } },
		} as unknown as LinkStatus;
		const links = [refused, link(c, "waiting", null)];
		const lost = { raft: raft({ leader: null, quorum: false }), leaderView: null };
		expect(status({ ...lost, links })).toMatchObject({
			...{ recoveredElsewhere: true, problem: expect.stringContaining("recovered elsewhere") },
		});
		expect(status({ ...lost, links }).problem).toContain("nb is a member of another one now");
		expect(status({ links }).problem).toContain("two clusters with the same VMs");
		expect(status({ ...lost, links, removed: true }).recoveredElsewhere).toBe(false);
		expect(status(lost).recoveredElsewhere).toBe(false);
	});

	test("nodes that have left are no members", () => {
		expect(status({ nodes: [node(a), node(b), node(c, "left")] }).members).toHaveLength(2);
	});
});

describe("where a node is reached", () => {
	const address = (text: string, more: Partial<NetworkInterfaceInfo> = {}): NetworkInterfaceInfo =>
		({
			...{ address: text, family: text.includes(":") ? "IPv6" : "IPv4", internal: false },
			...more,
		}) as NetworkInterfaceInfo;

	test("where it listens", () => {
		expect(ownAddresses({ host: "10.0.0.1", port: 8444 })).toEqual([{ host: "10.0.0.1", port: 8444 }]);
	});

	test("else at the host's own addresses: no loopback, link-local ones, or bridges of VMs", () => {
		const interfaces = {
			lo: [address("127.0.0.1", { internal: true })],
			eth0: [address("fe80::1"), address("2001:db8::1"), address("10.0.0.1")],
			eth1: [address("169.254.3.4")],
			"lqx-0123456789": [address("10.64.0.1")],
			virbr0: [address("192.168.122.1")],
		};
		expect(ownAddresses({ host: "::", port: 1 }, interfaces).map(({ host }) => host)).toEqual([
			"10.0.0.1",
			"2001:db8::1",
		]);
	});
});

test("a proposal is read as it was sent, and nothing else is one", () => {
	const data = new Uint8Array([1, 2, 3]);
	expect(decodeProposal(encodeProposal(data, "growing"))).toEqual({ data, urgency: "growing" });
	for (const bytes of [[], [0], [2, 1], [255, 1]])
		expect(() => decodeProposal(new Uint8Array(bytes))).toThrow("no proposal");
});

test("what a node says about itself is small on the way, and never becomes too large", () => {
	const many = Array.from({ length: 5_000 }, (_, number) => ({ id: fixtureId(number), name: `vm-${number}` }));
	const packed = encodePacked(many);
	expect(packed.length).toBeLessThan(JSON.stringify(many).length / 5);
	expect(decodePacked<typeof many>(packed)).toEqual(many);
	const bomb = gzipSync(new Uint8Array(64 * MiB));
	for (const bytes of [bomb, new Uint8Array([1, 2, 3]), gzipSync("{")])
		expect(() => decodePacked(new Uint8Array(bytes))).toThrow("cannot be read");
});
