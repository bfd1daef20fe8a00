/**
 * For tests: a cluster under random faults, the same for the same seed. Everything that a test cluster can do is done in
 * random order: messages lost, repeated and out of order, crashes that lose or tear what was not durable, full disks,
 * damaged logs, members coming and going, transfers, snapshots. Throws when something does not hold.
 */
import { assert } from "../lib/assert.ts";
import type { Message } from "./messages.ts";
import type { MutantName } from "./mutants.ts";
import { majority } from "./quorum.ts";
import { bytesOf, TestCluster } from "./test-cluster.ts";
import type { Left, TestNode } from "./test-node.ts";
import type { Limits, NodeId } from "./types.ts";

/** Numbers in [0, 1) that a seed gives again (mulberry32). */
export function randomNumbers(seed: number): () => number {
	let state = seed | 0;
	return () => {
		state = (state + 0x6d2b79f5) | 0;
		let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
	};
}

const limits: Partial<Limits> = {
	electionTicks: 6,
	electionJitterTicks: 6,
	witnessDelayTicks: 4,
	heartbeatTicks: 2,
	maxAppendBytes: 150,
	maxInflightMessages: 4,
	maxTailBytes: 400,
	maxUncommittedBytes: 4000,
	maxPersistBytes: 200,
	maxApplyEntries: 8,
	promoteLagEntries: 4,
};

export type RandomRun = { seed: number; mutant?: MutantName };
export type RandomResult = { committed: number; terms: number; changes: number; recoveries: number };

export class RandomCluster {
	readonly cluster: TestCluster;
	readonly #random: () => number;
	readonly #weights: readonly [number, () => void][];
	readonly #total: number;
	#proposed = 0;
	#born = 0;
	#cut: Set<NodeId> = new Set();
	#oneWay = false;
	readonly #skew: number;
	readonly #archive: Message[] = [];
	#archived = 0;
	#changes = 0;

