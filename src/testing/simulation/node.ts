/** A node of the simulated cluster: a disk that stays, and processes that come and go on it. */
import { isAppError } from "../../lib/errors.ts";
import type { Message } from "../../raft/messages.ts";
import type { Configuration, Entry, NodeId } from "../../raft/types.ts";
import type { Forward } from "../../store/raft/transport.ts";
import type { NodeRecord } from "./checker.ts";
import type { Cluster } from "./cluster.ts";
import { CoreProcess } from "./core-process.ts";
import { DriverProcess } from "./driver-process.ts";
import type { Machine } from "./machine.ts";
import { ModelDisk } from "./model-disk.ts";
import type { NodeDisk } from "./node-disk.ts";
import type { ProcessHost, SimulatedProcess, StreamMessage } from "./process.ts";
import { type OldDisk, SimulatedDisk } from "./simulated-disk.ts";
import { unsafe, Violation } from "./violation.ts";

/** How long most reads after a start are slow. */
const coldMs = 2000;
/** So that one that begins before all faults end is not waited for until long after. */
const longestReadMs = 2000;
const epochMs = Date.UTC(2026, 0, 1);

export class SimulatedNode implements ProcessHost {
	readonly id: NodeId;
	readonly slot: number;
	readonly #cluster: Cluster;
	readonly record: NodeRecord;
	readonly disk: NodeDisk;
	process: SimulatedProcess | null = null;
	#starting = false;
	/** Counts processes: what an earlier one wanted later does not happen. */
	life = 0;
	/** Its vote is lost: it never starts again, and somebody has to remove it. */
	isLost = false;
	/** How long its ticks are. */
	tickMs: number;
	pausedUntil = 0;
	/** How much its wall clock is ahead of the others'. */
	wallOffsetMs = 0;
	#inbox: (() => void)[] = [];
	slowUntil = 0;
	fullUntil = 0;
	hangsUntil = 0;
	/** Infinity: for good, and then somebody has to remove it. */
	unreadableUntil = 0;
	/** Its disk of an earlier day. */
	oldDisk: OldDisk | null = null;
	/** It was put in, and the node has not said yet that it knows. */
	hasOldDisk = false;
	/** It has said so, and may not have noted it durably. */
	#knowsOldDisk = false;
	#ticks = 0;
	#startedMs = 0;
	#wasRecovering = false;
	#newest: Configuration;

	constructor(cluster: Cluster, id: NodeId, slot: number, founder: boolean) {
		this.#cluster = cluster;
		this.id = id;
		this.slot = slot;
		this.record = cluster.checker.record(id);
		const configuration = founder ? cluster.initial : { voters: [], witnesses: [], learners: [], removed: [] };
		this.#newest = configuration;
		const at = { index: 0, configuration };
		const { stack, state } = cluster.plan;
		this.disk = stack === "driver" ? new SimulatedDisk(this.record, at, state) : new ModelDisk(this.record, at);
		this.tickMs = cluster.drawTickMs();
	}

	get isDown(): boolean {
		return this.process === null && !this.#starting;
	}

	start(): void {
		this.life += 1;
		this.pausedUntil = 0;
		this.#inbox = [];
		this.#startedMs = this.#cluster.queue.nowMs;
		this.#forgetOldDisk();
		this.#cluster.event(this, "starts");
		if (this.disk instanceof SimulatedDisk) this.#startDriver(this.disk);
		else if (this.disk instanceof ModelDisk) this.#startCore(this.disk);
	}

