/** Bounds and duties that a cluster's transcript does not show. */
import { describe, expect, test } from "bun:test";
import { Raft } from "./raft.ts";
import { bytesOf } from "./test-cluster.ts";
import type { Limits, Ready } from "./types.ts";

const configurationOf = (...voters: string[]) => ({ voters, witnesses: [], learners: [], removed: [] });

function raftOf(voters: string[], limits: Partial<Limits> = {}): Raft {
	return new Raft({
		clusterId: "cluster",
		nodeId: "a",
		hardState: { term: 0, vote: null, recoveries: 0, recovering: false },
		log: { snapshotIndex: 0, snapshotTerm: 0, lastIndex: 0, termRuns: [] },
		configurations: [{ index: 0, configuration: configurationOf(...voters) }],
		appliedIndex: 0,
		recovering: false,
		random: () => 0,
		limits,
	});
}

/** Everything is durable at once; says what was to be done. */
function work(raft: Raft): Ready[] {
	const all: Ready[] = [];
	for (let ready = raft.ready(); ready !== null; ready = raft.ready()) {
		all.push(ready);
		if (ready.persist !== null) raft.persisted(ready.persist.token);
		if (ready.committed !== null) raft.applied(ready.committed.lastIndex);
	}
	return all;
}

function leader(limits: Partial<Limits> = {}): Raft {
	const raft = raftOf(["a"], limits);
	for (let tick = 0; tick < 10; tick++) raft.tick();
	work(raft);
	expect(raft.status().role).toBe("leader");
	return raft;
}

describe("a cluster of one", () => {
	test("leads, commits once it is durable, and answers reads", () => {
		const raft = leader();
		expect(raft.propose(bytesOf("x"))).toEqual({ index: 2, term: 1 });
		const ready = raft.ready();
		expect(ready?.committed).toBeNull();
		expect(ready?.persist?.entries.map(({ index }) => index)).toEqual([2]);
		raft.persisted(ready?.persist?.token ?? 0);
		raft.readIndex(7);
		const after = raft.ready();
		expect(after?.committed).toMatchObject({ firstIndex: 2, lastIndex: 2 });
		expect(after?.reads).toEqual([{ token: 7, index: 2 }]);
		expect(raft.ready()).toBeNull();
	});

	test("one write is under way at a time, and what comes meanwhile goes together", () => {
		const raft = leader();
		raft.propose(bytesOf("1"));
		const first = raft.ready()?.persist;
		raft.propose(bytesOf("2"));
		raft.propose(bytesOf("3"));
		expect(raft.ready()).toBeNull();
		raft.persisted(first?.token ?? 0);
		expect(raft.ready()?.persist?.entries.map(({ index }) => index)).toEqual([3, 4]);
		expect(() => raft.persisted(99)).toThrow("the write that is under way is reported");
	});
});

describe("bounds", () => {
	test("proposals", () => {
		const raft = leader({ maxUncommittedBytes: 200, maxEntryBytes: 100 });
		expect(raft.propose(new Uint8Array(101))).toEqual({ refused: "too-large", leader: "a" });
		expect(raft.propose(new Uint8Array(100))).toHaveProperty("index");
		expect(raft.propose(new Uint8Array(100))).toEqual({ refused: "busy", leader: "a" });
		work(raft);
		expect(raft.propose(new Uint8Array(100))).toHaveProperty("index");
		expect(raftOf(["a", "b"]).propose(bytesOf("x"))).toEqual({ refused: "not-leader", leader: null });
	});

	test("one write", () => {
		const raft = leader({ maxPersistBytes: 100 });
		for (let each = 0; each < 4; each++) raft.propose(new Uint8Array(60));
		const sizes = work(raft).flatMap(({ persist }) => persist?.entries.length ?? []);
		expect(sizes).toEqual([1, 1, 1, 1]);
	});

	test("what is being applied", () => {
		const raft = leader({ maxApplyEntries: 2 });
		for (let each = 0; each < 5; each++) raft.propose(bytesOf("x"));
		raft.persisted(raft.ready()?.persist?.token ?? 0);
		expect(raft.ready()?.committed).toMatchObject({ firstIndex: 2, lastIndex: 3 });
		expect(raft.ready()).toBeNull();
		raft.applied(2);
		expect(raft.ready()?.committed).toMatchObject({ firstIndex: 4, lastIndex: 4 });
	});

	test("reads", () => {
		const raft = raftOf(["a", "b"], { maxPendingReads: 2 });
		raft.step({
			...from("b"),
			type: "heartbeat",
			term: 1,
			commit: 0,
			commitTerm: 0,
			recoveries: 0,
			round: 0,
			recovered: null,
		});
		for (const token of [1, 2, 3]) raft.readIndex(token);
		expect(raft.ready()?.reads).toEqual([{ token: 3, index: null }]);
		for (let tick = 0; tick < 10; tick++) raft.tick();
		const failed = work(raft).flatMap(({ reads }) => reads);
		expect(failed).toEqual([
			{ token: 1, index: null },
			{ token: 2, index: null },
		]);
	});

	test("entries that the disk has not taken yet", () => {
		const raft = raftOf(["a", "b"], { maxUnpersistedBytes: 100 });
		const append = (index: number) =>
			raft.step({
				...from("b"),
				type: "append",
				term: 1,
				previousIndex: index - 1,
				previousTerm: index === 1 ? 0 : 1,
				entries: [{ index, term: 1, kind: "command", data: new Uint8Array(100) }],
				commit: 0,
			});
		append(1);
		append(2);
		expect(raft.status().lastIndex).toBe(1);
		work(raft);
		append(2);
		expect(raft.status().lastIndex).toBe(2);
	});
});

