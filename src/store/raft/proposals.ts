/** Proposals on their way: to the core of this node, or to the leader, until they are committed or cannot be any more. */
import type { AppError } from "../../lib/errors.ts";
import type { Raft } from "../../raft/raft.ts";
import type { Change, Entry, Proposed, Refusal } from "../../raft/types.ts";
import type { Urgency } from "../disk-reserve.ts";
import { maxPendingProposals } from "../limits.ts";
import { full, refusalError, removed } from "./refusals.ts";
import type { Space } from "./space.ts";
import type { Forward } from "./transport.ts";
import { WaitingProposals } from "./waiting.ts";

export type ProposalsParts = {
	raft: Raft;
	space: Space;
	/** How long one waits, and how long when the disk is full. */
	ticks: number;
	fullTicks: number;
	/** Why nothing is taken any more; null while it is. */
	down: () => AppError | null;
	onProposed: () => void;
	onFailed: (error: unknown) => void;
};

const offersApart = 20;

export class Proposals {
	readonly #parts: ProposalsParts;
	readonly #waiting = new WaitingProposals();
	#now = 0;
	/** When the lead may be offered to somebody whose disk is not full. */
	#nextOffer = 0;
	#isRemoved = false;

	constructor(parts: ProposalsParts) {
		this.#parts = parts;
	}

	/** Others say that this node was removed: nothing is taken any more, as when Raft itself says so. */
	noteRemoved(): void {
		this.#isRemoved = true;
	}

	/** `forward` null: only if this node leads. */
	propose(data: Uint8Array, urgency: Urgency, forward: Forward | null): Promise<void> {
		const { raft, space, down } = this.#parts;
		const reason = down();
		if (reason !== null) return Promise.reject(reason);
		if (this.#isRemoved || raft.removed) return Promise.reject(removed());
		if (this.#waiting.count >= maxPendingProposals)
			return Promise.reject(refusalError({ refused: "busy", leader: null }));
		if (!space.knownFor(urgency) && raft.role === "leader") return this.#proposeIfSpace(data, urgency);
		const result = raft.propose(data);
		if ("index" in result || result.refused !== "not-leader" || forward === null || result.leader === null)
			return this.#await(result);
		return this.#waiting.addAnswered(forward(result.leader, data, urgency), this.#now + this.#parts.ticks);
	}

	change(change: Change): Promise<void> {
		const { raft, down } = this.#parts;
		const reason = down();
		return reason === null ? this.#await(raft.proposeConfiguration(change)) : Promise.reject(reason);
	}

	/** These are in the log for good. */
	committed(entries: readonly Entry[]): void {
		if (this.#waiting.count === 0) return;
		for (const { index, term } of entries) this.#waiting.committed(index, term);
	}

	/**
	 * The disk has refused entries, which the core keeps and tries again. Others may have them, so it is worth to wait for a
	 * moment, unless there is nobody else.
	 */
	refused(): void {
		const { raft, space, ticks, fullTicks } = this.#parts;
		space.forget();
		if (this.#waiting.count === 0) return;
		const { durableIndex, configuration } = raft.status();
		const since = configuration.voters.length === 1 ? this.#now : this.#now - fullTicks;
		this.#waiting.refused(durableIndex, since + ticks);
	}

	/** A snapshot took the place of the log up to `index`. */
	skipped(index: number): void {
		this.#waiting.skipped(index);
	}

	tick(): void {
		this.#now += 1;
		this.#waiting.expire(this.#now);
	}

	rejectAll(error: AppError): void {
		this.#waiting.rejectAll(error);
	}

	async #proposeIfSpace(data: Uint8Array, urgency: Urgency): Promise<void> {
		const { raft, space, down, onFailed } = this.#parts;
		const asked = space.askFor(urgency).catch((error) => {
			onFailed(error);
			throw error;
		});
		// Counted while it asks; from then on, only as what it proposes.
		const enough = await this.#waiting.addAnswered(asked, this.#now + this.#parts.ticks);
		if (!enough) {
			this.#offerLead();
			throw full();
		}
		const reason = down();
		if (reason !== null) throw reason;
		return this.#await(raft.propose(data));
	}

	/** The disk of another node may have space. Not often: it may as well have none. */
	#offerLead(): void {
		const { raft, fullTicks, onProposed } = this.#parts;
		if (this.#now < this.#nextOffer || "refused" in raft.transferLeadership()) return;
		this.#nextOffer = this.#now + offersApart * fullTicks;
		onProposed();
	}

	#await(result: Proposed | Refusal): Promise<void> {
		const { ticks, onProposed } = this.#parts;
		if ("refused" in result) return Promise.reject(refusalError(result));
		onProposed();
		return this.#waiting.add(result.index, result.term, this.#now + ticks);
	}
}
