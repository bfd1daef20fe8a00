/** Which changes of the members are possible, and what an entry with a configuration holds. */
import { expect, test } from "bun:test";
import { ConfigurationHistory, changed, decodeConfiguration, encodeConfiguration } from "./configuration.ts";
import { bytesOf } from "./test-cluster.ts";
import { type Change, type Configuration, defaultLimits } from "./types.ts";

const limits = { ...defaultLimits, maxVoters: 3, maxMembers: 4, maxRemoved: 2 };
const three: Configuration = { voters: ["a", "b", "w"], witnesses: ["w"], learners: ["l"], removed: ["r"] };
const one: Configuration = { voters: ["a"], witnesses: [], learners: ["l"], removed: [] };

const cases: [Configuration, Change, Configuration | string][] = [
	[three, { kind: "add-learner", node: "a" }, "already-a-member"],
	[three, { kind: "add-learner", node: "l" }, "already-a-member"],
	[three, { kind: "add-learner", node: "r" }, "was-removed"],
	[three, { kind: "add-learner", node: "x" }, "too-many-members"],
	[one, { kind: "add-learner", node: "x" }, { ...one, learners: ["l", "x"] }],
	[three, { kind: "promote", node: "l", witness: false }, "too-many-members"],
	[three, { kind: "promote", node: "a", witness: false }, "already-a-member"],
	[three, { kind: "promote", node: "x", witness: false }, "not-a-member"],
	[one, { kind: "promote", node: "l", witness: false }, { ...one, voters: ["a", "l"], learners: [] }],
	[one, { kind: "promote", node: "l", witness: true }, { ...one, voters: ["a", "l"], witnesses: ["l"], learners: [] }],
	[three, { kind: "remove", node: "x" }, "not-a-member"],
	[one, { kind: "remove", node: "a" }, "last-voter"],
	[three, { kind: "remove", node: "w" }, { voters: ["a", "b"], witnesses: [], learners: ["l"], removed: ["r", "w"] }],
	[three, { kind: "remove", node: "l" }, { ...three, learners: [], removed: ["r", "l"] }],
	[
		{ ...one, removed: ["p", "q"] },
		{ kind: "remove", node: "l" },
		{ ...one, learners: [], removed: ["q", "l"] },
	],
];

for (const [before, change, after] of cases)
	test(`${change.kind} ${change.node} with voters ${before.voters.join(" ")}: ${typeof after === "string" ? after : "done"}`, () =>
		expect(changed(before, change, limits)).toEqual(after as Configuration));

test("a configuration comes back from an entry, and nothing else is taken for one", () => {
	expect(decodeConfiguration(encodeConfiguration(three))).toEqual(three);
	for (const text of [
		"",
		"null",
		"[]",
		"{",
		'{"voters":["a"],"witnesses":[],"learners":[]}',
		'{"voters":[],"witnesses":[],"learners":[],"removed":[]}',
		'{"voters":["a"],"witnesses":["b"],"learners":[],"removed":[]}',
		'{"voters":["a","a"],"witnesses":[],"learners":[],"removed":[]}',
		'{"voters":["a"],"witnesses":[],"learners":["a"],"removed":[]}',
		'{"voters":["a",1],"witnesses":[],"learners":[],"removed":[]}',
	])
		expect(decodeConfiguration(bytesOf(text))).toBeNull();
	expect(decodeConfiguration(Uint8Array.of(0xff))).toBeNull();
});

test("the history: in force from its entry on, back when that is cut off, kept when it goes into a snapshot", () => {
	const history = new ConfigurationHistory([{ index: 0, configuration: one }]);
	history.append({ index: 5, configuration: three });
	history.append({ index: 9, configuration: one });
	expect(history.latest.index).toBe(9);
	expect(history.at(8).index).toBe(5);
	expect(history.truncateAfter(8)).toBe(true);
	expect(history.truncateAfter(8)).toBe(false);
	expect(history.latest).toEqual({ index: 5, configuration: three });
	history.compact(7);
	expect(history.at(5).index).toBe(5);
	expect(history.truncateAfter(7)).toBe(false);
});