	constructor({ seed, mutant }: RandomRun) {
		const random = randomNumbers(seed);
		this.#random = random;
		const size = random() < 0.5 ? 3 : 1 + Math.floor(random() * 5);
		const voters = ["a", "b", "c", "d", "e"].slice(0, size);
		const witnesses = size >= 3 && random() < 0.4 ? [voters[0] as NodeId] : [];
		this.#born = size;
		this.#skew = random() < 0.5 ? 1 : 1 + random() * 2;
		this.cluster = new TestCluster({ voters, witnesses, random, limits, ...(mutant ? { mutant } : {}) });
		// Each seed has its own mixture: some faults not at all, some all the time.
		const some = (most: number): number => (random() < 0.35 ? 0 : random() * most);
		this.#weights = [
			[15 + random() * 30, () => this.#deliverOldest()],
			[some(15), () => this.#deliver(this.#below(this.cluster.messages.length))],
			[some(8), () => this.#lose()],
			[some(6), () => this.#repeat()],
			[some(2), () => this.#replay()],
			[some(1), () => this.#forge()],
			[10 + random() * 25, () => this.cluster.tick(this.#tickingNode())],
			[some(0.6), () => this.#skipTicks(this.#node())],
			[4 + random() * 18, () => this.#persist()],
			[some(1), () => this.#node().refusePersist()],
			[3 + some(4), () => this.#propose()],
			[some(2), () => this.#read()],
			[some(1.5), () => this.#crash(this.#node())],
			[some(0.4), () => this.#crash(this.cluster.leader() ?? this.#node())],
			[some(0.3), () => this.#contest()],
			[1.5, () => this.#restart()],
			[some(0.4), () => this.#transfer()],
			[some(1.5), () => this.#change()],
			[some(0.7), () => this.#compact()],
			[0.3 + random() * 3, () => this.#snapshot()],
			[some(1), () => this.#partition()],
			[0.4, () => this.#cut.clear()],
			[some(0.5), () => this.#damage()],
			[some(0.4), () => this.#node().raft?.peerGone(this.#node().id)],
		];
		this.#total = this.#weights.reduce((sum, [weight]) => sum + weight, 0);
	}

	run(steps: number): void {
		for (let step = 0; step < steps; step++) {
			let at = this.#random() * this.#total;
			for (const [weight, action] of this.#weights) {
				at -= weight;
				if (at < 0) {
					action();
					break;
				}
			}
			if (this.cluster.messages.length > 200) this.cluster.messages.splice(0, 50);
		}
	}

	get result(): RandomResult {
		const disks = [...this.cluster.nodes.values()].map((node) => node.disk.hardState);
		return {
			committed: this.cluster.committed.length - 1,
			terms: Math.max(...disks.map((state) => state.term)),
			changes: this.#changes,
			recoveries: disks.reduce((sum, state) => sum + state.recoveries, 0),
		};
	}

	/** Without any fault, somebody leads and commits. Not asked of a cluster without an intact majority. */
	heal(): void {
		const { cluster } = this;
		this.#cut.clear();
		for (const node of cluster.nodes.values()) if (node.raft === null) node.start();
		const name = `healed-${this.#proposed}`;
		for (let round = 0; round < 400; round++) {
			for (const node of cluster.nodes.values()) cluster.tick(node);
			this.#quiet();
			if (round > 20) cluster.leader()?.raft?.propose(bytesOf(name));
			if (cluster.committed.some((text) => text?.endsWith(name))) {
				this.#afterwards(round);
				return;
			}
		}
		if (!this.#hasIntactMajority()) return;
		const state = [...cluster.nodes.values()].map((node) => JSON.stringify(node.raft?.status())).join("\n");
		assert(false, `liveness: nothing is committed after healing\n${state}`);
	}

	/** What a cluster in peace comes to: a leader that should lead, and all members with the same log. */
	#afterwards(rounds: number): void {
		const { cluster } = this;
		assert(rounds < 300, "liveness: it took long to heal");
		for (let round = 0; round < 60; round++) {
			for (const node of cluster.nodes.values()) cluster.tick(node);
			this.#quiet();
		}
		const leader = cluster.leader()?.raft?.status();
		assert(leader !== undefined, "liveness: there is a leader in peace");
		const { voters, witnesses, learners } = leader.configuration;
		const useful = voters.filter((id) => !witnesses.includes(id) && !cluster.node(id).raft?.status().recovering);
		assert(voters.includes(leader.nodeId), "whoever is no voter does not lead");
		assert(useful.length === 0 || !witnesses.includes(leader.nodeId), "a witness hands over leadership");
		for (const id of [...voters, ...learners]) {
			const { appliedIndex } = cluster.node(id).disk;
			assert(appliedIndex === leader.commitIndex, `liveness: ${id} has ${appliedIndex}, not ${leader.commitIndex}`);
		}
	}

	/** Of every configuration that is in force on some node. */
	#hasIntactMajority(): boolean {
		const statuses = [...this.cluster.nodes.values()].flatMap(({ raft }) => raft?.status() ?? []);
		const intact = (id: NodeId): boolean => statuses.some(({ nodeId, recovering }) => nodeId === id && !recovering);
		return statuses.every(({ configuration: { voters } }) => {
			return voters.length === 0 || voters.filter(intact).length >= majority(voters.length);
		});
	}

	#quiet(): void {
		const { cluster } = this;
		for (let turn = 0; turn < 300; turn++) {
			const messages = cluster.messages.splice(0);
			for (const message of messages) cluster.deliver(message);
			for (const snapshot of cluster.snapshots.splice(0)) cluster.deliverSnapshot(snapshot);
			for (const node of cluster.nodes.values()) {
				node.pump();
				cluster.persist(node);
			}
			const writing = [...cluster.nodes.values()].some(({ persisting }) => persisting !== null);
			if (!writing && cluster.messages.length === 0 && cluster.snapshots.length === 0) return;
		}
	}

	#below(count: number): number {
		return Math.floor(this.#random() * count);
	}

	#node(): TestNode {
		const nodes = [...this.cluster.nodes.values()];
		return nodes[this.#below(nodes.length)] as TestNode;
	}

	/** More of them when many wait: else everything would be later than an election time-out. */
	#deliverOldest(): void {
		const count = 1 + Math.floor(this.cluster.messages.length / 10);
		for (let each = 0; each < count; each++) this.#deliver(0);
	}

	#persist(): void {
		const writing = [...this.cluster.nodes.values()].filter(({ persisting }) => persisting !== null);
		const node = writing[this.#below(writing.length)];
		if (node !== undefined) this.cluster.persist(node);
	}

	/** In some seeds the clocks of some nodes run much faster than those of others. */
	#tickingNode(): TestNode {
		const nodes = [...this.cluster.nodes.values()];
		return nodes[Math.floor(this.#random() ** this.#skew * nodes.length)] as TestNode;
	}

	/** Of whoever believes to lead, mostly. */
	#read(): void {
		const leaders = [...this.cluster.nodes.values()].filter(({ raft }) => raft?.status().role === "leader");
		const node = leaders[this.#below(leaders.length)];
		this.cluster.read(node === undefined || this.#random() < 0.3 ? this.#node() : node);
	}

	#deliver(at: number): void {
		const [message] = this.cluster.messages.splice(at, 1);
		if (message === undefined) return;
		this.#archive[this.#archived++ % 500] = message;
		if (!this.#isCut(message)) this.cluster.deliver(message);
	}

	/** Half of the partitions are one-way. */
	#isCut(message: Message): boolean {
		const from = this.#cut.has(message.from);
		const to = this.#cut.has(message.to);
		return this.#oneWay ? from && !to : from !== to;
	}

	/** Something from long ago. */
	#replay(): void {
		const message = this.#archive[this.#below(this.#archive.length)];
		if (message !== undefined) this.cluster.messages.push(message);
	}

	/** Of another cluster, or nonsense: neither may have an effect. */
	#forge(): void {
		const message = this.cluster.messages[this.#below(this.cluster.messages.length)];
		if (message === undefined) return;
		const other = { ...message, clusterId: "other", term: message.term + 3 };
		const nonsense = { ...message, term: [2 ** 32, -1, 0.5, Number.NaN][this.#below(4)] as number };
		this.cluster.deliver(this.#random() < 0.7 ? other : nonsense);
	}

	/** Its clock jumps, or the network is slow for it: an election is due. */
	#skipTicks(node: TestNode): void {
		for (let tick = 0; tick < 12; tick++) this.cluster.tick(node);
	}

	#lose(): void {
		this.cluster.messages.splice(this.#below(this.cluster.messages.length), 1);
	}

	#repeat(): void {
		const { messages } = this.cluster;
		const message = messages[this.#below(messages.length)];
		if (message !== undefined) messages.push(message);
	}

	#propose(): void {
		const node = this.#random() < 0.3 ? this.#node() : (this.cluster.leader() ?? this.#node());
		const count = 1 + this.#below(3);
		for (let each = 0; each < count; each++) node.raft?.propose(bytesOf(`p${++this.#proposed}`));
		this.cluster.settle(node);
	}

	/** Two nodes campaign at about the same time. */
	#contest(): void {
		this.#skipTicks(this.#node());
		this.#skipTicks(this.#node());
	}

	#crash(node: TestNode): void {
		if (node.raft === null) return;
		node.crash((["nothing", "hard-state", "cut", "half", "all"] as Left[])[this.#below(5)] ?? "nothing");
		if (this.#random() < 0.3) node.disk.appliedIndex = node.disk.snapshot.index;
	}

	#restart(): void {
		const down = [...this.cluster.nodes.values()].filter(({ raft }) => raft === null);
		const node = down[this.#below(down.length)];
		if (node === undefined) return;
		node.start();
		this.cluster.settle(node);
	}

	#transfer(): void {
		const leader = this.cluster.leader();
		if (leader === null) return;
		leader.raft?.transferLeadership(this.#random() < 0.5 ? this.#node().id : null);
		this.cluster.settle(leader);
	}

	#change(): void {
		const leader = this.#random() < 0.3 ? this.#node() : this.cluster.leader();
		const configuration = leader?.raft?.status().configuration;
		if (leader?.raft == null || configuration === undefined) return;
		const { voters, learners } = configuration;
		const pick = this.#random();
		let result: unknown;
		if (pick < 0.4 && learners.length > 0)
			result = leader.raft.proposeConfiguration({
				kind: "promote",
				node: learners[this.#below(learners.length)] as NodeId,
				witness: this.#random() < 0.2,
			});
		else if (pick < 0.7 && voters.length + learners.length < 6 && this.#born < 12) {
			const id = String.fromCharCode(97 + this.#born++);
			this.cluster.add(id, false);
			result = leader.raft.proposeConfiguration({ kind: "add-learner", node: id });
		} else {
			const members = [...voters, ...learners];
			result = leader.raft.proposeConfiguration({
				kind: "remove",
				node: members[this.#below(members.length)] as NodeId,
			});
		}
		if (typeof result === "object" && result !== null && "index" in result) this.#changes += 1;
		this.cluster.settle(leader);
	}

	#compact(): void {
		const node = this.#node();
		const { snapshot, appliedIndex } = node.disk;
		node.compact(snapshot.index + this.#below(appliedIndex - snapshot.index + 1));
	}

	#snapshot(): void {
		const [snapshot] = this.cluster.snapshots.splice(this.#below(this.cluster.snapshots.length), 1);
		if (snapshot === undefined) return;
		if (this.#random() < 0.3) this.cluster.snapshots.push(snapshot);
		if (this.#random() < 0.8) this.cluster.deliverSnapshot(snapshot);
		else this.cluster.failSnapshot(snapshot);
	}

	#partition(): void {
		const leader = this.cluster.leader()?.id;
		const chance = this.#random() < 0.5 ? 0.2 : 0.4;
		this.#cut = new Set([...this.cluster.nodes.keys()].filter((id) => id === leader || this.#random() < chance));
		this.#oneWay = this.#random() < 0.5;
	}

	/** One node at a time, of at least three voters: else the cluster cannot go on by itself, and should not. */
	#damage(): void {
		const nodes = [...this.cluster.nodes.values()];
		if (this.cluster.initial.voters.length < 3) return;
		if (nodes.some(({ disk }) => disk.damaged || disk.hardState.recovering)) return;
		const node = this.#node();
		this.#crash(node);
		const { snapshot } = node.disk;
		node.damage(snapshot.index + this.#below(node.lastIndex - snapshot.index + 1));
		node.start();
		this.cluster.settle(node);
	}
}
