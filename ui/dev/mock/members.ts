/** The mock's cluster of several nodes: who is a member, how they are, joining, leaving, being removed, moving VMs. */
import { GiB } from "../../../src/lib/units.ts";
import { type ClockVerdict, judgeClocks } from "../../../src/model/clock-rules.ts";
import { wrongClocks } from "../../../src/model/clock-words.ts";
import type { ClusterMember, ClusterStatus, JoinToken } from "../../../src/model/cluster.ts";
import { maxVoters } from "../../../src/model/member-limits.ts";
import type { Node, Vm, Volume } from "../../api/types.ts";
import { isGone } from "../../pages/vm/move.ts";
import { find, type HandlerTable, MockProblem, type MockSettings } from "./request.ts";
import type { MockState } from "./state.ts";

const defaultVersion = { version: "0.1.0", features: ["cluster-1"] };
const minutesAgo = (minutes: number): string => new Date(Date.now() - minutes * 60_000).toISOString();
const isMember = ({ status }: Node): boolean => status.phase !== "left";

/** What no object of the state says: tests and the developer change it as they like. */
export class MockMembers {
	/** Nodes that are not reached. */
	readonly away = new Set<string>();
	readonly learners = new Set<string>();
	readonly recovering = new Set<string>();
	readonly versions = new Map<string, { version: string; features: string[] }>();
	/** How long their certificates are good, where it is not a year. */
	readonly certificateDays = new Map<string, number>();
	/** How far their clocks are ahead, where they are not right. */
	readonly clocksMs = new Map<string, number>();
	/** Addresses where no node is. */
	readonly nowhere = new Set<string>();
	/** Nobody reaches this node, though it reaches all others. */
	unheard = false;
	removed = false;
	recoveredElsewhere = false;

	constructor(public leader: string) {}
}

/** Node `number` of those beside the first, with a part of each pool and network. */
export function addNode(state: MockState, name: string, change: Partial<Node> = {}): Node {
	const first = state.tables.node.get(state.nodeId);
	if (!first) throw new Error("There is no first node.");
	const size = state.tables.node.size;
	const node = state.put("node", {
		...first,
		...state.metadata(),
		createdAt: minutesAgo(60 * 24 * (9 - Math.min(8, size))),
		name,
		peerAddresses: [`10.0.0.${size + 1}:8444`],
		status: { ...first.status, memoryBytes: size % 2 ? 96 * GiB : 256 * GiB, cpuCount: size % 2 ? 24 : 48 },
		...change,
	});
	if (!node.witness)
		for (const pool of state.tables.pool.values()) {
			const [part] = pool.nodes;
			if (!part) continue;
			state.change("pool", pool.id, {
				nodeIds: [...pool.nodeIds, node.id],
				nodes: [...pool.nodes, { ...part, nodeId: node.id }],
			});
		}
	for (const network of state.tables.network.values()) {
		const [part] = network.nodes;
		if (part) state.change("network", network.id, { nodes: [...network.nodes, { ...part, nodeId: node.id }] });
	}
	return node;
}

/** The VMs with their disks, one node after the other. */
export function spreadVms(state: MockState): void {
	const nodes = [...state.tables.node.values()].filter(({ witness }) => !witness);
	[...state.tables.vm.values()].forEach((vm, number) => {
		const nodeId = nodes[number % nodes.length]?.id ?? vm.nodeId;
		state.change("vm", vm.id, { nodeId });
		for (const { volumeId } of vm.spec.disks) state.change("volume", volumeId, { nodeId });
	});
}

