/**
 * A whole cluster in one process on simulated time. What happens is decided by the seed alone: one queue of events, one
 * source of randomness, no other clock.
 */
import { drainMicrotasks } from "bun:jsc";
import { AppError } from "../../lib/errors.ts";
import type { Message } from "../../raft/messages.ts";
import type { MutantName } from "../../raft/mutants.ts";
import type { Configuration, NodeId } from "../../raft/types.ts";
import type { Urgency } from "../../store/disk-reserve.ts";
import { unknownOutcome } from "../../store/raft/refusals.ts";
import { Checker } from "./checker.ts";
import { EventQueue } from "./event-queue.ts";
import { maxSlots, Network } from "./network.ts";
import { SimulatedNode } from "./node.ts";
import type { Plan } from "./plan.ts";
import type { StreamMessage } from "./process.ts";
import { Random } from "./random.ts";
import { Trace } from "./trace.ts";
import { asViolation, type Violation } from "./violation.ts";
import { isHeardInQuarantine, watchDelivery, watchNode } from "./watch.ts";
import { Workload } from "./workload.ts";

/** How long an answer is waited for. */
const forwardLimitMs = 3000;

export type ClusterOptions = {
	seed: number;
	plan: Plan;
	mutant: MutantName | null;
	/** Called with a line for each thing that happens. */
	log: ((line: string) => void) | null;
};

const messageNumbers: Record<Message["type"], number> = {
	"pre-vote": 1,
	"pre-vote-answer": 2,
	vote: 3,
	"vote-answer": 4,
	append: 5,
	"append-answer": 6,
	heartbeat: 7,
	"heartbeat-answer": 8,
	"campaign-now": 9,
	read: 10,
	"read-answer": 11,
	removed: 12,
};

export class Cluster {
	readonly plan: Plan;
	readonly mutant: MutantName | null;
	readonly random: Random;
	readonly queue = new EventQueue();
	readonly trace = new Trace();
	readonly network: Network;
	readonly checker: Checker;
	readonly workload: Workload;
	readonly initial: Configuration;
	readonly nodes = new Map<NodeId, SimulatedNode>();
	/** Nodes with an old disk, and whom alone they hear: the leader of this term. */
	readonly quarantine = new Map<NodeId, { leader: NodeId; term: number }>();
	/** How often a snapshot was gone on with after a restart. */
	resumed = 0;
	/** The node that is in each slot. */
	readonly slots: (SimulatedNode | null)[] = Array.from({ length: maxSlots }, () => null);
	#born = 0;
	readonly #log: ClusterOptions["log"];
	#found: Violation | null = null;
	#processRan = false;
	/** No more faults: what ends by itself is started again at once. */
	healed = false;

	constructor({ seed, plan, mutant, log }: ClusterOptions) {
		this.plan = plan;
		this.mutant = mutant;
		this.#log = log;
		this.random = new Random(seed ^ 0x5bd1e995);
		this.network = new Network(this.queue, this.random.fork(), plan.network);
		const voters = Array.from({ length: plan.nodes }, (_, at) => `n${at + 1}`);
		this.initial = { voters, witnesses: plan.witness ? voters.slice(0, 1) : [], learners: [], removed: [] };
		this.checker = new Checker(this.initial);
		this.workload = new Workload(this, this.random.fork());
		for (const _ of voters) this.add(true);
		drainMicrotasks();
		this.workload.begin();
	}

	/** A founder knows the first configuration; whoever joins later knows nothing. Null when all slots are in use. */
	add(founder: boolean): SimulatedNode | null {
		const slot = this.slots.indexOf(null);
		if (slot < 0) return null;
		const node = new SimulatedNode(this, `n${++this.#born}`, slot, founder);
		this.nodes.set(node.id, node);
		this.slots[slot] = node;
		node.start();
		return node;
	}

	/** For good: its machine is thrown away. */
	discard(node: SimulatedNode): void {
		node.crash("is thrown away");
		this.nodes.delete(node.id);
		node.disk.machine.close();
		this.slots[node.slot] = null;
	}

	/** When the seed is over. */
	close(): void {
		for (const node of this.nodes.values()) node.disk.machine.close();
	}

	drawTickMs(): number {
		const { tickMs, clock } = this.plan;
		if (this.healed) return tickMs;
		return Math.max(5, Math.round(tickMs * (1 + clock.skew * (2 * this.random.next() - 1))));
	}

