/**
 * Proposals on their way to the leader. While a call is with it, those of one turn of the event loop go in one more: each call costs
 * a message, an answer, a timer and a place in two tables. What became of it is still said for each.
 *
 * A leader of a version that knows the call for one proposal only gets them one by one.
 */
import { isAppError, toAppError } from "../lib/errors.ts";
import type { PeerNode } from "../peer/peer.ts";
import { isPeerError } from "../peer/peer-error.ts";
import { decodeError, encodeError } from "../peer/wire.ts";
import type { NodeId } from "../raft/types.ts";
import type { RaftConsensus } from "../store/raft/raft-consensus.ts";
import { notLeading, unknownOutcome } from "../store/raft/refusals.ts";
import {
	decodeJson,
	decodeProposals,
	encodeJson,
	encodeProposal,
	encodeProposals,
	maxProposals,
	methods,
	type Proposal,
} from "./methods.ts";

type Peers = Pick<PeerNode, "call">;

/** Longer than a change of the leader takes; the caller's own limit is 30 s. */
const limitMs = 10_000;
/** What is larger goes alone; more does not wait for the end of the turn. */
const gatherBytes = 256 * 1024;

type Waiting = Proposal & { resolve(): void; reject(error: unknown): void };
type Gathered = { waiting: Waiting[]; bytes: number };
/** Of those that failed, by their place in the call. */
type Failures = [position: number, error: string][];

export class Forwarding {
	readonly #peers: () => Peers | null;
	/** Calls that are with a leader. */
	readonly #calls = new Set<{ leader: NodeId; controller: AbortController }>();
	readonly #gathered = new Map<NodeId, Gathered>();
	#flushing: NodeJS.Immediate | null = null;
	/** It does not know the call for several. */
	#older: NodeId | null = null;

	constructor(peers: () => Peers | null) {
		this.#peers = peers;
	}

	forward(leader: NodeId, proposal: Proposal): Promise<void> {
		if (this.#peers() === null) return Promise.reject(notLeading(leader));
		const alone = this.#calls.size === 0 || proposal.data.length > gatherBytes;
		if (alone || this.#older === leader) return this.#propose(leader, proposal);
		return new Promise((resolve, reject) => {
			const gathered = this.#gathered.get(leader) ?? { waiting: [], bytes: 0 };
			this.#gathered.set(leader, gathered);
			gathered.waiting.push({ ...proposal, resolve, reject });
			gathered.bytes += proposal.data.length;
			if (gathered.bytes > gatherBytes || gathered.waiting.length === maxProposals) this.#flush();
			else this.#flushing ??= setImmediate(() => this.#flush());
		});
	}

	/** What is with a leader that does not lead any more is not waited for: it is proposed again to the next one. */
	onLeader(leader: NodeId | null): void {
		this.#older = null;
		for (const call of [...this.#calls]) if (call.leader !== leader) call.controller.abort();
		for (const [to, { waiting }] of [...this.#gathered]) {
			if (to === leader) continue;
			this.#gathered.delete(to);
			for (const { reject } of waiting) reject(notLeading(leader));
		}
	}

	#flush(): void {
		if (this.#flushing !== null) clearImmediate(this.#flushing);
		this.#flushing = null;
		const gathered = [...this.#gathered];
		this.#gathered.clear();
		for (const [leader, { waiting }] of gathered) {
			if (waiting.length === 1) this.#oneByOne(leader, waiting);
			else void this.#proposeSeveral(leader, waiting);
		}
	}

	#oneByOne(leader: NodeId, waiting: readonly Waiting[]): void {
		for (const { resolve, reject, ...proposal } of waiting) this.#propose(leader, proposal).then(resolve, reject);
	}

	async #propose(leader: NodeId, { data, urgency }: Proposal): Promise<void> {
		await this.#call(leader, methods.propose, encodeProposal(data, urgency));
	}

	async #proposeSeveral(leader: NodeId, waiting: readonly Waiting[]): Promise<void> {
		try {
			const answer = await this.#call(leader, methods.proposeSeveral, encodeProposals(waiting));
			const failures = new Map(answer.length === 0 ? [] : decodeJson<Failures>(answer));
			for (const [position, { resolve, reject }] of waiting.entries()) {
				const failure = failures.get(position);
				if (failure === undefined) resolve();
				else reject(forwarded(decodeError(failure), leader));
			}
		} catch (error) {
			// Of the call itself: none of them was looked at.
			if (isAppError(error, "unsupported")) {
				this.#older = leader;
				this.#oneByOne(leader, waiting);
			} else for (const { reject } of waiting) reject(error);
		}
	}

	async #call(leader: NodeId, method: string, payload: Uint8Array): Promise<Uint8Array> {
		const peers = this.#peers();
		if (peers === null) throw notLeading(leader);
		const call = { leader, controller: new AbortController() };
		this.#calls.add(call);
		try {
			return await peers.call(leader, method, payload, { timeoutMs: limitMs, signal: call.controller.signal });
		} catch (error) {
			const { aborted } = call.controller.signal;
			throw aborted ? unknownOutcome("Another node leads meanwhile.") : forwarded(error, leader);
		} finally {
			this.#calls.delete(call);
		}
	}
}

/** The leader's part: empty when all of them are committed. */
export async function proposeAll(
	consensus: Pick<RaftConsensus, "proposeHere">,
	payload: Uint8Array,
): Promise<Uint8Array> {
	const failures: Failures = [];
	const proposed = decodeProposals(payload).map(({ data, urgency }, position) =>
		consensus.proposeHere(data, urgency).catch((error: unknown) => {
			failures.push([position, encodeError(toAppError(error))]);
		}),
	);
	await Promise.all(proposed);
	return failures.length === 0 ? new Uint8Array(0) : encodeJson(failures);
}

/** As the store understands it: whether it may be proposed again, and whether it may have happened. */
function forwarded(error: unknown, leader: NodeId): unknown {
	if (isPeerError(error)) return error.sent ? unknownOutcome("The leading node was lost.") : notLeading(leader);
	if (!isAppError(error)) return error;
	// There are no links to it any more: the leader has left, and another one will be heard of.
	if (error.code === "not-found") return notLeading(leader);
	// It was removed, and has not gone yet.
	if (error.code === "wrong-state") return notLeading(leader);
	if (error.context.outcome !== undefined) return error;
	// The answer of a leader that does not say what became of it (an older one), or nobody's who looked at it.
	if (error.code === "unavailable" || error.code === "timeout") return unknownOutcome(error.message, error.code, error);
	return error;
}
