/** What nodes hear of each other's clocks over their links. */
import { afterEach, expect, test } from "bun:test";
import { shiftedClock, systemClock } from "../lib/clock.ts";
import { closeAll, introduce, type TestNode, testNode, until } from "./test-peers.ts";

afterEach(closeAll);

const clockOf = ({ node }: TestNode) => node.status()[0]?.link.clock ?? null;

test.each([0, 3_600_000, -86_400_000])("each hears by how much the other's clock is off, %d ms", async (aheadMs) => {
	const [first, second] = [await testNode(1), await testNode(2, { clock: shiftedClock(systemClock, aheadMs) })];
	introduce(first, second);
	await until(() => [first, second].every((node) => clockOf(node) !== null), "both clocks");
	const ownAtZeroMs = systemClock.nowMs() - systemClock.monotonicMs();
	const offsets = [first, second].map((node) => (clockOf(node)?.wallAtZeroMs ?? 0) - ownAtZeroMs);
	const errors = [first, second].map((node) => (clockOf(node)?.errorMs ?? 0) + 2);
	expect(Math.abs((offsets[0] ?? 0) - aheadMs)).toBeLessThanOrEqual(errors[0] ?? 0);
	expect(Math.abs(offsets[1] ?? 0)).toBeLessThanOrEqual(errors[1] ?? 0);
});
