/**
 * For tests: scripts of a cluster, with their whole transcript (as etcd's `raft/testdata`). A file is blocks of
 *
 *   # comment
 *   command
 *   ----
 *   what happened
 *
 * separated by empty lines. Commands, with node ids as single words:
 *
 *   cluster a b c [witness=c] [electionTicks=10 …]   a new cluster; the last words are limits
 *   join d                       a node that knows nothing
 *   elect a                      ticks a until it campaigns, then everything until it is quiet
 *   tick a [n]                   campaign a: ticks until it asks for votes
 *   deliver [from] [to]          what is under way now; `-` for anybody; `deliver - b append` only that type
 *   drop [from] [to] [type]
 *   persist a                    all that it has to write; refuse a: its disk is full
 *   gone a b                     a is told that b ended the link to it
 *   cut [a b…]                   nothing passes between these and the others, until the next `cut`
 *   settle                       delivers and persists until nothing is left
 *   propose a text…              read a
 *   learner a d, promote a d [witness], remove a b, transfer a [b]: `a` is asked
 *   crash a [nothing|hard-state|cut|half|all], start a, damage a index, compact a index
 *   put-back a index             its disk of an earlier day, while it is down
 *   send-snapshot, fail-snapshot
 *   inject {"type": …}           a message that was made up; the header is filled in
 *   status a
 *
 * `quiet command…` leaves out what happened.
 */
import type { Message } from "./messages.ts";
import type { MutantName } from "./mutants.ts";
import { bytesOf, TestCluster, textOf } from "./test-cluster.ts";
import type { Left, TestNode } from "./test-node.ts";
import type { Change, Limits, NodeId } from "./types.ts";

/** The script with the transcript as it is now. */
export function runScript(text: string, mutant?: MutantName): string {
	const runner = new ScriptRunner(mutant);
	const blocks = text.trimEnd().split(/\n\n+/);
	const done = blocks.map((block) => {
		const lines = block.split("\n");
		const separator = lines.indexOf("----");
		const head = separator < 0 ? lines : lines.slice(0, separator);
		const commands = head.filter((line) => !line.startsWith("#"));
		if (commands.length === 0) return block;
		const happened = commands.flatMap((command) => runner.run(command));
		return [...head, "----", ...(happened.length === 0 ? ["ok"] : happened)].join("\n");
	});
	return `${done.join("\n\n")}\n`;
}

class ScriptRunner {
	readonly #mutant: MutantName | undefined;
	#cluster: TestCluster;
	#happened: string[] = [];
	#seen = 0;
	#cut: NodeId[] = [];
	readonly #states = new Map<NodeId, string>();

	constructor(mutant: MutantName | undefined) {
		this.#mutant = mutant;
		this.#cluster = this.#make(["a", "b", "c"]);
	}

	run(line: string): string[] {
		this.#happened = [];
		const quiet = line.startsWith("quiet ");
		const [command = "", ...words] = line.replace(/^quiet /, "").split(" ");
		try {
			this.#do(command, words);
			this.#look();
		} catch (error) {
			this.#happened.push(`! ${error instanceof Error ? error.message : String(error)}`);
		}
		return quiet ? this.#happened.filter((text) => text.startsWith("!")) : this.#happened;
	}

	#make(words: string[]): TestCluster {
		const voters = words.filter((word) => !word.includes("="));
		const settings = words.filter((word) => word.includes("=")).map((word) => word.split("="));
		const witnesses = settings.flatMap(([name, value = ""]) => (name === "witness" ? value.split(",") : []));
		const limits = Object.fromEntries(
			settings.filter(([name]) => name !== "witness").map(([name, value]) => [name, Number(value)]),
		) as Partial<Limits>;
		const mutant = this.#mutant === undefined ? {} : { mutant: this.#mutant };
		const cluster = new TestCluster({ voters, witnesses, random: () => 0.5, limits, ...mutant });
		cluster.onEvent.push((node, text) => this.#happened.push(`${node}  ${text}`));
		this.#cluster = cluster;
		this.#seen = 0;
		this.#cut = [];
		this.#states.clear();
		return cluster;
	}

