/**
 * Who waits for what: proposals until their entry is committed or cannot be any more, and reads until the leader has
 * confirmed their index. Bounded in number and in time, which is counted in ticks.
 */
import type { AppError } from "../../lib/errors.ts";
import { lost, unconfirmedRead, unknownOutcome } from "./refusals.ts";

type Proposal = {
	index: number;
	term: number;
	deadline: number;
	settled: boolean;
	/** Another one that waits for the same index: of an earlier leadership. */
	next: Proposal | undefined;
	resolve: () => void;
	reject: (error: AppError) => void;
};

const answeredElsewhere = (): void => {};

export class WaitingProposals {
	readonly #byIndex = new Map<number, Proposal>();
	/** In the order of their deadlines; those settled stay until it is their turn. */
	#queue: Proposal[] = [];
	#head = 0;
	#count = 0;

	get count(): number {
		return this.#count;
	}

	add(index: number, term: number, deadline: number): Promise<void> {
		const { promise, resolve, reject } = Promise.withResolvers<void>();
		const next = this.#byIndex.get(index);
		const proposal: Proposal = { index, term, deadline, settled: false, next, resolve, reject };
		this.#byIndex.set(index, proposal);
		this.#enqueue(proposal);
		return promise;
	}

	/** One that somebody else answers; it only must not wait for ever. */
	addAnswered<T>(answer: Promise<T>, deadline: number): Promise<T> {
		const { promise, resolve, reject } = Promise.withResolvers<T>();
		const proposal: Proposal = {
			index: 0,
			term: 0,
			deadline,
			settled: false,
			next: undefined,
			resolve: answeredElsewhere,
			reject,
		};
		this.#enqueue(proposal);
		answer.then(
			(value) => this.#settle(proposal) && resolve(value),
			(error) => this.#settle(proposal) && reject(error),
		);
		return promise;
	}

	/** The entry that is at `index` for good. */
	committed(index: number, term: number): void {
		if (this.#byIndex.size === 0) return;
		let proposal = this.#byIndex.get(index);
		if (proposal === undefined) return;
		this.#byIndex.delete(index);
		for (; proposal !== undefined; proposal = proposal.next) {
			if (!this.#settle(proposal)) continue;
			if (proposal.term === term) proposal.resolve();
			else proposal.reject(lost());
		}
	}

	/** A snapshot took the place of the log up to `index`: what became of entries in it is not known. */
	skipped(index: number): void {
		for (const [at, first] of this.#byIndex) {
			if (at > index) continue;
			this.#byIndex.delete(at);
			for (let one: Proposal | undefined = first; one !== undefined; one = one.next)
				if (this.#settle(one)) one.reject(unknownOutcome("This node fell behind and took over another node's state."));
		}
	}

	/** The disk is full: those whose entry, after `index`, is not on it and whose time is over at `deadline`. */
	refused(index: number, deadline: number): void {
		for (let at = this.#head; at < this.#queue.length; at++) {
			const proposal = this.#queue[at] as Proposal;
			if (proposal.deadline > deadline) return;
			if (proposal.index <= index || !this.#settle(proposal)) continue;
			this.#forget(proposal);
			proposal.reject(unknownOutcome("The disk of the leading node is full.", "no-space"));
		}
	}

	expire(tick: number): void {
		for (;;) {
			const proposal = this.#queue[this.#head];
			if (proposal === undefined || (!proposal.settled && proposal.deadline > tick)) break;
			this.#head += 1;
			if (!this.#settle(proposal)) continue;
			this.#forget(proposal);
			proposal.reject(unknownOutcome("The cluster did not answer in time.", "timeout"));
		}
		if (this.#head > 512 && this.#head * 2 > this.#queue.length) {
			this.#queue = this.#queue.slice(this.#head);
			this.#head = 0;
		}
	}

	rejectAll(error: AppError): void {
		const all = this.#queue.slice(this.#head);
		this.#queue = [];
		this.#head = 0;
		this.#byIndex.clear();
		for (const proposal of all) if (this.#settle(proposal)) proposal.reject(error);
	}

	#enqueue(proposal: Proposal): void {
		this.#queue.push(proposal);
		this.#count += 1;
	}

	#settle(proposal: Proposal): boolean {
		if (proposal.settled) return false;
		proposal.settled = true;
		this.#count -= 1;
		return true;
	}

	/** Others of its index are older: their time is over, too. */
	#forget(proposal: Proposal): void {
		if (this.#byIndex.get(proposal.index) === proposal) this.#byIndex.delete(proposal.index);
	}
}

type Read = { deadline: number; resolve: (index: number) => void; reject: (error: AppError) => void };

export class WaitingReads {
	/** All wait equally long, so the first is the first to time out. */
	readonly #byToken = new Map<number, Read>();

	get count(): number {
		return this.#byToken.size;
	}

	add(token: number, deadline: number): Promise<number> {
		const { promise, resolve, reject } = Promise.withResolvers<number>();
		this.#byToken.set(token, { deadline, resolve, reject });
		return promise;
	}

	answer(token: number, index: number | null): void {
		const read = this.#byToken.get(token);
		if (read === undefined) return;
		this.#byToken.delete(token);
		if (index === null) read.reject(unconfirmedRead());
		else read.resolve(index);
	}

	expire(tick: number): void {
		for (const [token, { deadline }] of this.#byToken) {
			if (deadline > tick) break;
			this.answer(token, null);
		}
	}

	rejectAll(error: AppError): void {
		const all = [...this.#byToken.values()];
		this.#byToken.clear();
		for (const read of all) read.reject(error);
	}
}