	/** What it knew of an old disk and had not noted when it ended; the right one may be back. */
	#forgetOldDisk(): void {
		if (this.#knowsOldDisk && !this.disk.hardState.recovering) {
			this.#wasRecovering = false;
			this.hasOldDisk = this.#cluster.quarantine.has(this.id);
		}
		this.#knowsOldDisk = false;
	}

	#startCore(disk: ModelDisk): void {
		const { plan, random, mutant } = this.#cluster;
		const { limits, snapshotEntries, keptEntries, chunkBytes } = plan;
		this.guard(() => {
			const process = new CoreProcess({
				id: this.id,
				host: this,
				disk,
				random: random.fork(),
				limits,
				mutant,
				snapshotEntries,
				keptEntries,
				chunkBytes,
				tickMs: () => this.tickMs,
			});
			this.process = process;
			this.#wasRecovering ||= process.vitals.recovering;
			process.begin();
		});
	}

	#startDriver(disk: SimulatedDisk): void {
		const { plan, random, mutant } = this.#cluster;
		const { limits, tickJitterMs, snapshotEntries, keptEntries, chunkBytes, segmentBytes, forwards, applyLagMs } = plan;
		const { life } = this;
		const hadRecovered = !disk.hardState.recovering;
		this.#starting = true;
		this.#cluster.runsProcess();
		DriverProcess.open({
			id: this.id,
			host: this,
			disk,
			random: random.fork(),
			limits,
			tickJitterMs,
			mutant,
			snapshotEntries,
			keptEntries,
			chunkBytes,
			segmentBytes,
			forwards,
			applyLagMs,
			alive: () => this.life === life,
			clockRate: () => this.tickMs / plan.tickMs,
		}).then(
			(process) => {
				if (this.life !== life) return;
				this.#starting = false;
				if (disk.voteDamaged) this.found(new Violation("safety", `${this.id} starts, and its vote is damaged`));
				this.process = process;
				const status = process.status();
				this.#wasRecovering ||= status.recovering;
				if (status.lastIndex < disk.lastIndex && !status.recovering)
					this.found(
						new Violation(
							"safety",
							`recovery: the log of ${this.id} ended at ${disk.lastIndex} and ends at ${status.lastIndex}, and it does not know`,
						),
					);
				if (status.recovering && hadRecovered && !disk.damaged)
					this.found(new Violation("safety", `recovery: ${this.id} takes its log for damaged, and nothing was`));
				disk.opened(status.durableIndex);
				this.#cluster.event(this, `is up, log to ${status.lastIndex}${status.recovering ? ", recovering" : ""}`);
			},
			(error) => {
				if (this.life === life) this.#notStarted(error);
			},
		);
	}

	/** A disk that fails while it starts is no finding; a start that is refused although nothing was damaged is one. */
	#notStarted(error: unknown): void {
		const { damaged, voteDamaged } = this.disk;
		const isUnreadable = this.unreadableUntil === Number.POSITIVE_INFINITY && isAppError(error, "storage");
		if (isUnreadable || (voteDamaged && isAppError(error, "corrupt"))) {
			this.isLost = true;
			this.crash(`does not start, for good: ${(error as Error).message}`);
		} else if (DriverProcess.isExpected(error, damaged)) this.ended(`does not start: ${(error as Error).message}`);
		else
			this.found(
				new Violation("safety", `${this.id} does not start: ${(error as Error).message} ${(error as Error).stack}`),
			);
	}

	tick(): void {
		this.guard(() => this.process?.tick());
	}

	ticked(): void {
		if (++this.#ticks % 4 === 0) this.#cluster.watch(this);
	}

	/** Power is lost; or the process is killed, and then what it has written stays. */
	crash(why: string): void {
		if (this.isDown) return;
		this.#cluster.event(this, why);
		const { random } = this.#cluster;
		if (this.process !== null) this.#newest = this.process.configuration().configuration;
		this.process = null;
		this.#starting = false;
		this.life += 1;
		this.#inbox = [];
		const power = random.chance(0.75);
		this.disk.crash(random, power);
		if (!power) this.#cluster.linksEnd(this);
		if (random.chance(0.3)) this.disk.forgetState();
		if (this.#cluster.plan.disk.oldDisk !== null && random.chance(this.oldDisk === null ? 0.8 : 0.3)) this.#copyDisk();
	}

	/** One that was whole, and of a member among others: alone it would decide by itself. */
	#copyDisk(): void {
		const { disk } = this;
		if (!(disk instanceof SimulatedDisk) || !this.isIntact || this.#cluster.quarantine.has(this.id)) return;
		if (this.#newest.voters.length > 1) this.oldDisk = disk.copy();
	}

	/** What arrives while it is stopped waits. */
	arrive(run: () => void): void {
		if (this.process === null) return;
		if (this.pausedUntil > this.#cluster.queue.nowMs) {
			if (this.#inbox.length < 2000) this.#inbox.push(run);
		} else this.guard(run);
	}

	pause(ms: number): void {
		const until = this.#cluster.queue.nowMs + ms;
		if (this.process === null || this.pausedUntil >= until) return;
		this.pausedUntil = until;
		this.#cluster.event(this, `stops for ${ms} ms`);
		const { life } = this;
		this.#cluster.queue.after(ms, () => {
			if (this.life === life && this.pausedUntil === until) this.wake();
		});
	}

	wake(): void {
		if (this.pausedUntil === 0) return;
		this.pausedUntil = 0;
		const { life } = this;
		for (const run of this.#inbox.splice(0)) if (this.life === life) this.guard(run);
	}

	/** Its log is whole, and known to be. */
	get isIntact(): boolean {
		if (this.disk.voteDamaged || this.unreadableUntil === Number.POSITIVE_INFINITY) return false;
		if (this.#cluster.quarantine.has(this.id)) return false;
		if (this.process !== null) return !this.process.vitals.recovering;
		return !this.disk.damaged && !this.disk.hardState.recovering;
	}

	/** The last one in its log, or that was when it was last up. */
	get newestConfiguration(): Configuration {
		return this.process?.configuration().configuration ?? this.#newest;
	}

	/** Whatever a process throws is a finding. */
	guard(run: () => void): void {
		this.#cluster.runsProcess();
		try {
			run();
		} catch (error) {
			this.found(error);
		}
	}

	found(error: unknown): void {
		this.#cluster.found(error);
	}

	send(message: Message): void {
		this.#cluster.send(this, message);
	}

	sendStream(to: NodeId, message: StreamMessage): void {
		this.#cluster.sendStream(this, to, message);
	}

	later(delayMs: number, run: () => void): void {
		const { life } = this;
		const { queue } = this.#cluster;
		queue.after(delayMs, () => {
			if (this.life !== life) return;
			const wait = this.pausedUntil - queue.nowMs;
			if (wait > 0) this.later(wait, run);
			else this.guard(run);
		});
	}

	readonly forward: Forward = (leader, data, urgency) => this.#cluster.forward(this, leader, data, urgency);

	/** The same command everywhere and always would hide what depends on when it was made. */
	wallMs(): number {
		return epochMs + this.nowMs() + this.wallOffsetMs;
	}

	nowMs(): number {
		return this.#cluster.queue.nowMs;
	}

	step(): number {
		return this.#cluster.queue.steps;
	}

	writeMs(): number {
		return this.#hang() + this.#diskMs();
	}

	#diskMs(): number {
		const { plan, random, queue } = this.#cluster;
		const ms = plan.disk.writeMs + (plan.disk.jitterMs > 0 ? random.below(plan.disk.jitterMs) : 0);
		return queue.nowMs < this.slowUntil ? ms * 20 : ms;
	}

	#hang(): number {
		return Math.max(0, this.hangsUntil - this.#cluster.queue.nowMs);
	}

	writeFault(of: "file" | "folder"): "crash" | "error" | null {
		const { plan, random, healed } = this.#cluster;
		if (healed) return null;
		// Changes of the folder are few, and an end in the midst of them is what a start has to sort out.
		const { crashInWrite } = plan.disk;
		if (random.chance(of === "folder" ? 30 * crashInWrite : crashInWrite)) return "crash";
		return random.chance(plan.disk.writeError) ? "error" : null;
	}

	/** Little is in memory after a start. */
	readMs(): number {
		const { random, queue, healed } = this.#cluster;
		const isCold = !healed && queue.nowMs - this.#startedMs < coldMs;
		if (!random.chance(isCold || queue.nowMs < this.slowUntil ? 0.8 : 0.2)) return this.#hang();
		const ms = this.#diskMs() * (isCold ? random.between(1, random.chance(0.1) ? 60 : 10) : 1);
		return this.#hang() + Math.min(ms, longestReadMs);
	}

	readFault(): boolean {
		const { plan, random, healed, queue } = this.#cluster;
		if (queue.nowMs < this.unreadableUntil) return true;
		return !healed && random.chance(plan.disk.readError);
	}

	resumed(bytes: number): void {
		this.#cluster.resumed += 1;
		this.#cluster.event(this, `goes on with a snapshot after ${bytes} bytes`);
	}

	isFull(): boolean {
		return this.#cluster.queue.nowMs < this.fullUntil;
	}

	ended(why: string): void {
		this.crash(why);
		this.#cluster.restartLater(this);
	}

	/** It recovers because a leader has said so, after the last damage that it knows of (raft/recovery.ts). */
	watchRecovery(recovering: boolean): void {
		const { recoveries } = this.disk.hardState;
		if (this.#wasRecovering && !recovering && !this.#cluster.checker.exchanges.mayRecover(this.id, recoveries))
			unsafe(`recovery: ${this.id} has recovered, and no leader has confirmed anything`);
		if (recovering && !this.#wasRecovering && !this.hasOldDisk)
			unsafe(`recovery: ${this.id} takes its disk for an old one, and it is not`);
		if (recovering && this.hasOldDisk) {
			this.#knowsOldDisk = true;
			this.hasOldDisk = false;
		}
		this.#wasRecovering = recovering;
	}

	/** Only of a leader; what it tells others is seen by them as soon as anything was committed since. */
	readConfirmed(since: number): void {
		if (this.process === null) return;
		const { role, term, configuration } = this.process.vitals;
		if (role === "leader") this.#cluster.checker.exchanges.readAnswered(this.id, term, since, configuration);
	}

	applied(machine: Machine, entry: Entry, isLast: boolean): void {
		const { checker, trace, workload } = this.#cluster;
		const { index, term, kind, data } = entry;
		const hash = checker.entryHash(index, term, data);
		const effect = machine.apply(entry, hash);
		const first = index > checker.maxApplied;
		checker.apply(this.id, index, term, kind, data, hash, isLast ? machine.hash : null);
		if (first && effect !== null) workload.tookEffect(effect, index);
		if (first && this.process?.leads === true) checker.appliedByLeader(index, term, this.process);
		trace.add(machine.hash);
	}

	snapshotOffered(name: string, data: Uint8Array): void {
		this.#cluster.checker.offered(name, data);
	}

	snapshotWritten(name: string, offset: number, data: Uint8Array): void {
		this.guard(() => this.#cluster.checker.writtenOf(this.id, name, offset, data));
	}

	installing(term: number, ownTerm: number): void {
		if (term < ownTerm) unsafe(`snapshots: ${this.id}, in term ${ownTerm}, installs one of a leader of term ${term}`);
	}

	installed(machine: Machine, before: number): void {
		this.#cluster.event(this, `installs a snapshot up to ${machine.index}`);
		if (machine.index < before) unsafe(`snapshots: ${this.id} goes back from ${before} to ${machine.index}`);
		this.#cluster.checker.installed(this.id, machine.index, machine.hash);
	}
}
