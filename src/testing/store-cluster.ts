/**
 * Nodes with real stores on real folders, in one process: what they send each other goes through memory, in order, and can be
 * cut. Time is real, and short: a test waits for what comes about, never for a while.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { present } from "../lib/assert.ts";
import { systemClock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { idSource } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import type { Message } from "../raft/messages.ts";
import { type OpenStoreOptions, openStore, type StoreLinks } from "../store/open-store.ts";
import { proposer } from "../store/proposer.ts";
import type { RaftConsensus } from "../store/raft/raft-consensus.ts";
import type { SnapshotMessage } from "../store/raft/transport.ts";
import type { Proposer, Store } from "../store/store.ts";
import { clusterIds, fixtureCluster, fixtureId, fixtureMember, fixtureUser } from "./fixtures.ts";
import { randomNumbers } from "./raft/raft-cluster.ts";

export class StoreMember {
	readonly id: string;
	readonly name: string;
	readonly dataDir: string;
	readonly founder: boolean;
	store: Store | null = null;
	consensus: RaftConsensus | null = null;
	/** Snapshots that became its state. */
	replaced = 0;

	constructor(id: string, name: string, dataDir: string, founder: boolean) {
		this.id = id;
		this.name = name;
		this.dataDir = dataDir;
		this.founder = founder;
	}

	get up(): Store {
		return present(this.store, `the running node ${this.name}`);
	}

	get raft(): RaftConsensus {
		return present(this.consensus, `the running node ${this.name}`);
	}

	get system(): Proposer["proposeSystem"] {
		return proposer(this.up, systemClock, ids).proposeSystem;
	}
}

const ids = idSource(systemClock, systemRandom);

export class StoreCluster {
	readonly folder = mkdtempSync(join(tmpdir(), "limiquantix-stores-"));
	readonly members: StoreMember[] = [];
	/** Names; nothing comes from them, and nothing reaches them. */
	readonly cutOff = new Set<string>();
	/** What is let through. */
	filter: (from: StoreMember, message: Message | SnapshotMessage) => boolean = () => true;
	readonly #random = randomNumbers(1);

	/** A cluster of one, "node-1", and as many others as members that vote. */
	static async start(size: number, options: Partial<OpenStoreOptions> = {}): Promise<StoreCluster> {
		const cluster = new StoreCluster();
		await cluster.open(cluster.#add(), options);
		await cluster.members[0]?.system(fixtureCluster());
		while (cluster.members.length < size) await cluster.join(options);
		return cluster;
	}

	#add(): StoreMember {
		const number = this.members.length + 1;
		const id = number === 1 ? clusterIds.node : fixtureId(0x990 + number);
		const member = new StoreMember(id, `node-${number}`, join(this.folder, `node-${number}`), number === 1);
		this.members.push(member);
		return member;
	}

	member(number: number): StoreMember {
		return present(this.members[number - 1], `the node ${number}`);
	}

	get leader(): StoreMember {
		const leading = this.members.filter(
			({ consensus, name }) => !this.cutOff.has(name) && consensus?.details().role === "leader",
		);
		return present(
			leading.find(({ consensus }) => consensus?.details().quorum),
			"a leader",
		);
	}

	/** One more node, which votes when this resolves. */
	async join(options: Partial<OpenStoreOptions> = {}): Promise<StoreMember> {
		const member = await this.admit(options);
		await this.promote(member);
		return member;
	}

	/** One more node, which learns. `opened`: between its start and the first that it hears. */
	async admit(
		options: Partial<OpenStoreOptions> = {},
		opened: () => Promise<void> = async () => {},
	): Promise<StoreMember> {
		const { system, raft } = this.leader;
		const member = this.#add();
		for (const body of fixtureMember({ id: member.id, name: member.name }, systemClock.nowMs())) await system(body);
		await this.open(member, options);
		await opened();
		await raft.changeMembers({ kind: "add-learner", node: member.id });
		return member;
	}

	/** Once it has all that the leader has. */
	async promote(member: StoreMember): Promise<void> {
		const { raft } = this.leader;
		await until(() => {
			const { peers, lastIndex } = raft.details();
			return peers.some(({ id, mode, match }) => id === member.id && mode === "replicate" && match >= lastIndex);
		});
		await raft.changeMembers({ kind: "promote", node: member.id, witness: false });
	}

	async open(member: StoreMember, options: Partial<OpenStoreOptions> = {}): Promise<void> {
		member.store = await openStore({
			dataDir: member.dataDir,
			identity: { clusterId: clusterIds.cluster, nodeId: member.id, founder: member.founder },
			clock: systemClock,
			logger: silentLogger,
			random: this.#random,
			fsync: false,
			links: this.#linksOf(member),
			onConsensus: (consensus) => {
				member.consensus = consensus;
			},
			onReplaced: () => {
				member.replaced += 1;
			},
			timing: { tickMs: 10, limits: { electionTicks: 20, electionJitterTicks: 20, heartbeatTicks: 4 } },
			onFatal: (error) => {
				throw error;
			},
			...options,
		});
	}

	/** As a process that ends: in order. */
	async close(member: StoreMember): Promise<void> {
		const { store } = member;
		member.store = null;
		member.consensus = null;
		await store?.close();
	}

	async addUsers(by: StoreMember, first: number, count: number): Promise<void> {
		for (let number = first; number < first + count; number++) {
			const user = fixtureUser({ id: ids.newId(), name: `user-${number}` });
			await by.system({ kind: "userCreate", user, passwordHash: "$x" });
		}
	}

	/** All that run have the same. */
	async converge(): Promise<void> {
		const running = this.members.filter(({ store, name }) => store !== null && !this.cutOff.has(name));
		await until(() => {
			const [first, ...others] = running.map(({ up }) => up.appliedIndex);
			return others.every((index) => index === first) && first === this.leader.raft.status().commitIndex;
		});
	}

	async remove(): Promise<void> {
		for (const member of this.members) await this.close(member);
		rmSync(this.folder, { recursive: true });
	}

	#linksOf(from: StoreMember): StoreLinks {
		const deliver = (to: string, message: Message | SnapshotMessage, give: (to: RaftConsensus) => void) => {
			if (!this.filter(from, message)) return;
			setImmediate(() => {
				const target = this.#reachable(from, to);
				if (target?.consensus != null) give(target.consensus);
			});
		};
		return {
			transport: {
				send: (message) => deliver(message.to, message, (to) => to.receive(message)),
				sendSnapshot: (to, message) => deliver(to, message, (target) => target.receiveSnapshot(from.id, message)),
			},
			forward: async (leader, data, urgency) => {
				const target = this.#reachable(from, leader)?.consensus;
				if (target == null)
					throw new AppError("unavailable", "The leader cannot be reached.", { context: { outcome: "not-proposed" } });
				await target.proposeHere(data, urgency);
			},
		};
	}

	#reachable(from: StoreMember, id: string): StoreMember | undefined {
		const target = this.members.find((member) => member.id === id);
		return target === undefined || [from, target].some(({ name }) => this.cutOff.has(name)) ? undefined : target;
	}
}

/** Waits for what comes about by itself; a state that cannot be asked about just now has not come about. */
export async function until(condition: () => boolean, limitMs = 20_000): Promise<void> {
	const deadline = performance.now() + limitMs;
	for (;;) {
		try {
			if (condition()) return;
		} catch (error) {
			if (performance.now() > deadline) throw error;
		}
		if (performance.now() > deadline) throw new Error("what was waited for did not come about");
		await new Promise((resolve) => setImmediate(resolve));
	}
}
