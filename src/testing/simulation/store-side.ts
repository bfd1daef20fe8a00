/** The daemon's store (store/replicated-store.ts) between the simulation and a node's consensus. */
import type { Clock } from "../../lib/clock.ts";
import { type AppError, isAppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import type { Entry } from "../../raft/types.ts";
import type { CommittedHandler } from "../../store/consensus.ts";
import type { RaftConsensus } from "../../store/raft/raft-consensus.ts";
import { ReplicatedStore } from "../../store/replicated-store.ts";
import type { Request } from "./machine.ts";
import type { ProcessHost, Proposed, ReadDone } from "./process.ts";
import { outcomeOf } from "./proposal-outcome.ts";
import type { StoreMachine } from "./store-machine.ts";
import { Violation } from "./violation.ts";

/** One of so many operations of a client comes with one of the upkeep. */
const pruneEvery = 8;

export type StoreSideOptions = {
	machine: StoreMachine;
	host: ProcessHost;
	connect: () => Promise<RaftConsensus>;
	/** Before the consensus hands over anything. */
	created: (store: StoreSide) => void;
	/** They are in the state. */
	applied: (entries: readonly Entry[]) => void;
	gatherMs: number;
	onFatal: (error: AppError) => void;
};

export class StoreSide {
	readonly #options: StoreSideOptions;
	#store!: ReplicatedStore;
	#onCommitted: CommittedHandler = () => {};
	#onReplaced: () => void = () => {};
	/** Handed over, and not seen applied yet. */
	#handed: Entry[] = [];

	private constructor(options: StoreSideOptions) {
		this.#options = options;
	}

	/** Rejects with what `connect` does. */
	static async open(options: StoreSideOptions): Promise<StoreSide> {
		const side = new StoreSide(options);
		const none = (): Promise<never> => Promise.reject(new Error("the simulation copies the state itself"));
		side.#store = await ReplicatedStore.open({
			state: options.machine.state,
			clock: side.#clock(),
			logger: silentLogger,
			onFatal: options.onFatal,
			connect: (onCommitted, _appliedIndex, replaced) => {
				side.#onCommitted = onCommitted;
				side.#onReplaced = replaced;
				options.created(side);
				return options.connect();
			},
			gatherMs: options.gatherMs,
			onApplied: (index) => side.#applied(index),
			takeSnapshot: none,
			takeBackup: none,
			release: async () => {},
		});
		return side;
	}

	#clock(): Clock {
		const { host } = this.#options;
		return {
			nowMs: () => host.wallMs(),
			monotonicMs: () => host.nowMs(),
			schedule: (delayMs, callback) => {
				let cancelled = false;
				host.later(Math.max(1, Math.round(delayMs)), () => {
					if (!cancelled) callback();
				});
				return {
					cancel: () => {
						cancelled = true;
					},
				};
			},
		};
	}

	/** Without gathering one by one, so that the state is seen after each entry. */
	committed(entries: readonly Entry[]): void {
		for (const entry of entries) {
			this.#handed.push(entry);
			if (this.#options.gatherMs === 0) this.#onCommitted([entry]);
		}
		if (this.#options.gatherMs > 0) this.#onCommitted(entries);
	}

	/** Another state took the place of the one that the store works on. */
	replaced(): void {
		this.#handed = [];
		this.#onReplaced();
	}

	#applied(index: number): void {
		const { machine, host, applied } = this.#options;
		const later = this.#handed.findIndex((entry) => entry.index > index);
		const entries = this.#handed.splice(0, later < 0 ? this.#handed.length : later);
		for (const [at, entry] of entries.entries()) host.applied(machine, entry, at === entries.length - 1);
		applied(entries);
	}

	propose(request: Request, done: Proposed): void {
		const { machine, host } = this.#options;
		if (request.operation.sequence % pruneEvery === 0)
			this.#store.propose(machine.pruning(host.step(), host.wallMs())).catch((error) => {
				if (!isExpected(error)) host.found(new Violation("safety", `the store refuses its upkeep: ${error}`));
			});
		request.attempts += 1;
		this.#store.propose(machine.command(request.operation, request.attempts, host.wallMs())).then(
			() => done("committed", true),
			(error) => {
				if (isAppError(error, "stale-etag")) done("committed", false);
				else if (isExpected(error)) done(outcomeOf(error), null);
				else
					host.found(
						new Violation(
							"safety",
							`the store refuses: ${error instanceof Error ? `${error.message}: ${error.stack}` : error}`,
						),
					);
			},
		);
	}

	read(done: ReadDone): void {
		const { machine } = this.#options;
		this.#store.readIndex().then(
			(index) => done(machine, index),
			() => done(null, 0),
		);
	}
}

/** Not by a rule of the state, which nobody breaks here. */
const isExpected = (error: unknown): boolean =>
	isAppError(error) &&
	("outcome" in error.context || ["unavailable", "timeout", "no-space", "too-many-requests"].includes(error.code));
