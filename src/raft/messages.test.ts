/** Whatever a peer makes up: no exception, and no effect that an honest message could not have had. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { isValidMessage, type Message } from "./messages.ts";
import { Raft } from "./raft.ts";
import { bytesOf } from "./test-cluster.ts";

const numbers = fc.oneof(
	fc.integer({ min: 0, max: 6 }),
	fc.constantFrom(-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 32 - 1, 2 ** 32, 2 ** 52, 2 ** 53, 1e300),
	fc.constantFrom<unknown>("1", null, undefined, {}, [], 1n, true),
);
const flags = fc.oneof(fc.boolean(), fc.constantFrom<unknown>(null, 0, "true"));
const ids = fc.constantFrom<unknown>("a", "b", "c", "x", "", null, 7, "y".repeat(1000));
const entries = fc.array(
	fc.oneof(
		fc.record({
			index: numbers,
			term: numbers,
			kind: fc.constantFrom<unknown>("command", "configuration", "other", null),
			data: fc.constantFrom<unknown>(
				new Uint8Array(0),
				bytesOf("x"),
				bytesOf('{"voters":["a","b"],"witnesses":[],"learners":[],"removed":[]}'),
				bytesOf('{"voters":[]}'),
				"text",
				null,
			),
		}),
		fc.constantFrom<unknown>(null, 1, "x"),
	),
	{ maxLength: 3 },
);
const messages = fc.record(
	{
		type: fc.constantFrom(
			...["pre-vote", "pre-vote-answer", "vote", "vote-answer", "append", "append-answer", "heartbeat"],
			...["heartbeat-answer", "campaign-now", "read", "read-answer", "removed", "other"],
		),
		clusterId: fc.constantFrom<unknown>("cluster", "cluster", "cluster", "other", null),
		from: ids,
		to: fc.constantFrom<unknown>("a", "a", "a", "b", null),
		term: numbers,
		lastIndex: numbers,
		lastTerm: numbers,
		transfer: flags,
		granted: flags,
		previousIndex: numbers,
		previousTerm: numbers,
		entries: fc.oneof(entries, fc.constantFrom<unknown>(null, {}, "x")),
		commit: numbers,
		accepted: flags,
		index: numbers,
		hintIndex: numbers,
		hintTerm: numbers,
		recoveries: numbers,
		recovering: flags,
		round: numbers,
		recovered: fc.oneof(
			fc.record({ recoveries: numbers, index: numbers }),
			fc.constantFrom<unknown>(null, undefined, 1),
		),
		request: numbers,
		configurationIndex: numbers,
	},
	{ requiredKeys: ["type"] },
);

function someRaft(): Raft {
	const configuration = { voters: ["a", "b", "c"], witnesses: [], learners: [], removed: [] };
	return new Raft({
		clusterId: "cluster",
		nodeId: "a",
		hardState: { term: 1, vote: null, recoveries: 0, recovering: false },
		log: { snapshotIndex: 0, snapshotTerm: 0, lastIndex: 2, termRuns: [{ firstIndex: 1, term: 1 }] },
		configurations: [{ index: 0, configuration }],
		appliedIndex: 1,
		recovering: false,
		random: () => 0.5,
	});
}

function work(raft: Raft): void {
	for (let ready = raft.ready(); ready !== null; ready = raft.ready())
		if (ready.persist !== null) raft.persisted(ready.persist.token);
}

test("made-up messages never throw, and what is committed never goes back", () => {
	fc.assert(
		fc.property(fc.array(messages, { maxLength: 12 }), (all) => {
			const raft = someRaft();
			let commit = 0;
			let term = 0;
			for (const message of all) {
				raft.step(message as unknown as Message);
				raft.tick();
				work(raft);
				const status = raft.status();
				expect(status.commitIndex).toBeGreaterThanOrEqual(commit);
				expect(status.term).toBeGreaterThanOrEqual(term);
				expect(status.term).toBeLessThan(2 ** 32);
				commit = status.commitIndex;
				term = status.term;
			}
		}),
		{ numRuns: 3000, seed: 7 },
	);
});

test("things that are no messages", () => {
	for (const thing of [null, undefined, 1, "x", [], {}, { type: "append" }])
		expect(isValidMessage(thing as unknown as Message)).toBe(false);
});

test("the last term is never left by campaigning", () => {
	const raft = someRaft();
	const header = { clusterId: "cluster", from: "b", to: "a" };
	raft.step({
		...header,
		type: "heartbeat",
		term: 2 ** 32 - 1,
		commit: 0,
		commitTerm: 0,
		recoveries: 0,
		round: 0,
		recovered: null,
	});
	for (let tick = 0; tick < 100; tick++) {
		raft.tick();
		work(raft);
	}
	expect(raft.status().term).toBe(2 ** 32 - 1);
});
