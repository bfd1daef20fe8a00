/** A node's part in the cluster, for tests of the API: answers what a test puts in, remembers what was asked of it. */
import type { ClusterFigures, ClusterService } from "../../cluster/service.ts";
import type { AppError } from "../../lib/errors.ts";
import type { ClusterJoin, ClusterMember, ClusterStatus, JoinPreview } from "../../model/cluster.ts";
import { noDelays } from "../../store/raft/ticker.ts";
import { clusterIds } from "../fixtures.ts";

export const fixtureMember = (changes: Partial<ClusterMember> = {}): ClusterMember => ({
	nodeId: clusterIds.node,
	name: "node-1",
	role: "leader",
	witness: false,
	peerAddresses: ["10.0.0.1:8444"],
	reachable: true,
	lagEntries: 0,
	recovering: false,
	receivesSnapshot: false,
	version: "0.0.0",
	features: ["cluster-1"],
	latencyMs: null,
	certificateExpiresAt: "2026-04-02T03:04:05.000Z",
	clockOffsetMs: null,
	clockOff: false,
	...changes,
});

export const fixtureClusterStatus = (changes: Partial<ClusterStatus> = {}): ClusterStatus => ({
	nodeId: clusterIds.node,
	leaderNodeId: clusterIds.node,
	quorum: true,
	quorumSize: 1,
	voterCount: 1,
	failuresTolerated: 0,
	term: 1,
	commitIndex: 1,
	appliedIndex: 1,
	removed: false,
	recoveredElsewhere: false,
	arriving: false,
	clockBasis: "none",
	problem: null,
	members: [fixtureMember()],
	...changes,
});

export const fixtureJoinPreview = (changes: Partial<JoinPreview> = {}): JoinPreview => ({
	clusterId: clusterIds.cluster,
	clusterName: "berlin",
	memberNames: ["node-1"],
	brings: { vms: 0, volumes: 0, images: 0, networks: 0, pools: 1 },
	clashes: [],
	clockOffsetMs: null,
	clockOf: null,
	recovered: false,
	joining: true,
	...changes,
});

/** Of the token that the fake makes: hexadecimal, another for each. */
export const fakeSecretHash = (tokenId: string): string => tokenId.replaceAll("-", "").repeat(2);

export class FakeCluster implements ClusterService {
	readonly nodeId: string;
	current: ClusterStatus;
	preview: JoinPreview = fixtureJoinPreview();
	counted: ClusterFigures = { leaderChanges: 0, messagesDropped: 0, tickDelays: noDelays() };
	/** Features that some member lacks, with the names of those. */
	readonly missing = new Map<string, string[]>();
	/** Ids of nodes, with the name of a member that hears them. */
	readonly heardBy = new Map<string, string>();
	/** Ids of nodes that were members once. */
	readonly formerMembers = new Set<string>();
	/** What was asked for. */
	readonly transfers: (string | null)[] = [];
	readonly joins: ClusterJoin[] = [];
	left = 0;
	renewals = 0;
	/** Addresses at which nobody is. */
	readonly nowhere = new Set<string>();
	/** Makes the next of those fail. */
	failure: AppError | null = null;

	constructor(nodeId: string) {
		this.nodeId = nodeId;
		this.current = fixtureClusterStatus({ nodeId, leaderNodeId: nodeId, members: [fixtureMember({ nodeId })] });
	}

	status = () => this.current;
	whoHears = async (nodeId: string) => this.heardBy.get(nodeId) ?? null;
	wasMember = (nodeId: string) => this.formerMembers.has(nodeId);
	freshStatus = async () => this.current;
	figures = () => this.counted;
	everybodyHas = (feature: string) => this.lacking(feature).length === 0;
	lacking = (feature: string) => this.missing.get(feature) ?? [];
	makeJoinToken = (tokenId: string) => ({ secret: `lqxjoin1_${tokenId}`, secretHash: fakeSecretHash(tokenId) });

	async transferLeadership(to: string | null) {
		this.#maybeFail();
		this.transfers.push(to);
		return to ?? this.nodeId;
	}

	async join(request: ClusterJoin) {
		this.#maybeFail();
		this.joins.push(request);
		const joining = request.preview !== true && this.preview.clashes.length === 0;
		return { ...this.preview, joining };
	}

	async leave(remove: () => Promise<unknown>) {
		this.#maybeFail();
		if (!this.current.removed) await remove();
		this.left += 1;
	}

	async whyUnreached(_nodeId: string, addresses: readonly string[]) {
		return addresses.every((address) => this.nowhere.has(address)) ? `Nobody listens at ${addresses.join()}.` : null;
	}

	async renewCertificate() {
		this.#maybeFail();
		this.renewals += 1;
		return { fingerprint: "ab".repeat(32), expiresAt: "2029-01-02T03:04:05.000Z" };
	}

	#maybeFail(): void {
		const { failure } = this;
		this.failure = null;
		if (failure) throw failure;
	}
}
