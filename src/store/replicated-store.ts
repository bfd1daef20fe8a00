/**
 * The store: proposals to the consensus, committed entries to the state machine, results to those who wait, events to
 * those who listen. Knows neither files nor disks; open-store.ts puts the parts together.
 *
 * When the disk of the database is full, committed entries wait and are tried again; meanwhile proposals are refused
 * with `no-space`. Any other failure of the database is fatal: the log has everything, a restart replays it.
 */
import type { Clock, Timer } from "../lib/clock.ts";
import { AppError, fromErrorInfo, isAppError, toAppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import type { Event } from "../model/event.ts";
import { type LogEntry, type Outcome, resultOf } from "./apply/apply.ts";
import { encodeCommand } from "./codec.ts";
import type { Command } from "./command.ts";
import type { CommittedHandler, Consensus } from "./consensus.ts";
import { type Urgency, urgencyOf } from "./disk-reserve.ts";
import { Gathering } from "./gathering.ts";
import { IndexWaiters } from "./index-waiters.ts";
import { maxCommandBytes } from "./limits.ts";
import {
	notLeading,
	type Outcome as ProposalOutcome,
	sinceItMayHaveHappened,
	unknownOutcome,
} from "./raft/refusals.ts";
import { isFull } from "./sqlite/failures.ts";
import { SqliteReader } from "./sqlite/reader.ts";
import type { StateDatabase } from "./sqlite/state-database.ts";
import { StateMachine } from "./state-machine.ts";
import type { Applied, Backup, Store } from "./store.ts";
import { Waiters } from "./waiters.ts";

export type ReplicatedStoreParts = {
	state: StateDatabase;
	clock: Clock;
	logger: Logger;
	/** Called when going on would risk what was acknowledged; the process should end. */
	onFatal: (error: AppError) => void;
	/**
	 * Starts the consensus; it hands over the entries after `appliedIndex`. `onReplaced` is to be called whenever the state
	 * has become another one (a snapshot): what was handed over before is not applied any more.
	 */
	connect: (onCommitted: CommittedHandler, appliedIndex: number, onReplaced: () => void) => Promise<Consensus>;
	/** Makes a snapshot file; null: this store cannot (the error says why). */
	takeSnapshot: (path: string) => Promise<{ index: number; bytes: number }>;
	/** Such a file as a stream. */
	takeBackup: () => Promise<Backup>;
	/** See Gathering. Left out: what is committed is applied at once. */
	gatherMs?: number;
	/** The database's disk is full. True when something was given up for it, so that it is worth to try again. Never rejects. */
	makeRoom?: () => Promise<boolean>;
	/** Called after entries were applied. */
	onApplied?: (appliedIndex: number) => void;
	/** Ends what runs beside, before the log is closed. */
	stopUpkeep?: () => Promise<void>;
	/** Closes files and releases the lock, last of all. */
	release: () => Promise<void>;
};

const retryFullMs = 1_000;
/** A proposal is repeated for so long while there is no leader; and while there is one that cannot take it just now. */
const leaderlessMs = 4_000;
const changingMs = 10_000;
const quorumCheckMs = 250;
const firstPauseMs = 20;
const maxPauseMs = 250;
const sliceMs = 8;

export class ReplicatedStore extends SqliteReader implements Store {
	readonly #parts: ReplicatedStoreParts;
	readonly #machine: StateMachine;
	readonly #waiters: Waiters;
	readonly #listeners = new Set<(events: readonly Event[]) => void>();
	/** Committed, not applied yet: between two slices of a large group, and while the disk is full. */
	#unapplied: LogEntry[] = [];
	#nextSlice: NodeJS.Immediate | null = null;
	readonly #indexWaiters: IndexWaiters;
	#retry: Timer | null = null;
	readonly #gathering: Gathering;
	#makingRoom: Promise<void> | null = null;
	/** How many want nothing to be written to the database now. */
	#holds = 0;
	#quorumWatch: Timer | null = null;
	#down: AppError | null = null;
	#consensus: Consensus | null = null;
	#closing: Promise<void> | null = null;

	private constructor(parts: ReplicatedStoreParts) {
		super(parts.state);
		this.#parts = parts;
		this.#machine = new StateMachine(parts.state, parts.logger);
		this.#waiters = new Waiters(parts.clock);
		this.#indexWaiters = new IndexWaiters(parts.clock);
		this.#gathering = new Gathering(parts.clock, parts.gatherMs ?? 0, () => this.#apply("slice"));
	}

	static async open(parts: ReplicatedStoreParts): Promise<ReplicatedStore> {
		const store = new ReplicatedStore(parts);
		store.#consensus = await parts.connect(
			(entries) => store.#onCommitted(entries),
			store.appliedIndex,
			() => store.#replaced(),
		);
		while (store.#makingRoom !== null) await store.#makingRoom;
		const failed = store.#down;
		if (failed === null) return store;
		await store.close();
		throw failed.cause ?? failed;
	}

	override get appliedIndex(): number {
		return this.#machine.appliedIndex;
	}

	async propose(command: Command): Promise<Applied> {
		const consensus = this.#running();
		if (this.#retry !== null) throw diskFull();
		const data = encodeCommand(command);
		if (data.length > maxCommandBytes)
			throw new AppError("too-large", `The change is too large: ${data.length} bytes of at most ${maxCommandBytes}.`);
		const applied = this.#waiters.add(command.id);
		this.#watchQuorum(consensus);
		this.#proposeUntilTaken(consensus, command.id, data, urgencyOf(command.body)).catch((error) => {
			this.#waiters.settle(command.id, (waiter) => waiter.reject(toAppError(error)));
		});
		return applied;
	}

	/**
	 * While leadership changes, the same command is proposed again: it has an id, and is applied once, however often it comes.
	 * The applied command is what answers whoever waits; this ends earlier, or with the reason why there is no answer. It also
	 * ends when nobody waits any more: they may have been told that nothing has happened.
	 */
	async #proposeUntilTaken(consensus: Consensus, id: string, data: Uint8Array, urgency: Urgency): Promise<void> {
		const { clock } = this.#parts;
		const beganMs = clock.monotonicMs();
		let mayHaveHappened = false;
		for (let pauseMs = firstPauseMs; this.#waiters.has(id); pauseMs = Math.min(2 * pauseMs, maxPauseMs)) {
			try {
				this.#waiters.note(id, { mayHaveHappened: true });
				return await consensus.propose(data, urgency);
			} catch (error) {
				const limitMs = consensus.status().leader === null ? leaderlessMs : changingMs;
				mayHaveHappened ||= isAppError(error) && error.context.outcome === "unknown";
				this.#waiters.note(id, { mayHaveHappened });
				const late = clock.monotonicMs() - beganMs + pauseMs > limitMs;
				if (late || !mayHelpAgain(error) || this.#closing !== null || this.#down !== null)
					throw mayHaveHappened ? sinceItMayHaveHappened(toAppError(error)) : error;
				await new Promise<void>((resolve) => clock.schedule(pauseMs, resolve));
			}
		}
	}

	/** While there are proposals: those that wait without a quorum for long are answered, though some may still take effect. */
	#watchQuorum(consensus: Consensus): void {
		if (this.#quorumWatch !== null) return;
		const { clock } = this.#parts;
		let lostSinceMs: number | null = null;
		const look = () => {
			this.#quorumWatch = null;
			if (this.#waiters.count === 0 || this.#down !== null) return;
			const nowMs = clock.monotonicMs();
			lostSinceMs = consensus.status().quorum ? null : (lostSinceMs ?? nowMs);
			if (lostSinceMs !== null && nowMs - lostSinceMs >= leaderlessMs)
				this.#waiters.rejectSince(nowMs - leaderlessMs, ({ mayHaveHappened }) =>
					mayHaveHappened ? unknownOutcome("The cluster has no quorum.") : notLeading(null),
				);
			this.#quorumWatch = clock.schedule(quorumCheckMs, look);
		};
		this.#quorumWatch = clock.schedule(quorumCheckMs, look);
	}

	async readIndex(): Promise<number> {
		const index = await this.#running().readIndex();
		if (index > this.appliedIndex && this.#gathering.underWay && this.#holds === 0) this.#apply("slice");
		if (this.#down !== null) throw this.#down;
		if (index <= this.appliedIndex) return index;
		if (this.#retry !== null) throw heldBack();
		await this.#indexWaiters.wait(index);
		return index;
	}

	subscribe(listener: (events: readonly Event[]) => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	snapshot(path: string): Promise<{ index: number; bytes: number }> {
		this.#running();
		return this.#parts.takeSnapshot(path);
	}

	backup(): Promise<Backup> {
		this.#running();
		return this.#parts.takeBackup();
	}

	status(): ReturnType<Store["status"]> {
		const consensus = this.#consensus?.status() ?? { leader: null, quorum: false, commitIndex: 0, term: 0 };
		return { ...consensus, appliedIndex: this.appliedIndex };
	}

	close(): Promise<void> {
		this.#closing ??= this.#close();
		return this.#closing;
	}

	#running(): Consensus {
		if (this.#down !== null) throw this.#down;
		if (this.#consensus === null) throw new AppError("unavailable", "The store is starting.", { retryAfterMs: 1000 });
		return this.#consensus;
	}

	#onCommitted(entries: readonly LogEntry[]): void {
		if (this.#down !== null) return;
		this.#unapplied.push(...entries);
		if (this.#retry !== null || this.#nextSlice !== null || this.#holds > 0) return;
		// Before the start is complete, nobody else needs the event loop.
		if (this.#consensus === null) this.#apply("all");
		else if (this.#isAwaited || !this.#gathering.gathers(this.#unapplied.length)) this.#apply("slice");
	}

	/** Somebody here waits for a command, or for an index. */
	get #isAwaited(): boolean {
		return this.#waiters.count > 0 || this.#indexWaiters.count > 0;
	}

	#replaced(): void {
		this.#machine.replaced();
		this.#unapplied = [];
		this.#gathering.stop();
		this.#retry?.cancel();
		this.#retry = null;
		this.#indexWaiters.reached(this.appliedIndex);
		// What was proposed here may be in the new state, and is not applied once more.
		for (const commandId of this.#waiters.commandIds) {
			const result = resultOf(this.#parts.state, commandId, false);
			if (result !== null) this.#answer(commandId, result);
		}
	}

	/** What is committed meanwhile is applied afterwards; all else goes on. For moments: whoever proposes waits. */
	async held<Result>(work: () => Promise<Result>): Promise<Result> {
		this.#holds += 1;
		try {
			return await work();
		} finally {
			this.#holds -= 1;
			if (this.#holds === 0 && this.#unapplied.length > 0 && this.#retry === null && this.#down === null)
				this.#apply("slice");
		}
	}

	/** Large groups are applied in slices, so that requests and heartbeats get their turn in between. */
	#apply(how: "all" | "slice"): void {
		if (this.#holds > 0) return;
		this.#gathering.end(this.#unapplied.length);
		const began = this.#parts.clock.monotonicMs();
		const mayGoOn = () => how === "all" || this.#parts.clock.monotonicMs() - began <= sliceMs;
		try {
			while (this.#unapplied.length > 0) {
				if (!mayGoOn()) {
					this.#nextSlice = setImmediate(() => {
						this.#nextSlice = null;
						if (this.#down === null) this.#apply("slice");
					});
					break;
				}
				const { outcomes, appliedCount } = this.#machine.apply(this.#unapplied, mayGoOn);
				this.#unapplied.splice(0, appliedCount);
				this.#tell(outcomes);
			}
		} catch (error) {
			const { makeRoom } = this.#parts;
			if (isFull(error) && makeRoom !== undefined) this.#makeRoom(makeRoom, how, error);
			else this.#onDatabaseFailure(error);
			return;
		}
		this.#parts.onApplied?.(this.appliedIndex);
	}

	/**
	 * What is committed was acknowledged, or will be: whatever is kept for that is given up before anybody is told to wait. The disk may
	 * take its time for it, and all else goes on.
	 */
	#makeRoom(makeRoom: () => Promise<boolean>, how: "all" | "slice", full: unknown): void {
		this.#holds += 1;
		this.#makingRoom = makeRoom().then((isGiven) => {
			this.#makingRoom = null;
			this.#holds -= 1;
			if (this.#down !== null || this.#unapplied.length === 0) return;
			if (isGiven) this.#apply(how);
			else this.#onDatabaseFailure(full);
		});
	}

	#tell(outcomes: readonly Outcome[]): void {
		this.#indexWaiters.reached(this.appliedIndex);
		const events = outcomes.flatMap((outcome) => outcome.events);
		for (const { commandId, result } of outcomes) this.#answer(commandId, result);
		if (events.length === 0) return;
		for (const listener of this.#listeners) {
			try {
				listener(events);
			} catch (error) {
				this.#parts.logger.error("a listener for events threw", { error });
			}
		}
	}

	#answer(commandId: string, result: Outcome["result"]): void {
		this.#waiters.settle(commandId, (waiter) => {
			if ("applied" in result) waiter.resolve(result.applied);
			else waiter.reject(fromErrorInfo(result.error));
		});
	}

	#onDatabaseFailure(error: unknown): void {
		if (isFull(error)) {
			this.#parts.logger.error("the disk is full: committed changes wait to be applied", { error });
			this.#waiters.rejectAll(({ mayHaveHappened }) => (mayHaveHappened ? notApplied() : diskFull()));
			this.#indexWaiters.rejectAll(heldBack());
			this.#retry = this.#parts.clock.schedule(retryFullMs, () => {
				this.#retry = null;
				if (this.#down === null) this.#apply("slice");
			});
			return;
		}
		const fatal =
			error instanceof AppError
				? error
				: new AppError("corrupt", "The state database failed. Restart the node: the log has every change.", {
						cause: error,
					});
		this.fail(fatal);
	}

	/** Stops for good: nothing is acknowledged any more. */
	fail(error: AppError): void {
		if (this.#down !== null) return;
		const message = "The store of this node has failed; its log says why.";
		this.#stop(new AppError("unavailable", message, { context: notProposed, cause: error }));
		this.#parts.onFatal(error);
	}

	#stop(reason: AppError): void {
		this.#down = reason;
		this.#gathering.stop();
		this.#retry?.cancel();
		this.#quorumWatch?.cancel();
		this.#waiters.rejectAll(({ mayHaveHappened }) => (mayHaveHappened ? sinceItMayHaveHappened(reason) : reason));
		this.#indexWaiters.rejectAll(reason);
	}

	async #close(): Promise<void> {
		await this.#parts.stopUpkeep?.();
		// Refuses new proposals; those under way are still written and answered.
		await this.#consensus?.close();
		while (this.#makingRoom !== null) await this.#makingRoom;
		if (this.#nextSlice !== null) clearImmediate(this.#nextSlice);
		if (this.#down === null && this.#retry === null) this.#apply("all");
		while (this.#makingRoom !== null) await this.#makingRoom;
		const message = "This node is shutting down.";
		this.#stop(new AppError("unavailable", message, { retryAfterMs: 1000, context: notProposed }));
		this.#listeners.clear();
		await this.#parts.release();
	}
}

const notProposed = { outcome: "not-proposed" satisfies ProposalOutcome };

/** Nothing says that it was refused for good, or that it was taken. */
const mayHelpAgain = (error: unknown): boolean =>
	isAppError(error) && ["unavailable", "timeout"].includes(error.code) && error.context?.outcome !== undefined;

/** Reads do not wait for somebody to make space: they get what this copy has. */
const heldBack = (): AppError =>
	new AppError("unavailable", "The disk of this node is full: its copy of the state is behind.", {
		retryAfterMs: 5000,
	});

const diskFull = (): AppError =>
	new AppError("no-space", "The disk of this node is full. Free some space; changes work again on their own.", {
		retryAfterMs: 5000,
		context: notProposed,
	});

/** Whether it is among those that wait for space is not known here: it may be with the leader. */
const notApplied = (): AppError =>
	new AppError(
		"no-space",
		"The disk of this node is full. If the change was recorded, it takes effect once there is space.",
		{ context: { outcome: "unknown" satisfies ProposalOutcome } },
	);
