/** A leader whose log is longer than what it holds in memory: entries of before its start are read from the disk. */
import { expect, test } from "bun:test";
import type { Message } from "./messages.ts";
import { Raft } from "./raft.ts";
import { bytesOf } from "./test-cluster.ts";
import type { Fetch, Limits } from "./types.ts";

class Leader {
	readonly raft: Raft;
	messages: Message[] = [];
	fetches: Fetch[] = [];

	/** Has five entries of term 1 on its disk, and was elected in term 2 with the vote of b. */
	constructor(limits: Partial<Limits> = {}) {
		this.raft = new Raft({
			clusterId: "cluster",
			nodeId: "a",
			hardState: { term: 1, vote: null, recoveries: 0, recovering: false },
			log: { snapshotIndex: 0, snapshotTerm: 0, lastIndex: 5, termRuns: [{ firstIndex: 1, term: 1 }] },
			configurations: [{ index: 0, configuration: { voters: ["a", "b"], witnesses: [], learners: [], removed: [] } }],
			appliedIndex: 0,
			recovering: false,
			random: () => 0,
			limits,
		});
		for (let tick = 0; tick < 10; tick++) this.raft.tick();
		this.work();
		this.raft.step({ type: "pre-vote-answer", ...this.#header, term: 2, granted: true });
		this.work();
		this.raft.step({ type: "vote-answer", ...this.#header, term: 2, granted: true });
		this.work();
		expect(this.raft.role).toBe("leader");
	}

	get #header() {
		return { clusterId: "cluster", from: "b", to: "a", term: 2 };
	}

	/** Everything is durable at once. */
	work(): void {
		this.fetches = [];
		for (let ready = this.raft.ready(); ready !== null; ready = this.raft.ready()) {
			this.messages.push(...ready.messages);
			this.fetches.push(...ready.fetches);
			if (ready.persist !== null) this.raft.persisted(ready.persist.token);
			if (ready.committed !== null) this.raft.applied(ready.committed.lastIndex);
		}
	}

	answer(accepted: boolean, index: number, hintIndex = 0): void {
		const hintTerm = hintIndex > 0 ? 1 : 0;
		const health = { recoveries: 0, recovering: false };
		this.raft.step({ type: "append-answer", ...this.#header, ...health, accepted, index, hintIndex, hintTerm });
		this.work();
	}

	/** b has the first two entries, and says so. */
	findCommonEntry(): void {
		this.answer(false, 5, 2);
		this.answer(true, 2);
	}
}

test("a log that lacks what it should have is asked once a tick, not for ever", () => {
	const leader = new Leader();
	leader.findCommonEntry();
	for (let tick = 0; tick < 3; tick++) {
		expect(leader.fetches.map(({ firstIndex }) => firstIndex)).toEqual([3]);
		leader.raft.entriesRead(leader.fetches[0]?.request ?? 0, []);
		leader.work();
		expect(leader.fetches).toEqual([]);
		leader.raft.tick();
		leader.work();
	}
	const entries = [3, 4, 5].map((index) => ({ index, term: 1, kind: "command" as const, data: bytesOf("x") }));
	leader.messages = [];
	leader.raft.entriesRead(leader.fetches[0]?.request ?? 0, entries);
	leader.work();
	expect(leader.messages.filter(({ type }) => type === "append")).toMatchObject([
		{ previousIndex: 2, entries: [{ index: 3 }, { index: 4 }, { index: 5 }] },
		{ previousIndex: 5, entries: [{ index: 6 }] },
	]);
});

test("what earlier leaders left uncommitted counts: nothing is taken on top of too much", () => {
	const leader = new Leader({ maxUncommittedEntries: 6 });
	expect(leader.raft.propose(bytesOf("x"))).toEqual({ refused: "busy", leader: "a" });
	leader.answer(true, 6);
	expect(leader.raft.status().commitIndex).toBe(6);
	expect(leader.raft.propose(bytesOf("x"))).toEqual({ index: 7, term: 2 });
});

test("the commit index alone needs no answer; a lost entry is found all the same", () => {
	const leader = new Leader();
	leader.answer(true, 6);
	leader.messages = [];
	leader.raft.propose(bytesOf("x"));
	leader.work();
	leader.answer(true, 7);
	expect(leader.messages).toMatchObject([
		{ type: "append", entries: [{ index: 7 }], commit: 6 },
		{ type: "append", previousIndex: 7, entries: [], commit: 7 },
	]);
	// The answer to the next entry is lost: two heartbeats later the follower is asked.
	leader.raft.propose(bytesOf("y"));
	leader.work();
	leader.messages = [];
	for (let heartbeat = 0; heartbeat < 2; heartbeat++) {
		const health = { recoveries: 0, recovering: false };
		leader.raft.step({
			type: "heartbeat-answer",
			clusterId: "cluster",
			from: "b",
			to: "a",
			term: 2,
			round: 0,
			...health,
		});
		leader.work();
	}
	expect(leader.messages).toMatchObject([{ type: "append", previousIndex: 8, entries: [], commit: 0 }]);
});
