/** The daemon's driver and log (src/store/raft, src/store/log) as a process of the simulation. */
import { AssertionError, present } from "../../lib/assert.ts";
import type { Clock, Timer } from "../../lib/clock.ts";
import { type AppError, isAppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import type { Message } from "../../raft/messages.ts";
import type { MutantName } from "../../raft/mutants.ts";
import type { Change, ConfigurationAt, Entry, Limits, NodeId, Status, Vitals } from "../../raft/types.ts";
import type { Urgency } from "../../store/disk-reserve.ts";
import { openRaft } from "../../store/raft/open-raft.ts";
import type { RaftConsensus } from "../../store/raft/raft-consensus.ts";
import { Applying } from "./applying.ts";
import type { Machine, Request } from "./machine.ts";
import {
	answerWith,
	type ProcessHost,
	type Proposed,
	type ReadDone,
	type SimulatedProcess,
	type StreamMessage,
} from "./process.ts";
import { outcomeOf } from "./proposal-outcome.ts";
import type { Random } from "./random.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";
import { SimulatedFiles } from "./simulated-files.ts";
import { SimulatedSnapshots } from "./simulated-snapshots.ts";
import { StoreMachine } from "./store-machine.ts";
import { StoreSide } from "./store-side.ts";
import { Violation } from "./violation.ts";

export type DriverProcessOptions = {
	id: NodeId;
	host: ProcessHost;
	disk: SimulatedDisk;
	random: Random;
	limits: Partial<Limits>;
	tickJitterMs: number;
	mutant: MutantName | null;
	snapshotEntries: number;
	keptEntries: number;
	chunkBytes: number;
	segmentBytes: number;
	forwards: boolean;
	/** See Applying; with the daemon's store, for how long it gathers. */
	applyLagMs: number;
	/** Whether this process is the one that runs on the node. */
	alive: () => boolean;
	/** How much slower or faster than others this node's clock is. */
	clockRate: () => number;
};

type Read = { index: number; done: ReadDone };
/** `dueIndex`: when the state is there, it was applied; infinite while only its leader knows. */
type Unapplied = { request: Request; done: Proposed; dueIndex: number };

class SimulatedTimer implements Timer {
	readonly callback: () => void;
	/** It has fired, or was cancelled. */
	isOver = false;

	constructor(callback: () => void) {
		this.callback = callback;
	}

	cancel(): void {
		this.isOver = true;
	}
}

export class DriverProcess implements SimulatedProcess {
	readonly #options: DriverProcessOptions;
	/** Undefined while it starts. */
	#consensus!: RaftConsensus;
	#started = false;
	readonly #applying: Applying;
	/** With the daemon's own store, what stands between it and the consensus. */
	#store: StoreSide | null = null;
	#confirmed: Read[] = [];
	/** Committed, and not applied here yet. */
	#unapplied: Unapplied[] = [];
	#timer: SimulatedTimer | null = null;
	#compacting = false;

	private constructor(options: DriverProcessOptions) {
		this.#options = options;
		const { random, applyLagMs: lagMs, host } = options;
		const apply = (entries: readonly Entry[]): void =>
			this.#guarded(() => {
				for (const entry of entries) host.applied(this.machine, entry, true);
				this.#applied(entries);
			});
		this.#applying = new Applying({ random, lagMs, later: (ms, run) => host.later(ms, run), apply });
	}

	/** Rejects with what the daemon would refuse to start with. */
	static async open(options: DriverProcessOptions): Promise<DriverProcess> {
		const process = new DriverProcess(options);
		const { host, disk } = options;
		const connect = (): Promise<RaftConsensus> => process.#connect();
		if (disk.machine instanceof StoreMachine)
			process.#store = await StoreSide.open({
				machine: disk.machine,
				host,
				connect,
				created: (store) => {
					process.#store = store;
				},
				applied: (entries) => process.#guarded(() => process.#applied(entries)),
				gatherMs: options.applyLagMs,
				onFatal: (error) => process.#failed(error),
			});
		else await connect();
		process.#started = true;
		return process;
	}

	async #connect(): Promise<RaftConsensus> {
		const options = this.#options;
		const { id: nodeId, disk, host, random, limits, tickJitterMs, mutant, chunkBytes, segmentBytes, alive } = options;
		const files = new SimulatedFiles({ disk, host, alive, fits: () => random.chance(0.5), syncs: true });
		return openRaft({
			clusterId: "cluster",
			nodeId,
			files,
			base: disk.base,
			makeStateDurable: () => this.#guarded(() => disk.makeStateDurable()),
			reserveBytes: 0,
			segmentBytes,
			clock: this.#clock(),
			logger: silentLogger,
			random: random.next,
			transport: {
				send: (message) => this.#guarded(() => host.send(message)),
				sendSnapshot: (to, message) => this.#guarded(() => host.sendStream(to, message)),
			},
			snapshots: this.#snapshots(files),
			reportsApplied: true,
			onStarting: (starting) => {
				this.#consensus = starting;
			},
			onCommitted: (entries) =>
				this.#guarded(() =>
					this.#store === null ? this.#applying.add(entries, !this.#started) : this.#store.committed(entries),
				),
			onFatal: (error) => this.#failed(error),
			...(options.forwards ? { forward: host.forward } : {}),
			...{ limits, tickJitterMs },
			snapshotChunkBytes: chunkBytes,
			...(mutant === null ? {} : { mutant }),
		});
	}

	get machine(): Machine {
		return this.#options.disk.machine;
	}

	/** A finding must not be caught by the code that is under test. */
	#guarded(run: () => void): void {
		if (!this.#options.alive()) return;
		try {
			run();
		} catch (error) {
			this.#options.host.found(error);
		}
	}

	#failed(error: AppError): void {
		if (!this.#options.alive()) return;
		const { host, disk } = this.#options;
		if (DriverProcess.isExpected(error, disk.damaged)) host.ended(`ends: ${error.message}`);
		else host.found(new Violation("safety", `the driver fails: ${stackOf(error)}`));
	}

	/** Of a disk that has failed, or whose log was damaged. */
	static isExpected(error: unknown, damaged: boolean): boolean {
		if (isBug(error)) return false;
		return isAppError(error, "storage") || isAppError(error, "no-space") || (damaged && isAppError(error, "corrupt"));
	}

	#clock(): Clock {
		const { host, clockRate } = this.#options;
		return {
			nowMs: () => host.nowMs(),
			monotonicMs: () => host.nowMs(),
			schedule: (delayMs, callback): Timer => {
				const timer = new SimulatedTimer(callback);
				this.#timer = timer;
				host.later(Math.max(1, Math.round(delayMs * clockRate())), () => this.#fire(timer));
				return timer;
			},
		};
	}

	#fire(timer: SimulatedTimer): void {
		if (timer.isOver) return;
		timer.isOver = true;
		timer.callback();
		this.#options.host.ticked();
	}

	/** Its clock jumps: what was due later is due now. */
	tick(): void {
		if (this.#timer !== null) this.#fire(this.#timer);
	}

	receive(message: Message): void {
		this.#consensus.receive(message);
	}

	receiveStream(from: NodeId, message: StreamMessage): void {
		this.#consensus.receiveSnapshot(from, message);
	}

	peerGone(id: NodeId): void {
		this.#consensus.peerGone(id);
	}

	propose(request: Request, done: Proposed): void {
		if (this.#store !== null) {
			this.#store.propose(request, (outcome, swapped) => this.#guarded(() => done(outcome, swapped)));
			return;
		}
		const elsewhere = this.leader !== this.#options.id;
		this.#consensus.propose(request.data, "essential").then(
			() =>
				this.#guarded(() => {
					// Here it was handed over before it was acknowledged; the state may lag behind.
					const dueIndex = elsewhere ? Number.POSITIVE_INFINITY : this.#applying.index;
					if (dueIndex > this.machine.index && this.machine.resultOf(request.operation) === "missing")
						this.#unapplied.push({ request, done, dueIndex });
					else answerWith(this.machine, request.operation, "committed", done);
				}),
			(error) => this.#guarded(() => done(outcomeOf(error), null)),
		);
	}

	readonly forwarded = (data: Uint8Array, urgency: Urgency): Promise<void> =>
		this.#consensus.proposeHere(data, urgency);

	read(done: ReadDone): void {
		if (this.#store !== null) {
			this.#store.read((machine, index) => this.#guarded(() => done(machine, index)));
			return;
		}
		const { host } = this.#options;
		const since = host.step();
		this.#consensus.readIndex().then(
			(index) =>
				this.#guarded(() => {
					host.readConfirmed(since);
					if (index <= this.machine.index) done(this.machine, index);
					else this.#confirmed.push({ index, done });
				}),
			() => this.#guarded(() => done(null, 0)),
		);
	}

	flush(): void {}

	change(change: Change, refused: (why: string) => void): void {
		this.#consensus.changeMembers(change).catch((error: AppError) => refused(error.message));
	}

	transfer(to: NodeId | null): void {
		this.#consensus.transferLeadership(to).catch(() => {});
	}

	status(): Status {
		return this.#consensus.details();
	}

	get vitals(): Vitals {
		return this.#consensus.vitals;
	}

	get leader(): NodeId | null {
		return this.#consensus.leader;
	}

	get term(): number {
		return this.#consensus.vitals.term;
	}

	get leads(): boolean {
		return this.#consensus.leader === this.#options.id;
	}

	termAt(index: number): number | null {
		return this.#consensus.snapshotMeta(index)?.term ?? null;
	}

	configuration(): ConfigurationAt {
		return present(this.#consensus.snapshotMeta(this.#consensus.vitals.lastIndex), "the log's last entry")
			.configuration;
	}

	/** The state holds them. */
	#applied(entries: readonly Entry[]): void {
		const { disk, snapshotEntries } = this.#options;
		const last = entries.at(-1);
		if (last === undefined) return;
		let { configuration } = disk.base;
		for (const { kind, index, data } of entries)
			if (kind === "configuration")
				configuration = { index, configuration: JSON.parse(new TextDecoder().decode(data)) };
		disk.base = { index: last.index, term: last.term, configuration };
		this.#consensus.applied(last.index);
		this.#serveReads();
		const due = last.index - (disk.snapshot?.meta.index ?? 0) >= snapshotEntries;
		if (!due || this.#compacting || !this.#started) return;
		this.#compacting = true;
		queueMicrotask(() => this.#guarded(() => this.#compact()));
	}

	#serveReads(): void {
		if (this.#unapplied.length > 0) this.#answerApplied();
		if (this.#confirmed.length === 0) return;
		const { machine } = this;
		const ready = this.#confirmed.filter(({ index }) => index <= machine.index);
		this.#confirmed = this.#confirmed.filter(({ index }) => index > machine.index);
		for (const { index, done } of ready) done(machine, index);
	}

	#answerApplied(): void {
		const { machine } = this;
		const done = this.#unapplied.filter(
			({ request, dueIndex }) => machine.index >= dueIndex || machine.resultOf(request.operation) !== "missing",
		);
		this.#unapplied = this.#unapplied.filter((one) => !done.includes(one));
		for (const one of done) answerWith(machine, one.request.operation, "committed", one.done);
	}

	#compact(): void {
		this.#compacting = false;
		const { disk, keptEntries } = this.#options;
		const meta = this.#consensus.snapshotMeta(disk.machine.index);
		if (meta === null || meta.index <= (disk.snapshot?.meta.index ?? 0)) return;
		disk.takeSnapshot(meta);
		this.#consensus.compact(Math.max(0, meta.index - keptEntries)).catch(() => {});
	}

	#snapshots(files: SimulatedFiles): SimulatedSnapshots {
		const { id, host, disk, alive, mutant, chunkBytes } = this.#options;
		return new SimulatedSnapshots({
			...{ id, host, disk, files, alive, mutant },
			keptEveryBytes: chunkBytes,
			meta: () => this.#consensus.snapshotMeta(disk.machine.index),
			term: () => this.#consensus.vitals.term,
			installed: (before) => {
				this.#store?.replaced();
				this.#applying.replaced();
				this.#guarded(() => host.installed(disk.machine, before));
				this.#guarded(() => this.#serveReads());
			},
		});
	}
}

/** Somewhere down the causes is a broken promise of our own code. */
function isBug(error: unknown): boolean {
	if (error instanceof AssertionError || error instanceof TypeError || error instanceof RangeError) return true;
	return error instanceof Error && error.cause !== undefined && isBug(error.cause);
}

function stackOf(error: unknown): string {
	if (!(error instanceof Error)) return String(error);
	return error.cause === undefined ? (error.stack ?? error.message) : `${error.message}: ${stackOf(error.cause)}`;
}
