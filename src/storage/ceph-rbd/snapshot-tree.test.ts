import { expect, test } from "bun:test";
import { fails } from "../conformance.ts";
import { emptyTree, parentOf, parseTree, pruned, taken } from "./snapshot-tree.ts";

const [a, b, c, d] = ["a", "b", "c", "d"].map((letter) => `01890000-0000-7000-8000-00000000000${letter}`) as [
	string,
	string,
	string,
	string,
];

test("each snapshot comes after the one that the volume was at", () => {
	const first = taken(emptyTree, a, new Set());
	const second = taken(first, b, new Set([a]));
	expect(second).toEqual({ current: b, parents: { [a]: null, [b]: a }, reverting: null });
	const back = { ...second, current: a };
	expect(taken(back, c, new Set([a, b])).parents).toEqual({ [a]: null, [b]: a, [c]: a });
});

test("what does not exist is passed over: one that was not made after all, and one that is deleted", () => {
	const tree = taken(taken(taken(emptyTree, a, new Set()), b, new Set([a])), c, new Set([a, b]));
	expect(parentOf(tree, c, new Set([a, c]))).toBe(a);
	expect(parentOf(tree, c, new Set([c]))).toBeNull();
	expect(pruned(tree, new Set([a]))).toEqual({ current: a, parents: { [a]: null }, reverting: null });
	expect(taken(tree, d, new Set([a, b])).parents[d]).toBe(b);
	// A circle can only be damage; it ends.
	expect(parentOf({ current: a, parents: { [a]: b, [b]: a }, reverting: null }, a, new Set())).toBeNull();
});

test("damage is told", async () => {
	for (const text of ["", "{", "[]", '{"current":1}', '{"current":null,"parents":{"x":null},"reverting":"y"}'])
		await fails("corrupt", (async () => parseTree(text))());
	expect(parseTree(JSON.stringify(emptyTree))).toEqual(emptyTree);
});
