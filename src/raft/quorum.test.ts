/** The cases of etcd's quorum package, read from ../shared/data/quorum, and some of our own. */
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { quorumIndex, voteResult } from "./quorum.ts";

const folder = join(import.meta.dir, "..", "..", "..", "shared", "data", "quorum");
const present = existsSync(folder);
const where = present ? "" : ` (skipped: there is no ${folder})`;

type Case = { words: Map<string, string[]>; answer: string };

/** A command line, `----`, the output, whose last line is the answer. */
function casesOf(file: string, command: string): Case[] {
	const text = readFileSync(join(folder, file), "utf8");
	const lines = text.split("\n").map((line) => line.trimEnd());
	return lines.flatMap((line, at) => {
		if (lines[at + 1] !== "----" || !line.startsWith(command)) return [];
		const words = [...line.matchAll(/(\w+)=\(([^)]*)\)/g)].map(
			([, name = "", list = ""]) => [name, list.split(",").map((word) => word.trim())] as const,
		);
		const output = lines.slice(at + 2, at + 2 + lines.slice(at + 2).indexOf(""));
		return [{ words: new Map(words), answer: (output.at(-1) ?? "").replace(/^<.*>/, "") }];
	});
}

test.skipIf(!present)(`committed indexes of etcd's cases${where}`, () => {
	const cases = casesOf("majority_commit.txt", "committed");
	expect(cases.length).toBe(readFileSync(join(folder, "majority_commit.txt"), "utf8").split("----").length - 1);
	for (const { words, answer } of cases) {
		const indexes = (words.get("idx") ?? []).map((word) => (word === "_" ? 0 : Number(word)));
		expect(indexes.length).toBe((words.get("cfg") ?? []).length);
		expect(quorumIndex(indexes)).toBe(answer === "∞" ? Number.POSITIVE_INFINITY : Number(answer));
	}
});

test.skipIf(!present)(`vote results of etcd's cases${where}`, () => {
	const cases = casesOf("majority_vote.txt", "vote");
	expect(cases.length).toBe(readFileSync(join(folder, "majority_vote.txt"), "utf8").split("----").length - 1);
	const names: Record<string, string> = { VoteWon: "won", VoteLost: "lost", VotePending: "pending" };
	for (const { words, answer } of cases) {
		const votes = words.get("votes") ?? [];
		const count = (vote: string): number => votes.filter((word) => word === vote).length;
		expect(voteResult(votes.length, count("y"), count("n"))).toBe(names[answer] as "won");
	}
});

test("the index of a majority is the middle one, or the lower of the two", () => {
	expect(quorumIndex([5])).toBe(5);
	expect(quorumIndex([1, 9])).toBe(1);
	expect(quorumIndex([7, 1, 9])).toBe(7);
	expect(quorumIndex([4, 4, 2, 9])).toBe(4);
	expect(quorumIndex([1, 2, 3, 4])).toBe(2);
});
