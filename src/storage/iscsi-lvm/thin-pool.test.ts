/** How full a thin pool is. */
import { expect, test } from "bun:test";
import { MiB } from "../../lib/units.ts";
import { parseThinUsage } from "./lvm-report.ts";
import { thinPoolUsage } from "./thin-pool.ts";

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
