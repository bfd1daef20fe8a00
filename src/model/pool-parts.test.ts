/** Which node of a pool is asked first. */
import { expect, test } from "bun:test";
import { availableOn, bestNode, isWorking, mayWorkOn, partRank, worksOn } from "./pool-parts.ts";
import type { Pool } from "./storage.ts";

type Health = Pool["nodes"][number]["health"];
const poolOf = (parts: Record<string, Health>): Pick<Pool, "nodes"> => ({
	nodes: Object.entries(parts).map(([nodeId, health]) => ({
		...{ nodeId, health, reason: null, totalBytes: null, usedBytes: null, availableBytes: null },
		...{ capabilities: null, updatedAt: "2030-01-01T00:00:00.000Z" },
	})),
});

test("healthy, then degraded, then what nobody has looked at, then what does not work", () => {
	const pool = poolOf({ healthy: "healthy", degraded: "degraded", unmounted: "unmounted", error: "error" });
	const ranks = ["healthy", "degraded", "unseen", "unmounted", "error"].map((id) => partRank(pool, id));
	expect(ranks).toEqual([0, 1, 2, 3, 3]);
	expect(["healthy", "degraded", "unseen", "unmounted", "error"].map((id) => worksOn(pool, id))).toEqual([
		...[true, true, false, false, false],
	]);
	expect(["healthy", "degraded", "unseen", "unmounted", "error"].map((id) => mayWorkOn(pool, id))).toEqual([
		...[true, true, true, false, false],
	]);
	expect((["healthy", "degraded", "unmounted", "error"] as const).map((health) => isWorking({ health }))).toEqual([
		...[true, true, false, false],
	]);
});

test("the best node has the best of its worst pool; the first of those that are alike", () => {
	const one = poolOf({ a: "error", b: "degraded", c: "healthy" });
	const other = poolOf({ a: "healthy", b: "degraded", c: "unmounted" });
	expect(bestNode(["a", "b", "c"], [one])).toBe("c");
	expect(bestNode(["a", "b", "c"], [one, other])).toBe("b");
	expect(bestNode(["d", "b"], [one])).toBe("b");
	expect(bestNode(["a", "d"], [one])).toBe("d");
	expect(bestNode(["c", "a"], [one, other])).toBe("c");
	expect(bestNode([], [one])).toBeNull();
});

test("free space counts where the pool works now", () => {
	const nodes = ["healthy", "degraded", "unmounted", "error"].map((health) => ({
		...(poolOf({ [health]: health as Health }).nodes[0] as Pool["nodes"][number]),
		availableBytes: 7,
	}));
	expect(["healthy", "degraded", "unmounted", "error", "unseen"].map((id) => availableOn({ nodes }, id))).toEqual([
		...[7, 7, null, null, null],
	]);
});
