/**
 * How this member lets a new node in: checks its token in the state, has it admitted by a command, signs its certificate
 * with the cluster's authority, which is in the state, too. Any member does it.
 *
 * A new node asks twice: first what would clash (`preview`, which changes nothing and uses up nothing), then to be admitted.
 */
import type { X509Certificate } from "node:crypto";
import type { Clock } from "../lib/clock.ts";
import { AppError, isAppError } from "../lib/errors.ts";
import { passing } from "../lib/halting.ts";
import type { IdSource } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import type { Random } from "../lib/random.ts";
import type { JoinPreview } from "../model/cluster.ts";
import { type Brought, clashesOf } from "../model/join-clashes.ts";
import { type Node, unreportedStatus } from "../model/node.ts";
import { type Address, formatAddress } from "../peer/address.ts";
import { sha256Hex, signNode } from "../peer/ca.ts";
import type { Admitted, JoinHandler, Joining, Redeemed } from "../peer/join-server.ts";
import { secretMatches } from "../peer/join-token.ts";
import { probe } from "../peer/probe.ts";
import { certificatesOf, checkCertificate } from "../peer/trust.ts";
import type { Command, CommandBody } from "../store/command.ts";
import type { RaftConsensus } from "../store/raft/raft-consensus.ts";
import type { Store } from "../store/store.ts";
import { presentIn } from "./belongings.ts";
import { knownPastMs } from "./certificates.ts";
import { checkJoins, type MemberFeatures } from "./member-features.ts";
import { isMemberIdFor, memberIdFor } from "./member-id.ts";
import { decodePacked, encodeJson } from "./methods.ts";
import type { MemberHint } from "./switch.ts";
import type { Turns } from "./turns.ts";

/** What a new node says about itself, beside what the link carries. */
export type JoinFacts = {
	preview: boolean;
	witness: boolean;
	belongings: Brought;
	/** Its id, as who it is met at its addresses; else that of its belongings. */
	listensAs?: string;
	/** It was admitted before, and has not arrived, for all it knows: its certificate of then (PEM). */
	member?: string;
};
/** What it is told. */
export type JoinAnswer = Omit<JoinPreview, "brings" | "clockOffsetMs" | "clockOf" | "recovered" | "joining"> & {
	members: MemberHint[];
	/** It was a member under the id that it has now: of this cluster, or of the one that this was recovered from. */
	wasMember?: boolean;
	/** The member that answers; how far the time that it goes by is ahead of its own clock, by which it answers pings. */
	asked?: { name: string; agreedAheadMs: number };
};

export type AdmissionDeps = {
	store: Store;
	consensus: Pick<RaftConsensus, "details">;
	clusterId: string;
	/** This member. */
	nodeId: string;
	memberFeatures: MemberFeatures;
	turns: Turns;
	/** Null when the node is at one of these addresses; else why not. For tests. */
	reach?: (addresses: readonly Address[], nodeId: string) => Promise<string | null>;
	clock: Clock;
	/** Of this host. */
	hostClock: Pick<Clock, "nowMs">;
	random: Random;
	ids: IdSource;
	logger: Logger;
};

