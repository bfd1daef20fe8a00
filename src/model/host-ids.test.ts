/** Each node has one number in all pools, and no two have the same, whatever is asked for at once. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { fixtureId, fixtureNfs, fixturePool } from "../testing/fixtures.ts";
import { hostIdsProblem, withHostIds, withOwnHostIds } from "./host-ids.ts";
import type { IscsiLvmPoolConfig } from "./pool-config.ts";
import type { Pool } from "./storage.ts";

const [a, b, c, d] = [fixtureId(1), fixtureId(2), fixtureId(3), fixtureId(4)] as [string, string, string, string];
const iscsi: IscsiLvmPoolConfig = {
	...{
		portals: ["10.0.0.1"],
		target: "iqn.2026-01.example:one",
		wwid: "naa.6001405",
		chapUser: null,
		mutualChapUser: null,
	},
	...{ layout: "thick", wipeOnDelete: false, hostIds: {} },
};
let pools = 0;
const pool = (hostIds: Record<string, number>, id = fixtureId(0x500 + pools++)): Pool =>
	fixturePool({ id, type: "iscsi-lvm", config: { ...iscsi, hostIds }, nodeIds: Object.keys(hostIds) });
const mine = fixtureId(0x400);
const numbered = (nodeIds: string[], others: Pool[], given: Record<string, number> = {}) => {
	const config = withHostIds({ ...iscsi, hostIds: given }, nodeIds, others, mine);
	return "hostIds" in config ? config.hostIds : null;
};
const problem = (hostIds: Record<string, number>, others: Pool[]) => hostIdsProblem(pool(hostIds, mine), others);

test("the first pool counts from 1; a later one keeps what nodes have, and fills gaps", () => {
	expect(numbered([a, b], [])).toEqual({ [a]: 1, [b]: 2 });
	expect(numbered([a, c], [pool({ [a]: 7, [b]: 1 })])).toEqual({ [a]: 7, [c]: 2 });
	// What a request says of it counts for nothing.
	expect(numbered([a], [], { [a]: 9 })).toEqual({ [a]: 1 });
});

test("other pools have none, and there is an end of them", () => {
	expect(withHostIds(fixtureNfs, [a], [], mine)).toBe(fixtureNfs);
	expect(hostIdsProblem(fixturePool({ type: "nfs", config: fixtureNfs }), [])).toBe(null);
	const all = Object.fromEntries(Array.from({ length: 2000 }, (_, at) => [fixtureId(0x1000 + at), at + 1]));
	expect(() => numbered([a], [pool(all)])).toThrow(expect.objectContaining({ code: "wrong-state" }));
});

test("two nodes that have one number in different pools, from before, get different ones where they meet", () => {
	const before = [pool({ [a]: 1, [b]: 2 }), pool({ [c]: 1, [d]: 2 })];
	const meet = numbered([a, c], before);
	expect(meet).toEqual({ [a]: 1, [c]: 3 });
	expect(problem({ [a]: 1, [c]: 3 }, before)).toBe(null);
	// In its own pool a node keeps what it holds leases with, whoever comes.
	expect(numbered([a, c], [...before, pool({ [c]: 1 }, mine)])).toEqual({ [a]: 3, [c]: 1 });
	expect(problem({ [a]: 3, [c]: 1 }, [...before, pool({ [c]: 1 }, mine)])).toBe(null);
});

test("two nodes that have one number in one pool, from before, get different ones with its next change, which is not refused", () => {
	const own = (nodeIds: string[], before: Pool[]) => {
		const config = withOwnHostIds(iscsi, nodeIds, before, mine);
		const hostIds = "hostIds" in config ? config.hostIds : {};
		expect(problem(hostIds, before)).toBe(null);
		return hostIds;
	};
	const before = [pool({ [a]: 1, [b]: 1, [c]: 2 }, mine)];
	expect(own([a, b, c], before)).toEqual({ [a]: 1, [b]: 3, [c]: 2 });
	expect(own([b, c], before)).toEqual({ [b]: 1, [c]: 2 });
	expect(own([a, b, c, d], before)).toEqual({ [a]: 1, [b]: 3, [c]: 2, [d]: 4 });
	// What it has elsewhere, unless that is somebody's here.
	expect(own([a, b, c], [...before, pool({ [b]: 7 })])).toEqual({ [a]: 1, [b]: 7, [c]: 2 });
	expect(own([a, b, c], [...before, pool({ [b]: 2 })])).toEqual({ [a]: 1, [b]: 3, [c]: 2 });
	// A pool whose numbers differ keeps them.
	expect(own([b, a], [pool({ [a]: 4, [b]: 2 }, mine)])).toEqual({ [a]: 4, [b]: 2 });
});

test("a number that was free when it was chosen is refused once it is not", () => {
	expect(problem({ [c]: 1, [d]: 2 }, [pool({ [a]: 1, [b]: 2 })])).toContain("try again");
	// Nor may a node get a second number.
	expect(problem({ [a]: 5 }, [pool({ [a]: 1 })])).toContain("try again");
	expect(problem({ [a]: 1, [b]: 1 }, [])).toContain("try again");
	expect(hostIdsProblem({ ...pool({ [a]: 1 }), nodeIds: [a, b] }, [])).toContain("try again");
});

test("whatever is chosen at once, and applies in whatever order, nodes have one number each", () => {
	const nodes = [a, b, c, d];
	const request = fc.record({ nodeIds: fc.subarray(nodes, { minLength: 1 }), pool: fc.nat(3), seenAt: fc.nat(8) });
	fc.assert(
		fc.property(fc.array(request, { minLength: 1, maxLength: 8 }), (requests) => {
			let now: Pool[] = [];
			const past: Pool[][] = [now];
			for (const { nodeIds, pool: which, seenAt } of requests) {
				const id = fixtureId(0x400 + which);
				const seen = past[Math.min(seenAt, past.length - 1)] ?? [];
				const config = withHostIds(iscsi, nodeIds, seen, id);
				const after = { ...pool({}, id), config, nodeIds };
				if (hostIdsProblem(after, now) === null) now = [...now.filter((one) => one.id !== id), after];
				past.push(now);
				// One that nothing came between is never refused.
				if (seen === past.at(-2)) expect(hostIdsProblem(after, seen)).toBe(null);
				const pairs = now.flatMap(({ config: of }) => ("hostIds" in of ? Object.entries(of.hostIds) : []));
				const ids = new Map(pairs);
				expect(pairs.every(([nodeId, number]) => ids.get(nodeId) === number)).toBe(true);
				expect(new Set(ids.values()).size).toBe(ids.size);
			}
		}),
		{ numRuns: 500 },
	);
});
