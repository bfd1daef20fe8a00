/** A clock is only said to be wrong where somebody knows which is right. */
import { expect, test } from "bun:test";
import { type Clocks, clockDifference, wrongClock, wrongTogether } from "./wrong-clock.ts";

const member = (name: string, clockOffsetMs: number | null, clockOff = false) => ({
	...{ nodeId: name, name },
	...{ clockOffsetMs, clockOff },
});
const said = (clocks: Clocks) => clocks.members.map((one) => [wrongClock(one, clocks), clockDifference(one, clocks)]);

test("of those that most do not agree with, how far each is off", () => {
	const members = [member("node-1", 12), member("node-2", -7_500_000, true), member("node-3", null)];
	const clocks: Clocks = { clockBasis: "majority", members };
	expect(said(clocks)).toEqual([
		[null, "right"],
		["Its clock is 2 h 5 min behind most others", "2 h 5 min behind most others"],
		[null, null],
	]);
	expect(wrongTogether(clocks)).toBeNull();
});

test("one that was off is off until it is right, by how little it may be", () => {
	const members = [member("node-1", 0), member("node-2", 0), member("node-3", 700, true), member("node-4", 900)];
	expect(said({ clockBasis: "majority", members }).map(([, difference]) => difference)).toEqual([
		...["right", "right", "700 ms ahead of most others", "right"],
	]);
});

test("cut off, the node that goes by what was agreed on before says by how much its own is off", () => {
	const clocks: Clocks = { clockBasis: "kept", members: [member("node-1", 5_000, true)] };
	expect(said(clocks)).toEqual([
		["Its clock is 5.0 s ahead of what most agreed on before", "5.0 s ahead of what most agreed on before"],
	]);
});

test.each([0, 7_200_000])("of two that differ nobody is blamed, whichever answers (%d ms)", (firstMs) => {
	const members = [member("node-1", firstMs, true), member("node-2", 7_200_000 - firstMs, true)];
	const clocks: Clocks = { clockBasis: "none", members };
	expect(said(clocks)).toEqual([
		["Its clock and that of node-2 differ by 2 h", "differs by 2 h"],
		["Its clock and that of node-1 differ by 2 h", "differs by 2 h"],
	]);
	expect(wrongTogether(clocks)).toBe("The clocks of node-1, node-2 differ by 2 h, and which is right is not known.");
});

test("nor of more, when no majority agrees", () => {
	const members = [member("node-1", 0, true), member("node-2", 60_000, true), member("node-3", -60_000, true)];
	const clocks: Clocks = { clockBasis: "none", members: [...members, member("node-4", null)] };
	const all = ["Its clock and others differ by up to 2 min", "differs by up to 2 min"];
	expect(said(clocks)).toEqual([all, all, all, [null, null]]);
	expect(wrongTogether(clocks)).toBe(
		"The clocks of node-1, node-2, node-3 differ by 2 min, and which is right is not known.",
	);
});

test("two that agree are not said to be right: there are no others", () => {
	const clocks: Clocks = { clockBasis: "none", members: [member("node-1", 0), member("node-2", 3)] };
	expect(said(clocks)).toEqual([
		[null, "agrees"],
		[null, "agrees"],
	]);
	expect(wrongTogether(clocks)).toBeNull();
});

test("one whose difference is with nobody any more is not named", () => {
	const clocks: Clocks = { clockBasis: "none", members: [member("node-1", 0, true)] };
	expect([...said(clocks), wrongTogether(clocks)]).toEqual([[null, "agrees"], null]);
});