	#do(command: string, words: string[]): void {
		const cluster = this.#cluster;
		const [first = "", second] = words;
		const raftOf = (node: TestNode) => {
			if (node.raft === null) throw new Error(`${node.id} is down`);
			return node.raft;
		};
		const change = (kind: Change["kind"]): void => {
			const node = second ?? "";
			const asked: Change = kind === "promote" ? { kind, node, witness: words[2] === "witness" } : { kind, node };
			this.#say(raftOf(cluster.node(first)).proposeConfiguration(asked));
			cluster.settle(cluster.node(first));
		};
		switch (command) {
			case "cluster":
				this.#make(words);
				break;
			case "join":
				cluster.add(first, false);
				break;
			case "tick":
				for (let tick = 0; tick < Number(second ?? 1); tick++) cluster.tick(cluster.node(first));
				break;
			case "campaign":
			case "elect":
				this.#campaign(cluster.node(first));
				if (command === "elect") this.#settle();
				break;
			case "deliver":
			case "drop":
				for (const message of this.#take(words)) if (command === "deliver") this.#deliver(message);
				break;
			case "persist":
				while (cluster.node(first).persisting !== null) cluster.persist(cluster.node(first));
				break;
			case "gone":
				raftOf(cluster.node(first)).peerGone(second ?? "");
				break;
			case "cut":
				this.#cut = words;
				break;
			case "refuse":
				cluster.node(first).refusePersist();
				break;
			case "settle":
				this.#settle();
				break;
			case "propose":
				this.#say(raftOf(cluster.node(first)).propose(bytesOf(words.slice(1).join(" "))));
				cluster.settle(cluster.node(first));
				break;
			case "read":
				cluster.read(cluster.node(first));
				break;
			case "learner":
				change("add-learner");
				break;
			case "promote":
			case "remove":
				change(command);
				break;
			case "transfer":
				this.#say(raftOf(cluster.node(first)).transferLeadership(second ?? null));
				cluster.settle(cluster.node(first));
				break;
			case "crash":
				cluster.node(first).crash((second ?? "nothing") as Left);
				break;
			case "start":
				cluster.node(first).start();
				cluster.settle(cluster.node(first));
				break;
			case "damage":
				cluster.node(first).damage(Number(second));
				break;
			case "put-back":
				cluster.node(first).putBack(Number(second));
				break;
			case "compact":
				cluster.node(first).compact(Number(second));
				break;
			case "send-snapshot":
				for (const snapshot of cluster.snapshots.splice(0)) cluster.deliverSnapshot(snapshot);
				break;
			case "fail-snapshot":
				for (const snapshot of cluster.snapshots.splice(0)) cluster.failSnapshot(snapshot);
				break;
			case "inject":
				this.#inject(JSON.parse(words.join(" ")) as Partial<Message>);
				break;
			case "snapshot": {
				const [from = "", to = "", term, index, last] = words;
				const configuration = { index: 0, configuration: cluster.initial };
				const meta = { index: Number(index), term: Number(last), configuration };
				cluster.deliverSnapshot({ from, to, term: Number(term), meta });
				break;
			}
			case "status":
				this.#status(cluster.node(first));
				break;
			default:
				throw new Error(`no command ${command}`);
		}
	}

