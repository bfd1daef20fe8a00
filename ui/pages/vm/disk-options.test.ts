/** Options of a disk between form and API. */
import { expect, test } from "bun:test";
import { MiB } from "../../../src/lib/units.ts";
import { diskOf, limitsText, optionErrors, optionsOf, usualOptions } from "./disk-options.ts";

const place = { id: "disk-0", volumeId: "v" };

test("what comes from the API goes back as it was, limits in bytes", () => {
	const limits = { readBytesPerSecond: 1.5 * MiB, writeBytesPerSecond: 3, readIops: 500, writeIops: 1 };
	for (const disk of [
		{ ...place, bus: "sata", cache: "writeback", discard: false, readOnly: false, limits },
		{ ...place, bus: "scsi", cache: "none", discard: true, readOnly: true, limits: { writeIops: 7 } },
		{ ...place, bus: "virtio", cache: "writethrough", discard: true, readOnly: false },
	] as const)
		expect(diskOf(place, optionsOf(disk))).toEqual(disk);
	expect(optionsOf({ ...place, ...usualOptions, limits })).toMatchObject({ readRate: 1.5, readIops: 500 });
});

test("no limit at all is no member at all", () => {
	expect("limits" in diskOf(place, usualOptions)).toBe(false);
	expect(diskOf(place, { ...usualOptions, readRate: 2 }).limits).toEqual({ readBytesPerSecond: 2 * MiB });
});

test("limits are numbers from one on, whole ones where they count", () => {
	expect(optionErrors({ ...usualOptions, readIops: 1, writeRate: 0.5 })).toEqual({});
	const bad = { ...usualOptions, readIops: 1.5, writeIops: 0, readRate: 0, writeRate: -1 };
	expect(Object.keys(optionErrors(bad)).sort()).toEqual(["/readIops", "/readRate", "/writeIops", "/writeRate"]);
	expect(optionErrors({ ...usualOptions, readRate: 1e12 })).toHaveProperty(["/readRate"]);
	expect(optionErrors({ ...usualOptions, bus: "sata", readOnly: true })).toHaveProperty(["/readOnly"]);
});

test("limits in words", () => {
	expect(limitsText(undefined)).toBeNull();
	expect(limitsText({ writeIops: 200, writeBytesPerSecond: 50 * MiB })).toBe("writes 200/s, 50 MiB/s");
	expect(limitsText({ readIops: 500, writeBytesPerSecond: 50 * MiB })).toBe("reads 500/s; writes 50 MiB/s");
});
