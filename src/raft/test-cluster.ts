/**
 * For tests: several nodes, the messages between them, and what must hold whatever happens:
 *
 *   election safety       one leader a term
 *   log matching          entries of the same index and term come after the same log
 *   leader completeness   a leader has everything that was committed before its term
 *   state machine safety  all nodes apply the same entry at an index; so nothing acknowledged is lost
 *   reads                 a read's index is at least what anybody had applied when it was asked
 */
import { assert } from "../lib/assert.ts";
import type { Message } from "./messages.ts";
import type { MutantName } from "./mutants.ts";
import { type Disk, type Listener, type SnapshotUnderWay, TestNode } from "./test-node.ts";
import type { Configuration, Entry, Limits, NodeId, ReadAnswer } from "./types.ts";

export type TestClusterOptions = {
	voters: NodeId[];
	witnesses?: NodeId[];
	random: () => number;
	limits?: Partial<Limits>;
	mutant?: MutantName;
};

/** Text in bytes and back: what entries of tests carry. */
export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
export const textOf = (entry: Entry): string =>
	entry.kind === "configuration" ? "configuration" : new TextDecoder().decode(entry.data);

export class TestCluster implements Listener {
	readonly nodes = new Map<NodeId, TestNode>();
	/** Under way, the oldest first. */
	messages: Message[] = [];
	snapshots: SnapshotUnderWay[] = [];
	/** What was applied, by index; a string that says the entry's term and data. */
	readonly committed: (string | undefined)[] = [];
	readonly committedTerms: number[] = [];
	readonly onEvent: ((node: NodeId, text: string) => void)[] = [];
	readonly #options: TestClusterOptions;
	readonly #leaders = new Map<number, NodeId>();
	readonly #histories = new Map<string, string>();
	readonly #reads = new Map<number, number>();
	#token = 0;

	constructor(options: TestClusterOptions) {
		this.#options = options;
		for (const id of options.voters) this.add(id, true);
	}

	get initial(): Configuration {
		return { voters: this.#options.voters, witnesses: this.#options.witnesses ?? [], learners: [], removed: [] };
	}

	/** A founder knows the first configuration; whoever joins later knows nothing. */
	add(id: NodeId, founder: boolean): TestNode {
		const { random, limits = {}, mutant } = this.#options;
		const node = new TestNode({
			id,
			random,
			limits,
			...(mutant === undefined ? {} : { mutant }),
			initial: founder ? [{ index: 0, configuration: this.initial }] : [],
			listener: this,
		});
		this.nodes.set(id, node);
		node.pump();
		return node;
	}

	node(id: NodeId): TestNode {
		const node = this.nodes.get(id);
		assert(node !== undefined, `there is a node ${id}`);
		return node;
	}

	/** The leader of the highest term that is up. */
	leader(): TestNode | null {
		let best: TestNode | null = null;
		let bestTerm = -1;
		for (const node of this.nodes.values()) {
			const status = node.raft?.status();
			if (status?.role !== "leader" || status.term <= bestTerm) continue;
			best = node;
			bestTerm = status.term;
		}
		return best;
	}

	/** After anything that a node did. */
	settle(node: TestNode): void {
		node.pump();
		this.checkLeader(node);
	}

	tick(node: TestNode): void {
		node.raft?.tick();
		const status = node.raft?.status();
		assert(status?.role !== "leader" || status.quorum, `check-quorum: ${node.id} leads without a quorum`);
		this.settle(node);
	}

	deliver(message: Message): void {
		const node = this.nodes.get(message.to);
		if (node?.raft == null) return;
		node.raft.step(message);
		this.settle(node);
	}

	deliverSnapshot(snapshot: SnapshotUnderWay): void {
		const to = this.nodes.get(snapshot.to);
		const installed = to?.receiveSnapshot(snapshot) ?? false;
		const from = this.nodes.get(snapshot.from);
		from?.raft?.snapshotSent(snapshot.to, installed ? snapshot.meta.index : null);
		from?.pump();
	}

	failSnapshot(snapshot: SnapshotUnderWay): void {
		const from = this.nodes.get(snapshot.from);
		from?.raft?.snapshotSent(snapshot.to, null);
		from?.pump();
	}

	persist(node: TestNode): void {
		node.finishPersist();
		this.checkLeader(node);
	}

	read(node: TestNode): number {
		const token = ++this.#token;
		this.#reads.set(token, this.committed.length);
		node.raft?.readIndex(token);
		this.settle(node);
		return token;
	}

	checkLeader(node: TestNode): void {
		const { raft } = node;
		if (raft === null) return;
		const status = raft.status();
		if (status.role !== "leader") return;
		const known = this.#leaders.get(status.term);
		assert(
			known === undefined || known === node.id,
			`election safety: ${known} and ${node.id} lead term ${status.term}`,
		);
		if (known !== undefined) return;
		this.#leaders.set(status.term, node.id);
		const { voters, learners } = status.configuration;
		assert(voters.includes(node.id) || !learners.includes(node.id), `${node.id} leads and is a learner`);
		this.#event(node.id, `leads term ${status.term}`);
		for (let index = node.disk.snapshot.index + 1; index < this.committed.length; index++) {
			const term = this.committedTerms[index];
			if (term === undefined || term >= status.term) continue;
			assert(raft.termAt(index) === term, `leader completeness: ${node.id} lacks entry ${index} of term ${term}`);
		}
	}

	message(message: Message): void {
		this.messages.push(message);
	}

	snapshot(snapshot: SnapshotUnderWay): void {
		this.snapshots.push(snapshot);
	}

	applied(id: NodeId, entry: Entry): void {
		const text = `${entry.term}:${textOf(entry)}`;
		const known = this.committed[entry.index];
		assert(known === undefined || known === text, `state machine safety: ${id} applies ${text}, not ${known}`);
		this.committed[entry.index] = text;
		this.committedTerms[entry.index] = entry.term;
		this.#event(id, `applies ${entry.index} ${textOf(entry)}`.trimEnd());
	}

	answered(id: NodeId, { token, index }: ReadAnswer): void {
		const least = (this.#reads.get(token) ?? 1) - 1;
		this.#reads.delete(token);
		this.#event(id, `read ${token}: ${index ?? "no answer"}`);
		assert(index === null || index >= least, `reads: ${id} answers with ${index} what had to see ${least}`);
	}

	persisted(id: NodeId, entries: readonly Entry[], disk: Disk): void {
		for (const entry of entries) {
			const previous = entry.index - 1;
			const before = disk.entries[previous - disk.snapshot.index - 1];
			const beforeTerm = before?.term ?? (previous === disk.snapshot.index ? disk.snapshot.term : 0);
			const text = `${beforeTerm}:${textOf(entry)}`;
			const key = `${entry.index}:${entry.term}`;
			const known = this.#histories.get(key);
			assert(known === undefined || known === text, `log matching: ${id} has ${key} ${text}, another ${known}`);
			this.#histories.set(key, text);
		}
	}

	#event(id: NodeId, text: string): void {
		for (const listener of this.onEvent) listener(id, text);
	}
}
