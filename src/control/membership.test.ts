/** The rounds of the leader over a cluster that grows beyond what may vote, and over changes that are refused. */
import { expect, test } from "bun:test";
import { silentLogger } from "../lib/log.ts";
import { maxVoters } from "../model/member-limits.ts";
import type { Node } from "../model/node.ts";
import type { CommandBody } from "../store/command.ts";
import type { Store } from "../store/store.ts";
import { fixtureId, fixtureNode } from "../testing/fixtures.ts";
import { TestCluster, type TestNode } from "../testing/raft/raft-cluster.ts";
import { startMembership } from "./membership.ts";

const idOf = (number: number) => fixtureId(0x900 + number);

/** Real consensus of all nodes, each with its rounds; the state is one list for all of them. */
class Rounds {
	readonly nodes = new Map<string, Node>();
	readonly proposed: CommandBody[] = [];
	/** Objects that the state has on each node. */
	onEach = 1;
	readonly cluster: TestCluster;
	readonly #ends: (() => void)[] = [];

	private constructor(cluster: TestCluster) {
		this.cluster = cluster;
	}

	static async start(voters: number): Promise<Rounds> {
		const ids = Array.from({ length: voters }, (_, at) => idOf(at + 1));
		const rounds = new Rounds(await TestCluster.start({ voters: ids, forwards: true }));
		for (const id of ids) rounds.#admit(id, "ready");
		await rounds.cluster.elect();
		return rounds;
	}

	async join(number: number): Promise<void> {
		await this.cluster.join(idOf(number));
		this.#admit(idOf(number), "joining");
	}

	#admit(id: string, phase: Node["status"]["phase"]): void {
		const made = fixtureNode({ id, name: `n${this.nodes.size + 1}` });
		this.nodes.set(id, { ...made, status: { ...made.status, phase } });
		const store: Partial<Store> = {
			all: (() => [...this.nodes.values()]) as Store["all"],
			count: () => this.onEach,
			appliedIndex: Number.MAX_SAFE_INTEGER,
		};
		const proposeSystem = async (body: CommandBody) => {
			this.proposed.push(body);
			if (body.kind === "nodeLost") this.set(body.id, "not-ready", true);
			if (body.kind === "nodeGone") this.nodes.delete(body.id);
			return { index: 1, replayed: false, targets: [], taskId: null };
		};
		this.#ends.push(
			startMembership({
				...{ consensus: this.cluster.node(id).up, store: store as Store, proposer: { proposeSystem } },
				...{ memberFeatures: { lacking: () => [] }, clock: this.cluster.clock, logger: silentLogger },
			}),
		);
	}

	set(id: string, phase: Node["status"]["phase"], lost = false): void {
		const node = this.nodes.get(id) as Node;
		this.nodes.set(id, { ...node, status: { ...node.status, phase, ...(lost ? { lost } : {}) } });
	}

	get leader(): TestNode {
		return this.cluster.elected() as TestNode;
	}

	/** How many vote and learn, once that is so. */
	until(voters: number, learners: number): Promise<boolean> {
		return this.cluster.run(60_000, () => {
			const now = this.cluster.elected()?.up.details().configuration;
			return now?.voters.length === voters && now.learners.length === learners;
		});
	}

	async untilLost(id: string): Promise<boolean> {
		return this.cluster.run(30_000, () => this.proposed.some((body) => body.kind === "nodeLost" && body.id === id));
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const end of this.#ends) end();
		await this.cluster.close();
	}
}

test("of twenty nodes fifteen vote; the others are members all the same, and vote when one of those has gone", async () => {
	await using rounds = await Rounds.start(1);
	const { cluster } = rounds;
	for (let number = 2; number <= 20; number++) await rounds.join(number);
	expect(await rounds.until(maxVoters, 5)).toBe(true);
	for (const id of rounds.nodes.keys()) rounds.set(id, "ready");

	// Who does not vote has everything, asks and changes what it likes.
	const { learners } = rounds.leader.up.details().configuration;
	const [learner = ""] = learners;
	await cluster.fill(rounds.leader.id, "x", 2);
	await cluster.fill(learner, "y", 2);
	await cluster.converge();
	expect(cluster.node(learner).values).toEqual(["x0", "x1", "y0", "y1"]);
	expect(cluster.node(learner).up.status()).toMatchObject({ leader: rounds.leader.id, quorum: true });
	const read = cluster.node(learner).up.readIndex();
	await cluster.run(500);
	expect(await read).toBe(rounds.leader.up.details().commitIndex);

	// One that votes is silent, and one that does not: both are said to be lost.
	const [silent = ""] = cluster.others(rounds.leader.id).filter((id) => !learners.includes(id));
	const last = learners.at(-1) ?? "";
	for (const id of [silent, last]) cluster.isolate(id);
	for (const id of [silent, last]) expect(await rounds.untilLost(id)).toBe(true);

	// It is removed: the first of the others votes in its place.
	rounds.set(silent, "left");
	expect(await rounds.until(maxVoters, 4)).toBe(true);
	const { voters } = rounds.leader.up.details().configuration;
	expect([voters.includes(silent), voters.includes(learner)]).toEqual([false, true]);
});

test("a node whose removal would cost the quorum stays, and a dead one is said to be lost and can go first", async () => {
	await using rounds = await Rounds.start(3);
	const { cluster } = rounds;
	const { voters } = rounds.leader.up.details().configuration;
	const [leaving = "", dead = ""] = voters.filter((id) => id !== rounds.leader.id);
	cluster.isolate(dead);
	await cluster.run(1_000);
	rounds.set(leaving, "left");
	expect(await rounds.untilLost(dead)).toBe(true);
	expect(rounds.leader.up.details().configuration.voters).toHaveLength(3);
	// Whoever of them is the first in the list.
	rounds.set(dead, "left");
	expect(await rounds.until(1, 0)).toBe(true);
});

test("one with nothing on it is forgotten once Raft has let it go, and each member knows its id all the same", async () => {
	await using rounds = await Rounds.start(3);
	const { cluster } = rounds;
	const [, gone = ""] = rounds.leader.up.details().configuration.voters.filter((id) => id !== rounds.leader.id);
	cluster.isolate(gone);
	rounds.set(gone, "left");
	expect(await rounds.until(2, 0)).toBe(true);
	await cluster.run(3_000);
	expect(rounds.nodes.has(gone)).toBe(true);
	rounds.onEach = 0;
	expect(await cluster.run(3_000, () => !rounds.nodes.has(gone))).toBe(true);
	for (const id of rounds.nodes.keys()) expect(cluster.node(id).up.details().configuration.removed).toEqual([gone]);
});
