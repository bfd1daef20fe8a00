import { expect, test } from "bun:test";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../../../lib/run.ts";
import { writeMbr } from "./partition-table.ts";

test("sfdisk reads the table as it was meant", async () => {
	const directory = await mkdtemp(join(tmpdir(), "lqx-mbr-"));
	try {
		const image = join(directory, "disk");
		const partitions = [
			{ type: 0xef, startSector: 2048, sectorCount: 4096, active: true },
			{ type: 0x83, startSector: 6144, sectorCount: 2048, active: false },
		];
		await writeFile(image, writeMbr(Uint8Array.of(0xeb, 0xfe), 0x12345678, partitions));
		await truncate(image, 8192 * 512);
		const { stdout } = await run("/usr/sbin/sfdisk", ["--json", image], { timeoutMs: 5000 });
		const table = JSON.parse(stdout).partitiontable;
		expect(table).toMatchObject({ label: "dos", id: "0x12345678" });
		expect(table.partitions).toMatchObject([
			{ start: 2048, size: 4096, type: "ef", bootable: true },
			{ start: 6144, size: 2048, type: "83" },
		]);
	} finally {
		await rm(directory, { recursive: true, force: true });
	}
});

test("boot code that would run into the table is refused", () => {
	expect(() => writeMbr(new Uint8Array(441), 0, [])).toThrow("440");
});