const from = (id: string) => ({ clusterId: "cluster", from: id, to: "a" });

test("a snapshot is installed while a vote is being written", () => {
	const raft = raftOf(["a", "b", "c"]);
	const configuration = { index: 3, configuration: configurationOf("a", "b", "c") };
	expect(raft.snapshotReceived("b", 1, { index: 9, term: 1, configuration })).toBe("install");
	const write = raft.ready()?.persist;
	expect(write).toMatchObject({ hardState: { term: 1 }, entries: [], truncateAfter: null });
	expect(raft.snapshotReceived("b", 1, { index: 12, term: 1, configuration })).toBe("busy");
	raft.snapshotInstalled();
	expect(raft.ready()).toBeNull();
	raft.persisted(write?.token ?? 0);
	expect(raft.ready()?.messages).toMatchObject([{ type: "append-answer", accepted: true, index: 9 }]);
	expect(raft.status()).toMatchObject({ commitIndex: 9, appliedIndex: 9, lastIndex: 9, durableIndex: 9 });
	expect(raft.configurationAt(9)).toEqual(configuration);
});

test("what is given at the start has to fit together", () => {
	const options = {
		clusterId: "cluster",
		nodeId: "a",
		hardState: { term: 1, vote: null, recoveries: 0, recovering: false },
		log: { snapshotIndex: 0, snapshotTerm: 0, lastIndex: 2, termRuns: [{ firstIndex: 1, term: 1 }] },
		configurations: [],
		appliedIndex: 2,
		recovering: false,
		random: () => 0,
	};
	expect(new Raft(options).status()).toMatchObject({ commitIndex: 2, lastIndex: 2 });
	expect(() => new Raft({ ...options, appliedIndex: 3 })).toThrow("what is applied is in the log");
	expect(() => new Raft({ ...options, hardState: { ...options.hardState, term: 0 } })).toThrow("the term is at least");
	expect(() => new Raft({ ...options, log: { ...options.log, termRuns: [] } })).toThrow("all terms are known");
});

describe("a disk of an earlier day", () => {
	const entries = [1, 2, 3].map((index) => ({ index, term: 1, kind: "command" as const, data: bytesOf("x") }));
	const follower = (): Raft => {
		const raft = raftOf(["a", "b", "c"]);
		const append = { type: "append" as const, previousIndex: 0, previousTerm: 0, entries, commit: 1 };
		raft.step({ ...from("b"), ...append, term: 1 });
		work(raft);
		return raft;
	};
	const heartbeat = (commit: number, commitTerm: number) =>
		({
			...from("c"),
			type: "heartbeat",
			term: 2,
			commit,
			commitTerm,
			recoveries: 0,
			round: 0,
			recovered: null,
		}) as const;

	test("another entry where this node is known to have the leader's: nothing is committed by that, and it recovers", () => {
		const raft = follower();
		raft.step(heartbeat(3, 2));
		const written = work(raft).flatMap(({ persist }) => persist?.hardState ?? []);
		expect(raft.status()).toMatchObject({ commitIndex: 1, recovering: true });
		// Nobody but this leader has its vote in this term; and the count is none that could have been used before.
		expect(written.at(-1)).toMatchObject({ term: 2, vote: "c", recovering: true });
		expect(written.at(-1)?.recoveries).toBeGreaterThan(1000);
		raft.step(heartbeat(2, 2));
		work(raft);
		expect(raft.status().commitIndex).toBe(1);
	});

	test("a lower count of recoveries than the leader has heard of it: the next one is above that", () => {
		const raft = follower();
		raft.step({ ...heartbeat(1, 1), recoveries: 5000 });
		const written = work(raft).flatMap(({ persist }) => persist?.hardState ?? []);
		expect(written.at(-1)).toMatchObject({ recovering: true });
		expect(written.at(-1)?.recoveries).toBeGreaterThan(5000);
	});

	test("the same entry: nothing but news of the commit index; where the leader cannot say of which term it is, not even that", () => {
		for (const [term, commitIndex] of [
			[1, 3],
			[0, 1],
		] as const) {
			const raft = follower();
			raft.step(heartbeat(3, term));
			work(raft);
			expect(raft.status()).toMatchObject({ commitIndex, recovering: false });
		}
	});

	test("a leader of an earlier version never says the term: what this node has of that leader's own term is its entry all the same", () => {
		const raft = follower();
		const append = { type: "append" as const, previousIndex: 3, previousTerm: 1, commit: 1 };
		const entries = [{ index: 4, term: 2, kind: "command" as const, data: bytesOf("y") }];
		raft.step({ ...from("c"), ...append, entries, term: 2 });
		work(raft);
		// The append with this news may be lost, and then only the heartbeat has it.
		raft.step(heartbeat(4, 0));
		work(raft);
		expect(raft.status()).toMatchObject({ commitIndex: 4, recovering: false });
	});
});
