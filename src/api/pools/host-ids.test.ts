/** Each node has one number in all pools, and no two have the same. */
import { expect, test } from "bun:test";
import type { IscsiLvmPoolConfig } from "../../model/pool-config.ts";
import { fixtureId, fixtureNfs, fixturePool } from "../../testing/fixtures.ts";
import { withHostIds } from "./host-ids.ts";

const [a, b, c] = [fixtureId(1), fixtureId(2), fixtureId(3)];
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
const pool = (hostIds: Record<string, number>) => fixturePool({ type: "iscsi-lvm", config: { ...iscsi, hostIds } });
const idsOf = (config: ReturnType<typeof withHostIds>) => ("hostIds" in config ? config.hostIds : null);

test("the first pool counts from 1; a later one keeps what nodes have, and fills gaps", () => {
	expect(idsOf(withHostIds(iscsi, [a, b], []))).toEqual({ [a]: 1, [b]: 2 });
	expect(idsOf(withHostIds(iscsi, [a, c], [pool({ [a]: 7, [b]: 1 })]))).toEqual({ [a]: 7, [c]: 2 });
	// What a request says of it counts for nothing.
	expect(idsOf(withHostIds({ ...iscsi, hostIds: { [a]: 9 } }, [a], []))).toEqual({ [a]: 1 });
});

test("other pools have none, and there is an end of them", () => {
	expect(withHostIds(fixtureNfs, [a], [])).toBe(fixtureNfs);
	const all = Object.fromEntries(Array.from({ length: 2000 }, (_, at) => [fixtureId(0x1000 + at), at + 1]));
	expect(() => withHostIds(iscsi, [a], [pool(all)])).toThrow(expect.objectContaining({ code: "wrong-state" }));
});