export function createAdmission(deps: AdmissionDeps): JoinHandler {
	const { store, clock, hostClock, random, clusterId, ids } = deps;
	/** `shown`: the member that it is already. Once that has arrived, it brings nothing more. */
	const answerFor = (facts: JoinFacts, shown: Node | null): JoinAnswer => {
		const hasArrived = shown !== null && shown.status.phase !== "joining" && shown.status.phase !== "left";
		const nodes = store.all("node").filter(({ status }) => status.phase !== "left");
		const [cluster] = store.all("cluster");
		const { removed: removedIds } = deps.consensus.details().configuration;
		const wasMember = [facts.belongings.nodeId, facts.listensAs ?? ""].some((id) => removedIds.includes(id));
		return {
			clusterId,
			clusterName: cluster?.name ?? "",
			memberNames: nodes.map(({ name }) => name),
			clashes: hasArrived ? [] : clashesOf(facts.belongings, presentIn(store), wasMember),
			members: nodes.map(({ id, name, peerAddresses }) => ({ nodeId: id, name, addresses: peerAddresses })),
			asked: {
				name: store.get("node", deps.nodeId)?.name ?? "",
				agreedAheadMs: Math.round(clock.nowMs() - hostClock.nowMs()),
			},
			wasMember,
		};
	};

	return {
		async redeem(tokenId, secret, keyFingerprint): Promise<Redeemed> {
			await store.readIndex();
			const token = store.get("joinToken", tokenId);
			const hash = store.joinTokenSecret(tokenId);
			if (token === null || hash === null || !secretMatches(secret, hash)) return "unknown";
			if (Date.parse(token.expiresAt) <= clock.nowMs()) return "expired";
			const before = token.admitted.some((admitted) => admitted.keyFingerprint === keyFingerprint);
			if (token.usesLeft === 0 && !before) return "used";
			return "ok";
		},

		async admit(joining: Joining): Promise<Admitted> {
			const facts = decodePacked<JoinFacts>(joining.facts);
			if (!facts.preview) return deps.turns.admit(() => admit(joining, facts));
			deps.turns.checkAdmits();
			return admit(joining, facts);
		},
	};

	async function admit(joining: Joining, facts: JoinFacts): Promise<Admitted> {
		checkJoins(joining, deps.memberFeatures);
		await checkReached(joining.addresses, facts.listensAs ?? facts.belongings.nodeId);
		const shown = shownMember(joining, facts);
		const answer = answerFor(facts, shown);
		const configuration = encodeJson(answer);
		passing(facts.preview ? "asked for a preview" : "token checked");
		if (facts.preview) return { nodeId: "", certificatePem: "", authoritiesPem: "", configuration };
		const authority = store.authority();
		if (authority === null)
			throw new AppError("unavailable", "The cluster's authority is not there yet. Try again in a moment.");
		const { tokenId, secretHash, keyFingerprint, remoteAddress } = joining;
		// With the certificate of one that has left it has nothing of the one that came after that.
		if (shown === null || shown.status.phase === "left") refuseArrived(joining);
		const known = knownBefore(joining, facts, shown);
		const body: CommandBody =
			known === null
				? {
						kind: "nodeAdmit",
						tokenId,
						secretHash,
						keyFingerprint,
						node: newNode(joining, facts, clock.nowMs()),
					}
				: { kind: "nodeUpdate", id: known.id, peerAddresses: joining.addresses.map(formatAddress) };
		const command: Command = {
			id: ids.newId(),
			timeMs: Math.floor(clock.nowMs()),
			requester: { kind: "system", id: null, name: `join token ${tokenId}` },
			...{ remoteAddress, operation: "nodeAdmit", idempotencyKey: null, credential: null },
			body,
		};
		const { targets } = await store.propose(command).catch((error) => {
			throw isAppError(error, "unauthenticated") ? new AppError("forbidden", error.message) : error;
		});
		const nodeId = targets.find(({ kind }) => kind === "node")?.id;
		if (nodeId === undefined) throw new AppError("internal", "The command applied without naming the node.");
		passing("admitted");
		const request = { csr: joining.csr, nodeId, clusterId, pastMs: knownPastMs(store) };
		const certificatePem = await signNode(authority, request, { clock, random });
		passing("certificate signed");
		return {
			nodeId,
			certificatePem,
			authoritiesPem: authority.certificatePem,
			configuration: encodeJson(answerFor(facts, shown)),
		};
	}

	/** Admitted at an address where nobody reaches it, it would wait for the state for ever. */
	async function checkReached(addresses: readonly Address[], nodeId: string): Promise<void> {
		const problem = await (deps.reach ?? ((...where) => probe(...where, clock)))(addresses, nodeId);
		if (problem === null) return;
		const where = addresses.map(formatAddress).join(", ");
		throw new AppError(
			"wrong-state",
			`The members do not reach this node at ${where}. ${problem} Nothing was done. Say with --address where they reach it, and let its peer-listen through the firewall.`,
		);
	}

	/**
	 * The command finds the member again that came with this key and this token. One that has been here since has had a log and a
	 * vote: a folder of before, put back, has forgotten both, and must not speak for it.
	 */
	function refuseArrived({ tokenId, keyFingerprint }: Joining): void {
		const admitted = store.get("joinToken", tokenId)?.admitted ?? [];
		const nodeId = admitted.findLast((one) => one.keyFingerprint === keyFingerprint)?.nodeId;
		const node = nodeId === undefined ? null : store.get("node", nodeId);
		if (node === null || node.status.phase === "left") return;
		if (node.status.phase === "joining" && !votes(node.id)) return;
		throw new AppError(
			"wrong-state",
			`This node has joined before, as ${node.name}, and knows nothing of it: its folder is one of before. Start it with the right one; or remove ${node.name} here, and join with a new token.`,
		);
	}

	function votes(nodeId: string): boolean {
		return deps.consensus.details().configuration.voters.includes(nodeId);
	}

	/** The member that it is, or became before: it needs no second record, whatever the token, also if it has arrived and does not know it. */
	function knownBefore(joining: Joining, facts: JoinFacts, certified: Node | null): Node | null {
		const shown = certified?.status.phase === "left" ? null : certified;
		const node = shown ?? cutOffMember(joining);
		if (node === null || node.witness === facts.witness) return node;
		// Without the certificate it is still what it was before: there is nothing that it could leave.
		const leaves = shown === null ? "" : "run `limiquantix cluster leave` on it, and ";
		throw new AppError(
			"wrong-state",
			`${node.name} was admitted as ${node.witness ? "a witness" : "a node that is no witness"}. To change that, ${leaves}remove ${node.name} here, before it joins.`,
		);
	}

	/** Who has the certificate of this member, for the key that it asks with, has its log as well. */
	function shownMember({ keyFingerprint }: Joining, { member }: JoinFacts): Node | null {
		const authority = store.authority();
		if (member === undefined || authority === null) return null;
		const shown = readMember(member);
		const authorities = certificatesOf(authority.certificatePem);
		const checked = checkCertificate(shown?.raw ?? null, { clusterId, authorities }, clock.nowMs());
		if (shown === null || typeof checked === "string") return null;
		const key = sha256Hex(shown.publicKey.export({ type: "spki", format: "der" }));
		return key === keyFingerprint ? store.get("node", checked.nodeId) : null;
	}

	/**
	 * By the key alone: it never got its certificate. The command itself finds one that came with the same token. One that votes
	 * has had a log: whoever has nothing of it any more is another node.
	 */
	function cutOffMember({ tokenId, keyFingerprint }: Joining): Node | null {
		const node = store
			.all("node")
			.find(({ id, status }) => status.phase === "joining" && isMemberIdFor(keyFingerprint, id));
		if (node === undefined || votes(node.id)) return null;
		const admitted = store.get("joinToken", tokenId)?.admitted ?? [];
		return admitted.some(({ nodeId }) => nodeId === node.id) ? null : node;
	}
}

function readMember(pem: string): X509Certificate | null {
	try {
		return certificatesOf(pem)[0] ?? null;
	} catch {
		return null;
	}
}

function newNode(joining: Joining, { witness }: JoinFacts, nowMs: number): Node {
	const now = new Date(nowMs).toISOString();
	return {
		...{ id: memberIdFor(joining.keyFingerprint, nowMs), generation: 1, createdAt: now, updatedAt: now },
		name: joining.nodeName,
		peerAddresses: joining.addresses.map(formatAddress),
		witness,
		status: unreportedStatus({
			reason: "It receives the cluster's state.",
			...{ version: joining.build, features: [...joining.features], updatedAt: now },
		}),
	};
}