	send(from: SimulatedNode, message: Message): void {
		const { process } = from;
		if (process !== null) {
			this.checker.sent(message, process, from.disk);
			this.checker.exchanges.sent(message, this.queue.steps, () => process.configuration().configuration);
		}
		const to = this.nodes.get(message.to);
		if (to === undefined) return;
		this.network.send(from.slot, to.slot, () => {
			// A message outlives the process it was sent to, like one that a peer sends again; not the node.
			if (this.slots[to.slot] !== to || this.network.isCut(from.slot, to.slot)) return;
			to.arrive(() => this.#deliver(to, message));
		});
		if (this.random.chance(this.network.rates.forged)) this.#forge(from, to, message);
	}

	#deliver(to: SimulatedNode, message: Message, forged = false): void {
		const { process } = to;
		if (process === null || (this.quarantine.size > 0 && !isHeardInQuarantine(this.quarantine, to.id, message))) return;
		const { trace, queue } = this;
		trace.add(queue.nowMs);
		trace.add((messageNumbers[message.type] << 16) | (to.slot << 8) | message.term);
		if (this.#log !== null) this.#log(`${queue.nowMs} ${message.from}→${message.to} ${describe(message)}`);
		watchDelivery(this, to, process, message, forged);
	}

	#forge(from: SimulatedNode, to: SimulatedNode, message: Message): void {
		const foreign = { ...message, clusterId: "another", term: message.term + 3 };
		const nonsense = { ...message, term: this.random.pick([2 ** 32, -1, 0.5, Number.NaN]) as number };
		const forged = this.random.chance(0.7) ? foreign : nonsense;
		this.network.send(from.slot, to.slot, () => {
			if (this.slots[to.slot] === to) to.arrive(() => this.#deliver(to, forged, true));
		});
	}

	/** As this leader would ask a node that it hands over to; whoever it is has to know whether it may. */
	askToCampaign(leader: SimulatedNode, to: SimulatedNode | null): void {
		const term = leader.process?.term;
		if (term === undefined || to === null || to === leader) return;
		this.send(leader, { type: "campaign-now", clusterId: "cluster", from: leader.id, to: to.id, term });
	}

	sendStream(from: SimulatedNode, id: NodeId, message: StreamMessage): void {
		const to = this.nodes.get(id);
		if (to === undefined || this.quarantine.has(id) || this.quarantine.has(from.id)) return;
		if (message.type === "done" && this.random.chance(this.network.rates.lostEnd)) return;
		let sent = message;
		if (message.type === "chunk" && this.random.chance(this.network.rates.flippedChunk)) {
			const data = message.data.slice();
			data[this.random.below(data.length)] = this.random.below(256);
			sent = { ...message, data };
		}
		this.network.send(from.slot, to.slot, () => {
			if (this.slots[to.slot] !== to || this.network.isCut(from.slot, to.slot)) return;
			to.arrive(() => {
				this.trace.add((20 << 16) | to.slot);
				if (this.#log !== null) this.#log(`${this.queue.nowMs} ${from.id}→${id} ${describeStream(sent)}`);
				to.process?.receiveStream(from.id, sent);
			});
		});
	}

	/** The links to a process end with it, and by mistake at other times: each of the others sees that when it comes. */
	linksEnd(of: SimulatedNode): void {
		for (const { id } of this.nodes.values()) if (id !== of.id) this.linkEnds(of, id);
	}

	linkEnds(of: SimulatedNode, id: NodeId): void {
		const to = this.nodes.get(id);
		if (to === undefined) return;
		this.network.send(of.slot, to.slot, () => {
			if (this.slots[to.slot] !== to || this.network.isCut(of.slot, to.slot)) return;
			to.arrive(() => {
				this.trace.add((22 << 16) | to.slot);
				to.process?.peerGone(of.id);
			});
		});
	}

	/**
	 * To whom `from` takes for the leader, whose answer comes back; both are lost and late like any message. Half of the questions come
	 * once, as over the daemon's links: then what the answer says of the outcome is believed. The others are repeated, too: then it
	 * is only said of one of them.
	 */
	forward(from: SimulatedNode, leader: NodeId, data: Uint8Array, urgency: Urgency): Promise<void> {
		return new Promise((resolve, reject) => {
			const to = this.nodes.get(leader);
			const { life } = from;
			const once = this.random.chance(0.5);
			let waits = true;
			let came = false;
			const settle = (error: AppError | null): void => {
				if (!waits || from.life !== life) return;
				waits = false;
				if (error === null) resolve();
				else reject(asForwarded(error, once));
			};
			from.later(forwardLimitMs, () => {
				if (waits) settle(unknownOutcome("The leading node was lost."));
			});
			if (to === undefined) return;
			const answer = (error: AppError | null): void =>
				this.network.send(to.slot, from.slot, () => {
					if (!this.network.isCut(to.slot, from.slot)) from.arrive(() => settle(error));
				});
			this.network.send(from.slot, to.slot, () => {
				if (this.slots[to.slot] !== to || this.network.isCut(from.slot, to.slot) || (once && came)) return;
				came = true;
				to.arrive(() => {
					this.trace.add((21 << 16) | to.slot);
					to.process?.forwarded?.(data, urgency).then(() => answer(null), answer);
				});
			});
		});
	}

	/** What clients and nodes say to each other. */
	fromClient(to: SimulatedNode, run: () => void): void {
		if (this.random.chance(this.network.rates.loss / 4)) return;
		this.queue.after(1 + this.random.below(this.network.rates.jitterMs + 2), () => to.arrive(run));
	}

	toClient(run: () => void): void {
		if (this.random.chance(this.network.rates.loss / 4)) return;
		this.queue.after(1 + this.random.below(this.network.rates.jitterMs + 2), run);
	}

	restartLater(node: SimulatedNode, delayMs = this.healed ? 50 : this.random.between(20, 3000)): void {
		const { life } = node;
		this.queue.after(delayMs, () => {
			if (node.life === life && node.isDown && !node.isLost && this.slots[node.slot] === node) node.start();
		});
	}

	watch(node: SimulatedNode): void {
		watchNode(this, node);
	}

	/** Of the highest term, that is up. */
	leader(): SimulatedNode | null {
		let best: SimulatedNode | null = null;
		let bestTerm = -1;
		for (const node of this.nodes.values()) {
			const { process } = node;
			if (process === null || !process.leads || process.term <= bestTerm) continue;
			best = node;
			bestTerm = process.term;
		}
		return best;
	}

	event(node: SimulatedNode | null, what: string): void {
		this.trace.add(this.queue.nowMs);
		this.trace.addText(what);
		if (this.#log !== null) this.#log(`${this.queue.nowMs} ${node?.id ?? "—"} ${what}`);
	}

	get tracing(): boolean {
		return this.#log !== null;
	}

	/** A finding that the code under test would have caught, or made a rejected promise of. */
	found(error: unknown): void {
		this.#found ??= asViolation(error);
	}

	/** Code under test runs in this event: it may leave promises to settle. */
	runsProcess(): void {
		this.#processRan = this.plan.stack === "driver";
	}

	/** Promises only resolve within a step: what they bring about belongs to the event that resolved them. */
	run(untilMs: number): void {
		while (this.queue.step(untilMs)) {
			if (this.#processRan) {
				this.#processRan = false;
				drainMicrotasks();
			}
			if (this.#found !== null) throw this.#found;
		}
	}
}

/** As peer/wire.ts and cluster/forwarding.ts make of the leader's own answer. */
function asForwarded({ code, message, context }: AppError, isBelieved: boolean): AppError {
	return new AppError(code, message, { context: { outcome: (isBelieved && context.outcome) || "unknown" } });
}

function describe(message: Message): string {
	const { clusterId, from, to, type, ...rest } = message;
	const text = JSON.stringify(rest, (key, value) =>
		key === "data"
			? `${Object.keys(value as object).length} bytes`
			: key === "entries"
				? (value as { index: number; term: number; kind: string }[])
						.map((entry) => `${entry.index}/${entry.term}${entry.kind === "configuration" ? "c" : ""}`)
						.join(" ")
				: value,
	);
	return `${type}${clusterId === "cluster" ? "" : ` of ${clusterId}`} ${text}`;
}

function describeStream(message: StreamMessage): string {
	const { type, snapshot } = message;
	if (type === "done") return `snapshot ${snapshot} done: ${message.reason}`;
	if (type === "offer") return `snapshot ${snapshot} offered in term ${message.term}, ${message.sizeBytes} bytes`;
	return `snapshot ${snapshot} ${type} ${message.offset}`;
}
