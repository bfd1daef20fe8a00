/** A node of the simulated cluster: a disk that stays, and processes that come and go on it. */
import type { Message } from "../../raft/messages.ts";
import type { Configuration, ConfigurationAt, EntryKind, NodeId } from "../../raft/types.ts";
import type { NodeRecord } from "./checker.ts";
import type { Cluster } from "./cluster.ts";
import { CoreProcess } from "./core-process.ts";
import { ModelDisk } from "./model-disk.ts";
import type { ProcessHost, SimulatedProcess, StreamMessage } from "./process.ts";
import type { Random } from "./random.ts";
import type { RegisterMachine } from "./register-machine.ts";
import { unsafe, Violation } from "./violation.ts";

export class SimulatedNode implements ProcessHost {
	readonly id: NodeId;
	readonly slot: number;
	readonly #cluster: Cluster;
	readonly record: NodeRecord;
	readonly disk: ModelDisk;
	process: SimulatedProcess | null = null;
	/** Counts processes: what an earlier one wanted later does not happen. */
	life = 0;
	/** How long its ticks are. */
	tickMs: number;
	pausedUntil = 0;
	#inbox: (() => void)[] = [];
	slowUntil = 0;
	fullUntil = 0;
	#ticks = 0;

	constructor(cluster: Cluster, id: NodeId, slot: number, founder: boolean) {
		this.#cluster = cluster;
		this.id = id;
		this.slot = slot;
		this.record = cluster.checker.record(id);
		const configuration = founder ? cluster.initial : { voters: [], witnesses: [], learners: [], removed: [] };
		this.disk = new ModelDisk(this.record, { index: 0, configuration });
		this.tickMs = cluster.drawTickMs();
	}

	start(): void {
		const { plan, random, mutant } = this.#cluster;
		this.life += 1;
		this.pausedUntil = 0;
		this.#inbox = [];
		this.#cluster.event(this, "starts");
		this.guard(() => {
			this.process = new CoreProcess({
				id: this.id,
				host: this,
				disk: this.disk,
				random: random.fork(),
				limits: plan.limits,
				mutant,
				snapshotEntries: plan.snapshotEntries,
				keptEntries: plan.keptEntries,
				chunkBytes: plan.chunkBytes,
			});
			this.process.flush();
		});
		this.#scheduleTick();
	}

	#scheduleTick(): void {
		this.later(this.tickMs, () => {
			this.tick();
			this.#scheduleTick();
		});
	}

	tick(): void {
		this.guard(() => this.process?.tick());
		if (++this.#ticks % 4 === 0) this.#cluster.watch(this);
	}

	/** Power is lost, or the process is killed: `power` says whether what was not durable is lost. */
	crash(why: string): void {
		if (this.process === null) return;
		this.#cluster.event(this, why);
		const { random } = this.#cluster;
		const { persisting } = this.process as CoreProcess;
		if (persisting !== null) this.disk.tear(persisting, random);
		if (random.chance(0.3)) this.disk.forgetState();
		this.process = null;
		this.life += 1;
		this.#inbox = [];
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
			if (this.life !== life || this.pausedUntil !== until) return;
			this.pausedUntil = 0;
			for (const run of this.#inbox.splice(0)) if (this.life === life) this.guard(run);
		});
	}

	wake(): void {
		if (this.pausedUntil === 0) return;
		this.pausedUntil = 0;
		const { life } = this;
		for (const run of this.#inbox.splice(0)) if (this.life === life) this.guard(run);
	}

	/** While it is down: an entry somewhere in its log cannot be read any more. */
	damage(random: Random): void {
		const { start, lastIndex } = this.disk;
		if (lastIndex > start.index) this.disk.damage(start.index + random.below(lastIndex - start.index));
	}

	/** Its log is whole, and known to be. */
	get isIntact(): boolean {
		if (this.process !== null) return !this.process.status().recovering;
		return !this.disk.damaged && !this.disk.hardState.recovering;
	}

	/** The last one in its log. */
	get newestConfiguration(): Configuration {
		return (this.process?.configuration() ?? (this.disk.forRaft().configurations.at(-1) as ConfigurationAt))
			.configuration;
	}

	/** Whatever a process throws is a finding. */
	guard(run: () => void): void {
		try {
			run();
		} catch (error) {
			if (error instanceof Violation) throw error;
			throw new Violation("safety", `${this.id}: ${error instanceof Error ? (error.stack ?? error.message) : error}`);
		}
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

	writeMs(): number {
		const { plan, random, queue } = this.#cluster;
		const ms = plan.disk.writeMs + (plan.disk.jitterMs > 0 ? random.below(plan.disk.jitterMs) : 0);
		return queue.nowMs < this.slowUntil ? ms * 20 : ms;
	}

	writeFault(): "crash" | "error" | "full" | null {
		const { plan, random, queue } = this.#cluster;
		if (random.chance(plan.disk.crashInWrite)) return "crash";
		if (random.chance(plan.disk.writeError)) return "error";
		return queue.nowMs < this.fullUntil ? "full" : null;
	}

	ended(why: string): void {
		this.crash(why);
		this.#cluster.restartLater(this);
	}

	applied(machine: RegisterMachine, index: number, term: number, kind: EntryKind, data: Uint8Array): void {
		const { checker, trace, workload } = this.#cluster;
		const hash = checker.entryHash(index, term, data);
		const client = machine.apply(index, hash, kind === "command" ? data : null);
		const first = index > checker.maxApplied;
		checker.apply(this.id, index, term, kind, data, hash, machine.hash);
		if (first && client !== 0) workload.tookEffect(client, machine.outcomeOf(client)?.sequence ?? 0, index);
		trace.add(machine.hash);
	}

	step(): number {
		return this.#cluster.queue.steps;
	}

	/** Only of a leader; what it tells others is seen by them as soon as anything was committed since. */
	readConfirmed(since: number): void {
		if (this.process === null) return;
		const { role, term, configuration } = this.process.status();
		if (role === "leader") this.#cluster.checker.exchanges.readAnswered(this.id, term, since, configuration);
	}

	installing(term: number, ownTerm: number): void {
		if (term < ownTerm) unsafe(`snapshots: ${this.id}, in term ${ownTerm}, installs one of a leader of term ${term}`);
	}

	installed(machine: RegisterMachine, before: number): void {
		if (machine.index < before) unsafe(`snapshots: ${this.id} goes back from ${before} to ${machine.index}`);
		this.#cluster.event(this, `installs a snapshot up to ${machine.index}`);
		this.#cluster.checker.installed(this.id, machine.index, machine.hash);
	}
}