export function statusOf(state: MockState, settings: MockSettings): ClusterStatus {
	const { members } = state;
	const nodes = [...state.tables.node.values()].filter(isMember);
	const isAway = (id: string) => members.away.has(id) || (!settings.quorum && !members.unheard && id !== state.nodeId);
	const leader = settings.quorum ? members.leader : null;
	const mayVote = new Set(
		nodes
			.filter(({ id }) => !members.learners.has(id))
			.slice(0, maxVoters)
			.map(({ id }) => id),
	);
	const clocks = clocksOf(
		state,
		nodes.filter(({ id }) => !isAway(id)),
	);
	const list = nodes.map(({ id, name, witness, peerAddresses, status: { phase } }): ClusterMember => {
		const reachable = !isAway(id);
		const receives = members.learners.has(id) && phase === "joining";
		return {
			nodeId: id,
			...{ name, witness, peerAddresses, reachable },
			role: id === leader ? "leader" : mayVote.has(id) ? "follower" : "learner",
			lagEntries: leader === null ? null : reachable ? (receives ? 1840 : 0) : 37,
			recovering: members.recovering.has(id),
			receivesSnapshot: receives && reachable,
			...(members.versions.get(id) ?? defaultVersion),
			latencyMs: id === state.nodeId || !reachable ? null : 0.4 + (name.length % 3) / 10,
			certificateExpiresAt: reachable ? minutesAgo(-60 * 24 * (members.certificateDays.get(id) ?? 400)) : null,
			clockOffsetMs: clocks.aheadMs.size > 1 ? (clocks.aheadMs.get(id) ?? null) : null,
			clockOff: clocks.off.includes(id),
		};
	});
	const voters = list.filter(({ role }) => role !== "learner");
	const quorumSize = Math.floor(voters.length / 2) + 1;
	const reachable = voters.filter((member) => member.reachable).length;
	const quorum = settings.quorum && !members.removed;
	return {
		nodeId: state.nodeId,
		leaderNodeId: members.removed ? null : leader,
		...{ quorum, quorumSize, voterCount: voters.length, removed: members.removed, members: list },
		recoveredElsewhere: members.recoveredElsewhere,
		...{ arriving: false, clockBasis: clocks.basis },
		failuresTolerated: Math.max(0, reachable - quorumSize),
		...{ term: 7, commitIndex: 18_204, appliedIndex: 18_204 },
		problem: members.removed
			? "This node was removed from the cluster. What it shows is old, and it changes nothing."
			: members.recoveredElsewhere
				? "This node belongs to a cluster that was recovered elsewhere, or restored from a backup."
				: members.unheard
					? "The other nodes do not reach this node at 10.0.0.1:8444, though it reaches them. Nothing can be changed here until they do. `limiquantix cluster readdress node-1 HOST:PORT` on another node says where they do."
					: !quorum
						? `No quorum: ${quorumSize} of ${voters.length} voting nodes have to reach each other.`
						: reachable < voters.length
							? "Not all voting nodes can be reached."
							: clockProblem(state, nodes, clocks),
	};
}

function clocksOf({ nodeId: ownId, members: { clocksMs } }: MockState, heard: readonly Node[]): ClockVerdict {
	const aheadMs = (id: string) => clocksMs.get(id) ?? 0;
	const others = heard.filter(({ id }) => id !== ownId);
	return judgeClocks(
		ownId,
		others.map(({ id }) => ({ nodeId: id, offsetMs: aheadMs(id) - aheadMs(ownId), errorMs: 0 })),
	);
}

function clockProblem({ nodeId: ownId }: MockState, nodes: readonly Node[], clocks: ClockVerdict): string | null {
	const said = wrongClocks({ nodes, ownId, clocks });
	return said.length === 0 ? null : said.join(" ");
}

