/**
 * What nodes have told each other, and what follows from it for what they may do next:
 *
 *   elections  whoever asks for votes was promised a majority of them before (pre-vote)
 *   reads      are answered by a leader after a majority of voters has answered a heartbeat that was sent since
 *   progress   nobody sends a follower again what it has acknowledged in this term
 *
 * No log is damaged by breaking these, or only when much else comes together; so they are looked at by themselves.
 */
import type { AppendAnswer, HeartbeatAnswer, Message } from "../../raft/messages.ts";
import { majority } from "../../raft/quorum.ts";
import type { Configuration, NodeId } from "../../raft/types.ts";
import { unsafe } from "./violation.ts";

/** `settled`: the index before the event in which the last answer came; what was decided within it may go by that. */
type Heard = { term: number; index: number; settled: number; step: number; recoveries: number; round: number };

/** What one node has heard of the others, as a candidate and as a leader. */
class Ears {
	/** By term: who has promised votes. A candidate's request can wait for its disk while it already asks about the next. */
	readonly promises = new Map<number, Set<NodeId>>();
	/** Which of its recoveries a leader has confirmed something for. */
	confirmed = -1;
	votedTerm = 0;
	readonly votes = new Set<NodeId>();
	/** By follower, of the term that it says. */
	readonly heard = new Map<NodeId, Heard>();
	leadsTerm = 0;
	/** When the first heartbeat of each round was sent, by round, in steps. */
	readonly roundSentAt: number[] = [];
}

export class Exchanges {
	readonly #worthy = new Set<string>();
	readonly #ears = new Map<NodeId, Ears>();

	#of(id: NodeId): Ears {
		let ears = this.#ears.get(id);
		if (ears === undefined) {
			ears = new Ears();
			this.#ears.set(id, ears);
		}
		return ears;
	}

	delivered(message: Message, step: number): void {
		switch (message.type) {
			case "pre-vote-answer": {
				if (!message.granted) return;
				const ears = this.#of(message.to);
				const known = ears.promises.get(message.term);
				if (known !== undefined) known.add(message.from);
				else ears.promises.set(message.term, new Set([message.from]));
				for (const term of ears.promises.keys()) if (term < message.term - 16) ears.promises.delete(term);
				return;
			}
			case "heartbeat": {
				if (message.recovered === null) return;
				const ears = this.#of(message.to);
				ears.confirmed = Math.max(ears.confirmed, message.recovered.recoveries);
				return;
			}
			case "vote-answer": {
				const ears = this.#of(message.to);
				// What comes after the election was won did not win it.
				if (!message.granted || ears.leadsTerm >= message.term) return;
				if (message.term > ears.votedTerm) {
					ears.votedTerm = message.term;
					ears.votes.clear();
				}
				if (message.term === ears.votedTerm) ears.votes.add(message.from);
				return;
			}
			case "append-answer": {
				const heard = this.#answer(message);
				if (heard === null || !message.accepted) return;
				if (heard.step !== step) heard.settled = heard.index;
				heard.step = step;
				heard.index = Math.max(heard.index, message.index);
				return;
			}
			case "heartbeat-answer": {
				const heard = this.#answer(message);
				if (heard !== null) heard.round = Math.max(heard.round, message.round);
				return;
			}
			default:
		}
	}

	/** Null for one that says nothing about the log as it is. */
	#answer({ from, to, term, recoveries }: AppendAnswer | HeartbeatAnswer): Heard | null {
		const ears = this.#of(to);
		if (term !== ears.leadsTerm) return null;
		let heard = ears.heard.get(from);
		if (heard === undefined || heard.term < term || heard.recoveries < recoveries) {
			heard = { term, index: 0, settled: 0, step: -1, recoveries, round: 0 };
			ears.heard.set(from, heard);
		}
		return heard.recoveries === recoveries ? heard : null;
	}

	mayRecover(id: NodeId, recoveries: number): boolean {
		return (this.#ears.get(id)?.confirmed ?? -1) >= recoveries;
	}

	/** Whether this node's vote made that one the leader of the term. */
	electedBy(leader: NodeId, term: number, voter: NodeId): boolean {
		const ears = this.#ears.get(leader);
		return ears?.votedTerm === term && ears.votes.has(voter);
	}

	/** From before its sender's log was last found damaged, as far as is known. */
	isLate({ from, to, recoveries }: AppendAnswer): boolean {
		const heard = this.#ears.get(to)?.heard.get(from);
		return heard !== undefined && heard.recoveries > recoveries;
	}

	/** What a leader can know of a follower; null when it does not lead in this term. */
	acknowledged(leader: NodeId, follower: NodeId, term: number): number | null {
		const ears = this.#ears.get(leader);
		return ears?.leadsTerm === term ? (ears.heard.get(follower)?.index ?? 0) : null;
	}

	/** When it asked, its log was as new as that of this voter (thesis, 3.6.1). */
	mayHaveVote(voter: NodeId, term: number, candidate: NodeId): void {
		this.#worthy.add(`${voter} ${term} ${candidate}`);
	}

	sent(message: Message, step: number, configuration: () => Configuration): void {
		if (message.type === "vote-answer") {
			const { granted, from, to, term } = message;
			if (granted && !this.#worthy.has(`${from} ${term} ${to}`))
				unsafe(`elections: ${from} votes in term ${term} for ${to}, whose log is older`);
			return;
		}
		if (message.type === "vote") {
			if (!message.transfer) this.#asksForVotes(message.from, message.term, configuration());
			return;
		}
		if (message.type !== "append" && message.type !== "heartbeat") return;
		const ears = this.#of(message.from);
		if (ears.leadsTerm !== message.term) {
			ears.leadsTerm = message.term;
			ears.heard.clear();
			ears.roundSentAt.length = 0;
		}
		if (message.type === "heartbeat") ears.roundSentAt[message.round] ??= step;
		else {
			const heard = ears.heard.get(message.to);
			const known = heard === undefined ? 0 : heard.step === step ? heard.settled : heard.index;
			if (message.previousIndex < known)
				unsafe(
					`progress: ${message.from} sends ${message.to} what is after ${message.previousIndex}, which acknowledged ${known}`,
				);
		}
	}

	#asksForVotes(id: NodeId, term: number, { voters }: Configuration): void {
		const ears = this.#of(id);
		let promised = voters.includes(id) ? 1 : 0;
		const promises = ears.promises.get(term);
		if (promises !== undefined) for (const voter of voters) if (promises.has(voter)) promised += 1;
		if (promised < majority(voters.length))
			unsafe(`elections: ${id} asks for votes in term ${term}; ${promised} of ${voters.length} promised theirs`);
	}

	/** This leader answers a read that came at the step `since`. */
	readAnswered(id: NodeId, term: number, since: number, { voters }: Configuration): void {
		const ears = this.#ears.get(id);
		let confirmed = voters.includes(id) ? 1 : 0;
		if (ears !== undefined && ears.leadsTerm === term)
			for (const [from, { round }] of ears.heard)
				if (voters.includes(from) && (ears.roundSentAt[round] ?? -1) >= since) confirmed += 1;
		if (confirmed < majority(voters.length))
			unsafe(`reads: ${id} answers in term ${term} what ${confirmed} of ${voters.length} voters have confirmed`);
	}
}
