/** Options of a disk between form and API. */
import { expect, test } from "bun:test";
import { MiB } from "../../../src/lib/units.ts";
import { localCapabilities } from "../../../src/storage/local/capabilities.ts";
import type { Pool } from "../../api/types.ts";
import { diskOf, limitsText, optionErrors, optionsOf, usualOptions, whyNotDiscarded } from "./disk-options.ts";

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

test("why discarded space is not freed: the volume is thick, or the pool says so on that node", () => {
	const part = (nodeId: string, reasons: Record<string, string>): Pool["nodes"][number] => ({
		...{ nodeId, health: "healthy", reason: null, updatedAt: "" },
		...{ totalBytes: null, usedBytes: null, availableBytes: null },
		capabilities: { ...localCapabilities, reasons },
	});
	const nfs = { server: "s", exportPath: "/e", folder: null, version: null, mountOptions: [] };
	const pool: Pool = {
		...{ id: "p", generation: 1, createdAt: "", updatedAt: "", name: "nas", description: "", phase: "ready" },
		...{ type: "nfs", config: nfs, nodeIds: ["a", "b"] },
		nodes: [part("a", {}), part("b", { discard: "It is NFS 4.1." })],
	};
	const why = (provisioning: "thin" | "thick", nodeId: string) => whyNotDiscarded({ provisioning }, pool, nodeId);
	expect([why("thin", "a"), why("thin", "b")]).toEqual([undefined, "It is NFS 4.1."]);
	expect(why("thick", "b")).toContain("The volume is thick");
	expect(whyNotDiscarded({}, undefined, "a")).toBeUndefined();
});
