/**
 * Clients: they write, compare and set, and read a few registers, each value once; ask another node when there is no
 * answer; retry under the same number, so that it is done once; and give up in the end, and then nobody knows.
 */
import { checkHistory, type Operation as HistoryOperation } from "../linearizability/check-history.ts";
import type { Cluster } from "./cluster.ts";
import type { Effect, Request } from "./machine.ts";
import type { SimulatedNode } from "./node.ts";
import type { SimulatedProcess } from "./process.ts";
import type { Random } from "./random.ts";
import { encodeOperation } from "./register-machine.ts";
import { storeKeys } from "./store-machine.ts";
import { unsafe, Violation } from "./violation.ts";
import { isExplainedByLog, type Placed } from "./witness.ts";

/** Operations under way at most; and of eager clients while some are answered. */
const maxOpen = 160;
const maxOpenServed = 352;
/** An answer of so long ago says that somebody leads. */
const servedMs = 200;
const askedWithoutLeader = 2;
const retryMs = 600;
/** For each refusal. */
const backOffMs = 300;
const maxBackOffMs = 1500;
const giveUpMs = 4000;
const epochMs = 4000;
/** Keys of a seed that are also given to the search, when they have few operations, and few that are open. */
const maxKeysSearched = 3;
const maxOpenSearched = 1;
const maxSearched = 40;

type Client = {
	id: number;
	sequence: number;
	kind: "read" | "write" | "cas";
	key: number;
	value: number;
	expected: number;
	request: Request | null;
	busy: boolean;
	beganMs: number;
	askedMs: number;
	/** Nodes that were asked, and those that said that they will not do it. */
	asked: number;
	refusals: number;
	/** Refused by all that were asked: it asks again, but not at once. */
	waits: boolean;
	invokedAt: number;
	/** A read sees at least this. */
	leastIndex: number;
	target: SimulatedNode | null;
};

/** A client's operation, as it was when it asked. */
type Asked = { client: Client; id: number; sequence: number };
type Seen = { value: number; generation: number };

export class Workload {
	readonly #cluster: Cluster;
	readonly #random: Random;
	readonly #clients: Client[] = [];
	readonly #byId = new Map<number, Client>();
	#nextId = 1;
	#nextValue = 1;
	/** Where the leader was last seen. */
	#leader: SimulatedNode | null = null;
	/** What a client last saw in a register, to compare with. */
	readonly #seen = new Map<number, Seen>();
	readonly #history = new Map<number, Placed[]>();
	/** By client and sequence: the index of the entry that did it. */
	readonly #effects = new Map<number, number>();
	stopped = false;
	begun = 0;
	completed = 0;
	/** Of those, all but reads. */
	written = 0;
	/** When a client was last answered. */
	#answeredMs = Number.NEGATIVE_INFINITY;
	#answers: (() => void)[] = [];

	constructor(cluster: Cluster, random: Random) {
		this.#cluster = cluster;
		this.#random = random;
	}

	begin(): void {
		this.#next();
	}