	#say(result: object): void {
		this.#happened.push(`→ ${JSON.stringify(result)}`);
	}

	#campaign(node: TestNode): void {
		for (let tick = 0; tick < 100; tick++) {
			this.#cluster.tick(node);
			if (this.#cluster.messages.some((message) => message.from === node.id && message.type.endsWith("vote"))) return;
			if (node.raft?.status().role === "leader" || node.raft?.status().role === "candidate") return;
		}
		this.#happened.push(`${node.id}  does not campaign`);
	}

	#take([from = "-", to = "-", type = "-"]: string[]): Message[] {
		const matches = (message: Message): boolean =>
			(from === "-" || message.from === from) &&
			(to === "-" || message.to === to) &&
			(type === "-" || message.type === type);
		this.#look();
		const taken = this.#cluster.messages.filter(matches);
		this.#cluster.messages = this.#cluster.messages.filter((message) => !matches(message));
		this.#seen = this.#cluster.messages.length;
		return taken.filter(({ from: one, to: other }) => this.#cut.includes(one) === this.#cut.includes(other));
	}

	#deliver(message: Message): void {
		this.#cluster.deliver(message);
		this.#look();
	}

	#settle(): void {
		for (let turn = 0; turn < 60; turn++) {
			for (const message of this.#take([])) this.#deliver(message);
			for (const node of this.#cluster.nodes.values()) this.#cluster.persist(node);
			this.#look();
			if (this.#cluster.messages.length === 0) return;
		}
		throw new Error("it does not settle");
	}

	#inject(message: Partial<Message>): void {
		const whole = { clusterId: "cluster", ...message } as Message;
		this.#cluster.deliver(whole);
		const { dropped } = this.#cluster.node(whole.to).raft?.status() ?? { dropped: null };
		this.#happened.push(`${whole.to}  dropped so far: ${JSON.stringify(dropped)}`);
	}

	/** What was sent, and who is now what, since the last look. */
	#look(): void {
		for (const message of this.#cluster.messages.slice(this.#seen)) this.#happened.push(describe(message));
		this.#seen = this.#cluster.messages.length;
		for (const node of this.#cluster.nodes.values()) {
			const { raft } = node;
			const status = raft?.status();
			const flags = `${status?.recovering ? ", recovering" : ""}${status?.removed ? ", removed" : ""}`;
			const state = status === undefined ? "down" : `${status.role} of term ${status.term}${flags}`;
			const before = this.#states.get(node.id);
			this.#states.set(node.id, state);
			if (before !== state && before !== undefined) this.#happened.push(`${node.id}  is ${state}`);
		}
	}

	#status(node: TestNode): void {
		const status = node.raft?.status();
		if (status === undefined) return;
		const { voters, witnesses, learners, removed } = status.configuration;
		const list = (name: string, ids: readonly NodeId[]): string => (ids.length > 0 ? ` ${name} ${ids.join(" ")}` : "");
		this.#happened.push(
			`${node.id}  ${status.role} of term ${status.term}, leader ${status.leader ?? "unknown"}, log to ${status.lastIndex} (durable ${status.durableIndex}), commit ${status.commitIndex}`,
			`${node.id}  configuration ${status.configurationIndex}:${list("voters", voters)}${list("witnesses", witnesses)}${list("learners", learners)}${list("removed", removed)}`,
			...status.peers.map(
				(peer) =>
					`${node.id}  ${peer.id}: ${peer.mode}, match ${peer.match}${peer.active ? "" : ", silent"}${peer.recovering ? ", recovering" : ""}`,
			),
		);
	}
}

function describe(message: Message): string {
	const { from, to, type, term } = message;
	return `${from}→${to} ${type}, term ${term}${details(message)}`;
}

function details(message: Message): string {
	switch (message.type) {
		case "pre-vote":
			return `: log to ${message.lastIndex}/${message.lastTerm}`;
		case "vote":
			return `: log to ${message.lastIndex}/${message.lastTerm}${message.transfer ? ", transfer" : ""}`;
		case "pre-vote-answer":
		case "vote-answer":
			return message.granted ? ": yes" : ": no";
		case "append": {
			const entries = message.entries.map((entry) => `${entry.index}/${entry.term} ${textOf(entry)}`.trimEnd());
			return `: after ${message.previousIndex}/${message.previousTerm} [${entries.join(", ")}], commit ${message.commit}`;
		}
		case "append-answer":
			return `: ${message.accepted ? `has ${message.index}` : `not after ${message.index}, maybe after ${message.hintIndex}/${message.hintTerm}`}${health(message)}`;
		case "heartbeat":
			return `: commit ${message.commit}, round ${message.round}${message.recovered === null ? "" : `, recovered at ${message.recovered.index}`}`;
		case "heartbeat-answer":
			return `: round ${message.round}${health(message)}`;
		case "campaign-now":
			return "";
		case "read":
			return "";
		case "read-answer":
			return `: ${message.index}`;
		case "removed":
			return `: at ${message.configurationIndex}`;
	}
}

const health = ({ recoveries, recovering }: { recoveries: number; recovering: boolean }): string =>
	recoveries === 0 ? "" : `, recovery ${recoveries}${recovering ? "" : " done"}`;
