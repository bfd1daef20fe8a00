/** A VM boots from each type of pool; each says so in a line. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type LabSystem, startLabSystem } from "./lab-system.ts";
import { bootFromPool } from "./storage-boot.ts";

let system: LabSystem;
let folder: string;
beforeAll(async () => {
	folder = mkdtempSync("/srv/lqx-storage-boot-");
	system = await startLabSystem({ name: "storage-boot" });
}, 120_000);
afterAll(async () => {
	await system?.[Symbol.asyncDispose]();
	if (folder) rmSync(folder, { recursive: true, force: true });
});

test("local", async () => {
	const line = await bootFromPool({
		system,
		pool: { type: "local", config: { path: join(folder, "pool") } },
		disk: /<source file='[^']*\/pool\/volumes\//,
	});
	console.log(line);
	expect(line).toContain("booted");
}, 240_000);
