/**
 * For tests: nodes of RaftConsensus in one process, on files that a crash tears, with links that can be cut and one clock
 * that the test moves. Checks as it goes that all apply the same, in the same order.
 */
import { assert, present } from "../../lib/assert.ts";
import type { Clock } from "../../lib/clock.ts";
import type { AppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import type { Message } from "../../raft/messages.ts";
import type { Configuration, ConfigurationAt, Entry, Limits, NodeId } from "../../raft/types.ts";
import { openRaft } from "../../store/raft/open-raft.ts";
import type { RaftConsensus } from "../../store/raft/raft-consensus.ts";
import type { SnapshotMessage, Transport } from "../../store/raft/transport.ts";
import { ManualClock } from "../manual-clock.ts";
import { MemoryFiles } from "../memory-files.ts";
import { TestState } from "./raft-state.ts";

export const tickMs = 50;

/** All microtasks that wait, and those that they bring about. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Numbers in [0, 1) that a seed gives again (mulberry32). */
export function randomNumbers(seed: number): () => number {
	let state = seed;
	return () => {
		state = (state + 0x6d2b79f5) | 0;
		let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
	};
}

export type TestClusterOptions = {
	voters: NodeId[];
	seed?: number;
	limits?: Partial<Limits>;
	segmentBytes?: number;
	reserveBytes?: number;
	forwards?: boolean;
	reportsApplied?: boolean;
	/** Small, so that a snapshot takes several. */
	snapshotChunkBytes?: number;
};

export class TestNode {
	readonly id: NodeId;
	files = new MemoryFiles();
	state: TestState | null = null;
	consensus: RaftConsensus | null = null;
	fatal: AppError[] = [];
	/** Counts lives: what an earlier one still does has no effect. */
	life = 0;

	constructor(id: NodeId) {
		this.id = id;
	}

	get up(): RaftConsensus {
		return present(this.consensus, `the running node ${this.id}`);
	}

	get values(): string[] {
		return this.state?.values ?? [];
	}
}

export class TestCluster {
	readonly clock = new ManualClock();
	readonly random: () => number;
	readonly nodes = new Map<NodeId, TestNode>();
	/** Acknowledged to a client. */
	readonly acknowledged: string[] = [];
	/** "a>b": messages from a to b are lost. */
	readonly cut = new Set<string>();
	sent = 0;
	/** What stops a message. */
	filter: (from: NodeId, message: Message | SnapshotMessage) => boolean = () => true;
	readonly #options: TestClusterOptions;
	#queue: (() => void)[] = [];
	readonly #committed = new Map<number, string>();

	constructor(options: TestClusterOptions) {
		this.#options = options;
		this.random = randomNumbers(options.seed ?? 1);
		for (const id of options.voters) this.nodes.set(id, new TestNode(id));
	}

	static async start(options: TestClusterOptions): Promise<TestCluster> {
		const cluster = new TestCluster(options);
		for (const id of options.voters) await cluster.open(id);
		return cluster;
	}

	get founders(): Configuration {
		return { voters: this.#options.voters, witnesses: [], learners: [], removed: [] };
	}

	node(id: NodeId): TestNode {
		return present(this.nodes.get(id), `the node ${id}`);
	}

	/** A node that joins knows nothing. */
	async join(id: NodeId): Promise<TestNode> {
		this.nodes.set(id, new TestNode(id));
		await this.open(id);
		return this.node(id);
	}

	async open(id: NodeId): Promise<RaftConsensus> {
		const node = this.node(id);
		const {
			limits,
			segmentBytes = 2_000,
			reserveBytes = 0,
			forwards = false,
			snapshotChunkBytes = 100,
		} = this.#options;
		node.life += 1;
		const life = node.life;
		node.fatal = [];
		const alive = (): boolean => node.life === life && !node.files.crashed;
		const founder = this.#options.voters.includes(id);
		const nobody: Configuration = { voters: [], witnesses: [], learners: [], removed: [] };
		const initial: ConfigurationAt = { index: 0, configuration: founder ? this.founders : nobody };
		const state = await TestState.open(node.files, initial);
		node.state = state;
		node.consensus = await openRaft({
			clusterId: "cluster",
			nodeId: id,
			clock: this.#clockOf(alive),
			logger: silentLogger,
			random: this.random,
			transport: this.#transportOf(id, alive),
			snapshots: state,
			onCommitted: (entries) => {
				if (alive()) this.#check(id, entries);
				state.apply(entries);
			},
			onFatal: (error) => {
				if (node.life === life) node.fatal.push(error);
			},
			...(forwards
				? {
						forward: async (leader: NodeId, data: Uint8Array, urgency: "growing" | "essential") => {
							await this.node(leader).up.proposeHere(data, urgency);
						},
					}
				: {}),
			reportsApplied: this.#options.reportsApplied ?? false,
			tickMs,
			proposalTicks: 60,
			...(limits === undefined ? {} : { limits }),
			snapshotChunkBytes,
			files: node.files,
			base: state.meta,
			reserveBytes,
			segmentBytes,
		});
		return node.consensus;
	}

	/** Its process is gone; what it had not synced may be lost. */
	crash(id: NodeId, kind: "power-cut" | "process-end" = "power-cut"): void {
		const node = this.node(id);
		node.life += 1;
		node.files = node.files.afterCrash(this.random, kind);
		node.consensus = null;
		node.state = null;
	}

	/** Time passes, messages arrive. */
	async run(ms: number, until: () => boolean = () => false): Promise<boolean> {
		for (let passed = 0; passed <= ms; passed += tickMs / 2) {
			await this.drain();
			if (until()) return true;
			this.clock.advance(tickMs / 2);
		}
		await this.drain();
		return until();
	}

	async drain(): Promise<void> {
		await turn();
		while (this.#queue.length > 0) {
			for (const deliver of this.#queue.splice(0)) deliver();
			await turn();
		}
	}

	leader(): TestNode | null {
		let best: TestNode | null = null;
		for (const node of this.nodes.values()) {
			if (node.consensus === null || node.files.crashed) continue;
			const { role, term } = node.consensus.details();
			if (role === "leader" && term > (best?.consensus?.details().term ?? 0)) best = node;
		}
		return best;
	}

	/** A leader that has committed all it has, and whom enough others know. */
	elected(among: (node: TestNode) => boolean = () => true): TestNode | null {
		const leader = this.leader();
		if (leader === null || !among(leader)) return null;
		const { commitIndex, lastIndex, quorum } = leader.up.details();
		return quorum && commitIndex === lastIndex ? leader : null;
	}

	async elect(among: (node: TestNode) => boolean = () => true): Promise<TestNode> {
		assert(await this.run(20_000, () => this.elected(among) !== null), "somebody leads");
		return present(this.elected(among), "a leader");
	}

	/** Acknowledged or not: `acknowledged` says. */
	propose(id: NodeId, value: string): Promise<AppError | null> {
		const { consensus } = this.node(id);
		if (consensus === null) return Promise.resolve(null);
		return consensus.propose(Buffer.from(value), "essential").then(
			() => {
				this.acknowledged.push(value);
				return null;
			},
			(error: AppError) => error,
		);
	}

	/** Numbered values, one after the other, all of them acknowledged. */
	async fill(id: NodeId, name: string, count: number): Promise<void> {
		for (let number = 0; number < count; number++) {
			const answer = this.propose(id, `${name}${number}`);
			await this.drain();
			const error = await answer;
			if (error !== null) throw error;
		}
	}

	others(id: NodeId): NodeId[] {
		return [...this.nodes.keys()].filter((other) => other !== id);
	}

	async close(): Promise<void> {
		for (const node of this.nodes.values()) await node.consensus?.close().catch(() => {});
	}

	/** Cut off from all the others. */
	isolate(id: NodeId): void {
		for (const other of this.nodes.keys()) if (other !== id) this.cut.add(`${id}>${other}`).add(`${other}>${id}`);
	}

	heal(): void {
		this.cut.clear();
	}

	/** Until all that are up have applied the same; then nothing acknowledged is missing anywhere. */
	async converge(): Promise<string[]> {
		const same = (): boolean => {
			const up = [...this.nodes.values()].filter(({ consensus }) => consensus !== null);
			const ends = up.map((node) => node.up.details());
			return ends.every(
				({ appliedIndex, lastIndex, recovering, removed }) =>
					removed || (appliedIndex === ends[0]?.lastIndex && appliedIndex === lastIndex && !recovering),
			);
		};
		await this.elect();
		const done = await this.run(20_000, same);
		assert(
			done,
			`all nodes catch up: ${JSON.stringify([...this.nodes.values()].map((node) => node.consensus?.details()))}`,
		);
		const values = [...this.nodes.values()].filter(({ consensus }) => consensus !== null).map((node) => node.values);
		const first = values[0] ?? [];
		for (const other of values) assert(JSON.stringify(other) === JSON.stringify(first), "all hold the same");
		for (const value of this.acknowledged) assert(first.includes(value), `${value} was acknowledged and is there`);
		assert(new Set(first).size === first.length, "nothing was applied twice");
		return first;
	}

	#check(id: NodeId, entries: readonly Entry[]): void {
		for (const { index, term, kind, data } of entries) {
			const text = `${term} ${kind} ${Buffer.from(data).toString()}`;
			const known = this.#committed.get(index);
			assert(known === undefined || known === text, `${id} applies ${text} at ${index}, others ${known}`);
			this.#committed.set(index, text);
		}
	}

	#clockOf(alive: () => boolean): Clock {
		return {
			nowMs: () => this.clock.nowMs(),
			monotonicMs: () => this.clock.monotonicMs(),
			schedule: (delayMs, callback) => this.clock.schedule(delayMs, () => alive() && callback()),
		};
	}

	#transportOf(from: NodeId, alive: () => boolean): Transport {
		const carry = (to: NodeId, message: Message | SnapshotMessage, deliver: (to: RaftConsensus) => void): void => {
			if (!alive() || this.cut.has(`${from}>${to}`) || !this.filter(from, message)) return;
			this.sent += 1;
			this.#queue.push(() => {
				const node = this.nodes.get(to);
				if (node?.consensus != null && !node.files.crashed && !this.cut.has(`${from}>${to}`)) deliver(node.consensus);
			});
		};
		return {
			send: (message) => carry(message.to, message, (to) => to.receive(message)),
			sendSnapshot: (to, message) => carry(to, message, (node) => node.receiveSnapshot(from, message)),
		};
	}
}
