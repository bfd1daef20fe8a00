/** How full a thin pool is, and what it takes of its group. */
import { expect, test } from "bun:test";
import { GiB, MiB, TiB } from "../../lib/units.ts";
import type { Lvm } from "./lvm.ts";
import { type Group, parseThinUsage } from "./lvm-report.ts";
import { beyondReserve, ThinPool, thinPoolUsage } from "./thin-pool.ts";

const report = (row: Record<string, string>) => JSON.stringify({ report: [{ lv: [row] }] });
const pool = {
	lv_size: `${400 * MiB}`,
	data_percent: "25.00",
	lv_metadata_size: `${4 * MiB}`,
	metadata_percent: "12.34",
};

test("an active pool says how full it is, of data and of metadata", () => {
	const read = parseThinUsage(report(pool));
	expect(read).toEqual({ lvBytes: 400 * MiB, dataPercent: 25, metadataBytes: 4 * MiB, metadataPercent: 12.34 });
	if (read === null) throw new Error("not read");
	expect(thinPoolUsage(read)).toEqual({ totalBytes: 400 * MiB, usedBytes: 100 * MiB, availableBytes: 300 * MiB });
	expect(parseThinUsage(report({ ...pool, data_percent: "" }))).toBeNull();
	expect(parseThinUsage(report({ ...pool, metadata_percent: "" }))).toBeNull();
});

test("metadata that is nearly full is told", () => {
	const at = (metadataPercent: number) =>
		thinPoolUsage({ lvBytes: MiB, dataPercent: 0, metadataBytes: MiB, metadataPercent }).warning;
	expect(at(85)).toBeUndefined();
	expect(at(91.7)).toStartWith("The metadata of the thin pool is 91 % full.");
});

const group = (sizeBytes: number, freeBytes: number): Group => ({
	...{ name: "lqx-x", tags: [], lockType: "", systemId: "", extentBytes: MiB },
	...{ sizeBytes, freeBytes },
});

test("what a group has grown by goes to its pool, also when that is a small part of it", async () => {
	const changes: string[] = [];
	const played: Pick<Lvm, "report" | "change"> = {
		report: async () => report({ lv_name: "thin" }),
		async change(args) {
			changes.push(args.join(" "));
			return "";
		},
	};
	const thin = new ThinPool({ lvm: played as Lvm, group: "lqx-x" });
	const kept = (10 * TiB) / 20;
	await thin.ensure(group(10 * TiB, kept), { devices: [] });
	expect(changes).toEqual([]);
	await thin.ensure(group(10 * TiB + 400 * GiB, kept + 400 * GiB), { devices: [] });
	expect(changes).toEqual([`lvextend --size +${380 * GiB}b -- lqx-x/thin`]);
});

test("it takes whole extents, leaves what metadata has been given, and does nothing for next to nothing", () => {
	expect(beyondReserve(group(100 * MiB, 31 * MiB + 5))).toBe(26 * MiB);
	expect(beyondReserve(group(100 * MiB, 20 * MiB))).toBe(0);
	expect(beyondReserve(group(GiB, 10 * MiB))).toBe(0);
});