export function members(state: MockState, settings: MockSettings): HandlerTable {
	const nodeOf = (id: string) => find(state, "node", id) as Node;
	const goes = (node: Node, reason: string) => {
		for (const vm of [...state.tables.vm.values()].filter(({ nodeId }) => nodeId === node.id)) {
			state.change("vm", vm.id, { status: { ...vm.status, powerState: "unknown", reason } });
		}
		if (state.members.leader === node.id) state.members.leader = state.nodeId;
		state.change("node", node.id, { status: { ...node.status, phase: "left", reason } });
		if (![...state.tables.vm.values()].some(({ nodeId }) => nodeId === node.id)) state.remove("node", node.id);
	};
	return {
		clusterStatusGet: () => ({ body: statusOf(state, settings) }),
		clusterLeaderTransfer: ({ body }) => {
			const others = [...state.tables.node.values()].filter(({ id }) => id !== state.members.leader);
			const to = (body.nodeId as string | undefined) ?? others[0]?.id;
			if (to === undefined) throw new MockProblem(409, "wrong-state", "There is no other member that votes.");
			state.members.leader = nodeOf(to).id;
			return { body: { leaderNodeId: to } };
		},
		joinTokenList: () => ({ body: { items: [...state.tables.joinToken.values()], nextPageToken: null } }),
		joinTokenCreate: ({ body, user }) => {
			const token: JoinToken = state.put("joinToken", {
				...state.metadata(),
				createdBy: user?.name ?? "",
				expiresAt: new Date(Date.now() + Number(body.expiresInMs ?? 3_600_000)).toISOString(),
				usesLeft: Number(body.uses ?? 1),
				admitted: [],
			});
			const secret = `lqxjoin1_${"Zm9vYmFyYmF6cXV4".repeat(12)}`;
			return { status: 201, body: { token, secret, command: `limiquantix cluster join --token ${secret}` } };
		},
		joinTokenDelete: ({ id }) => {
			state.remove("joinToken", find(state, "joinToken", id).id);
			return { status: 204 };
		},
		nodeLeave: ({ id }) => {
			const node = nodeOf(id);
			const held = [...state.tables.vm.values()].filter(({ nodeId }) => nodeId === id).map(({ name }) => name);
			if (held.length > 0)
				throw new MockProblem(
					409,
					"in-use",
					`On the node ${node.name} are ${held.join(", ")}. Move or delete them first.`,
				);
			goes(node, "It left the cluster.");
			return { status: 204 };
		},
		nodeRemove: ({ id, body }) => {
			const node = nodeOf(id);
			const message = `Type the name of the node, ${node.name}, to confirm that it is off and stays off.`;
			if (body.confirmName !== node.name)
				throw new MockProblem(422, "invalid", message, [{ path: "/confirmName", message }]);
			goes(node, "It was removed from the cluster.");
			return { status: 204 };
		},
		vmMove: ({ id, body }) => {
			const vm = find(state, "vm", id) as Vm;
			const from = nodeOf(vm.nodeId);
			const nodeId = String(body.nodeId);
			const gone = isGone(from);
			if (gone && body.confirmNodeOff !== from.name) {
				const message = `The VM is on the node ${from.name}: confirm that it is off with this name.`;
				throw new MockProblem(422, "invalid", message, [{ path: "/confirmNodeOff", message }]);
			}
			const volumes = [...state.tables.volume.values()].filter(({ vmId }) => vmId === id);
			const task = state.startTask("vm.move", [state.refOf("vm", id)], {
				steps: gone ? 0 : 4,
				messages: ["Copying disks"],
				cancelable: !gone,
				onDone: () => {
					for (const volume of volumes as Volume[])
						if (volume.nodeId !== null) state.change("volume", volume.id, { nodeId });
					const now = state.tables.vm.get(id) ?? vm;
					state.change("vm", id, { nodeId, status: { ...now.status, powerState: "stopped", reason: null } });
				},
			});
			return { status: 202, body: task, task };
		},
	};
}

/** As if a machine had run the command: admitted, receives the state, ready. */
export function joinWith(state: MockState, token: JoinToken, name: string): Node {
	const node = addNode(state, name);
	state.members.learners.add(node.id);
	state.change("node", node.id, {
		createdAt: new Date().toISOString(),
		status: { ...node.status, phase: "joining", reason: null },
	});
	state.change("joinToken", token.id, {
		usesLeft: token.usesLeft - 1,
		admitted: [...token.admitted, { nodeId: node.id, keyFingerprint: "a".repeat(64) }],
	});
	return node;
}

export function joined(state: MockState, { id, status }: Node): void {
	const { learners } = state.members;
	if ([...state.tables.node.values()].filter((node) => isMember(node) && !learners.has(node.id)).length < maxVoters)
		learners.delete(id);
	state.change("node", id, { status: { ...status, phase: "ready" } });
}