	#next(): void {
		const { burstMs } = this.#cluster.plan.workload;
		this.#cluster.queue.after(this.#random.between(Math.ceil(burstMs * 0.8), Math.ceil(burstMs * 1.2)), () => {
			this.#burst();
			this.#next();
		});
	}

	#burst(): void {
		const { healed, queue, plan } = this.#cluster;
		const asking = new Map<SimulatedNode, Client[]>();
		const now = queue.nowMs;
		const served = plan.workload.eager && now - this.#answeredMs <= servedMs;
		const operations = healed ? plan.workload.healedOperations : plan.workload.operations;
		const most = served ? maxOpenServed : maxOpen;
		let idle = served ? 0 : this.#beyond(most, operations);
		for (const client of this.#clients) {
			if (!client.busy) {
				if (!this.stopped && idle++ < operations) this.#begin(client);
				else continue;
			} else if (now - client.beganMs > giveUpMs) {
				this.#giveUp(client);
				continue;
			} else if (now - client.askedMs < retryMs && !(served && client.waits)) continue;
			this.#ask(client, asking);
		}
		while (!this.stopped && idle++ < operations && this.#clients.length < most) {
			const client = this.#newClient();
			this.#begin(client);
			this.#ask(client, asking);
		}
		for (const [node, clients] of asking) this.#send(node, clients);
	}

	/** Of so many operations in a burst, those that would be more than may be under way: eager clients are more than that. */
	#beyond(most: number, operations: number): number {
		if (this.#clients.length <= most) return 0;
		let free = most;
		for (const { busy } of this.#clients) if (busy) free -= 1;
		return Math.max(0, operations - Math.max(0, free));
	}

	#newClient(): Client {
		const client: Client = {
			id: this.#nextId++,
			sequence: 0,
			kind: "read",
			key: 0,
			value: 0,
			expected: 0,
			request: null,
			busy: false,
			beganMs: 0,
			askedMs: 0,
			asked: 0,
			refusals: 0,
			waits: false,
			invokedAt: 0,
			leastIndex: 0,
			target: null,
		};
		this.#clients.push(client);
		this.#byId.set(client.id, client);
		return client;
	}

	#begin(client: Client): void {
		const { queue, plan, checker } = this.#cluster;
		const epoch = plan.state === "sqlite" ? 0 : Math.floor(queue.nowMs / epochMs) + 1;
		client.key = (epoch << 8) | this.#random.below(plan.state === "sqlite" ? storeKeys : plan.workload.keys);
		const which = this.#random.next();
		client.kind = which < 0.4 ? "read" : which < 0.75 ? "write" : "cas";
		client.busy = true;
		client.sequence += 1;
		client.beganMs = queue.nowMs;
		client.askedMs = queue.nowMs;
		client.asked = 0;
		client.refusals = 0;
		client.invokedAt = queue.steps;
		client.leastIndex = checker.maxApplied;
		client.target = null;
		client.request = null;
		this.begun += 1;
		if (client.kind === "read") return;
		client.value = this.#nextValue++;
		const seen = this.#seen.get(client.key);
		client.expected = seen?.value ?? 0;
		const generation = seen?.generation ?? 1;
		const { kind, id, sequence, key, value, expected } = client;
		const padding = this.#random.below(plan.workload.paddingBytes + 1);
		const operation = { kind, client: id, sequence, key, value, expected, generation };
		client.request = { operation, data: encodeOperation(operation, padding), attempts: 0 };
	}

	/** Nobody knows whether it was done, or will be: it stays open, and this client does nothing else any more. */
	#giveUp(client: Client): void {
		this.#byId.delete(client.id);
		if (isOpen(client)) this.#record(client, null, false, 0);
		client.id = this.#nextId++;
		client.sequence = 0;
		client.busy = false;
		this.#byId.set(client.id, client);
	}

	/** Writes go to the leader, for all that is known, and sometimes elsewhere; reads go anywhere. */
	#ask(client: Client, asking: Map<SimulatedNode, Client[]>): void {
		const random = this.#random;
		const retry = client.target !== null;
		client.askedMs = this.#cluster.queue.nowMs;
		const anywhere = client.kind === "read" ? 0.5 : retry ? 0.7 : 0.03;
		let node = random.chance(anywhere) ? null : random.chance(0.1) ? this.#someLeader() : this.#leader;
		if (node === null || this.#cluster.slots[node.slot] !== node) {
			node = this.#cluster.slots[random.below(8)] ?? null;
			if (node === null) return;
		}
		client.target = node;
		client.asked += 1;
		client.waits = false;
		const others = asking.get(node);
		if (others === undefined) asking.set(node, [client]);
		else others.push(client);
	}

	/** One that thinks that it leads: maybe it was deposed and does not know it. */
	#someLeader(): SimulatedNode | null {
		const leading: SimulatedNode[] = [];
		for (const node of this.#cluster.nodes.values()) if (node.process?.leads === true) leading.push(node);
		return this.#random.pick(leading) ?? null;
	}

	#send(node: SimulatedNode, clients: Client[]): void {
		const asked = clients.map((client): Asked => ({ client, id: client.id, sequence: client.sequence }));
		const requests = clients.map(({ request }) => request);
		this.#cluster.fromClient(node, () => {
			const { process } = node;
			if (process === null) return;
			// Who knows no leader refuses all of them alike: a few are asked, and the rest is answered for it.
			let left = process.leader === null ? askedWithoutLeader : Number.POSITIVE_INFINITY;
			const refused: Asked[] = [];
			const reads: Asked[] = [];
			for (const [at, one] of asked.entries()) {
				const request = requests[at] ?? null;
				if (request === null) reads.push(one);
				else if (left-- > 0) this.#propose(process, node, one, request);
				else refused.push(one);
			}
			if (refused.length > 0) this.#answer(() => this.#refuseAll(refused, node));
			if (reads.length > 0) this.#read(process, node, reads);
			process.flush();
		});
	}

	#propose(process: SimulatedProcess, node: SimulatedNode, one: Asked, request: Request): void {
		const { client, id, sequence } = one;
		process.propose(request, (outcome, swapped) => {
			if (outcome === "refused") {
				this.#answer(() => this.#refused(client, id, sequence, node));
				return;
			}
			if (outcome !== "committed") return;
			this.#leader = node;
			if (swapped === null) return;
			if (!this.#effects.has(id * 2 ** 20 + sequence))
				unsafe(`acknowledged never lost: ${node.id} acknowledges ${id}/${sequence}, which nobody has applied`);
			this.#answer(() => this.#done(client, id, sequence, null, swapped, 0));
		});
	}

	/** Those that came together share an index, as they do in the daemon. */
	#read(process: SimulatedProcess, node: SimulatedNode, reads: Asked[]): void {
		process.read((machine, index) => {
			if (machine === null) {
				this.#answer(() => this.#refuseAll(reads, node));
				return;
			}
			const seen = machine.index;
			for (const { client, id, sequence } of reads) {
				if (client.id !== id || client.sequence !== sequence || !client.busy) continue;
				if (index < client.leastIndex)
					unsafe(`reads: ${node.id} reads at ${index} what had to see ${client.leastIndex}`);
				const value = machine.read(client.key);
				const generation = machine.generation(client.key);
				this.#answer(() => this.#done(client, id, sequence, { value, generation }, false, seen));
			}
		});
	}

	#refuseAll(all: readonly Asked[], node: SimulatedNode): void {
		for (const { client, id, sequence } of all) this.#refused(client, id, sequence, node);
	}

	/** Answers of one event travel together. */
	#answer(run: () => void): void {
		this.#answers.push(run);
		if (this.#answers.length > 1) return;
		this.#cluster.queue.after(0, () => {
			const answers = this.#answers.splice(0);
			this.#cluster.toClient(() => {
				for (const answer of answers) answer();
			});
		});
	}

	/** Seen on the first node that applies it. */
	tookEffect({ client, sequence }: Effect, index: number): void {
		const key = client * 2 ** 20 + sequence;
		if (!this.#effects.has(key)) this.#effects.set(key, index);
	}

	#refused(client: Client, id: number, sequence: number, node: SimulatedNode): void {
		if (client.id !== id || client.sequence !== sequence || !client.busy) return;
		client.refusals += 1;
		client.waits = client.refusals >= client.asked;
		const leader = node.process?.leader ?? null;
		this.#leader = leader === null ? null : (this.#cluster.nodes.get(leader) ?? null);
		// Not all of them at once.
		client.askedMs =
			this.#cluster.queue.nowMs - retryMs + this.#random.below(Math.min(maxBackOffMs, backOffMs * client.refusals));
	}

	/** `read`: of a read, what it found; `seen`: the index of the state that it was read from. */
	#done(client: Client, id: number, sequence: number, read: Seen | null, swapped: boolean, seen: number): void {
		if (client.id !== id || client.sequence !== sequence || !client.busy) return;
		client.busy = false;
		this.completed += 1;
		if (client.kind !== "read") this.written += 1;
		this.#answeredMs = this.#cluster.queue.nowMs;
		if (read !== null) client.value = read.value;
		this.#cluster.trace.add(client.value);
		// Of one's own write it is not known how often it was written before.
		if (read !== null) this.#seen.set(client.key, read);
		else if (this.#cluster.plan.state === "registers" && (client.kind === "write" || swapped))
			this.#seen.set(client.key, { value: client.value, generation: 0 });
		if (this.#seen.size > 64) this.#seen.clear();
		this.#record(client, this.#cluster.queue.steps, swapped, seen);
	}

	#record(client: Client, completedAt: number | null, swapped: boolean, seen: number): void {
		const { id: process, sequence, key, kind, invokedAt } = client;
		const base = { process, key: String(key), invokedAt, completedAt };
		const value = client.value === 0 ? null : client.value;
		const expected = client.expected === 0 ? null : client.expected;
		const operation: HistoryOperation =
			kind === "cas" ? { ...base, kind, expected, value, swapped } : { ...base, kind, value };
		// Of an open one it is looked up at the end: it may take effect later.
		const point = kind === "read" ? seen : process * 2 ** 20 + sequence;
		const known = this.#history.get(key);
		if (known === undefined) this.#history.set(key, [{ operation, point }]);
		else known.push({ operation, point });
	}

	/** At the end. Operations without an answer by now are open. */
	check(): void {
		for (const client of this.#clients) if (client.busy && isOpen(client)) this.#record(client, null, false, 0);
		let searched = 0;
		for (const history of this.#history.values()) {
			for (const placed of history)
				if (placed.operation.kind !== "read") placed.point = this.#effects.get(placed.point ?? 0) ?? null;
			const open = history.filter(({ operation }) => operation.completedAt === null).length;
			const search = open <= maxOpenSearched && history.length <= maxSearched && searched < maxKeysSearched;
			if (isExplainedByLog(history) && !search) continue;
			searched += 1;
			const verdict = checkHistory(history.map(({ operation }) => operation));
			if (!verdict.linearizable) throw new Violation("safety", `linearizability: ${verdict.explanation}`);
		}
	}
}

/** Nobody knows whether it was done. When all that were asked have refused, it was not; a read that failed saw nothing. */
const isOpen = ({ kind, asked, refusals }: Client): boolean => kind !== "read" && refusals < asked;
