/** How many changes go by between two snapshots depends on how large the last one was. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { join } from "node:path";
import { StoreFolder, until } from "../testing/store-folder.ts";

let folder: StoreFolder;
beforeEach(() => {
	folder = new StoreFolder();
});
afterEach(() => folder.remove());

test("a snapshot of three times the usual size: three times as many, also after a restart", async () => {
	await folder.fill(110);
	const { store: first, system } = await folder.open({ policy: { snapshotEntries: 100 } });
	await folder.addUsers(system, 110, 1);
	await until(() => folder.snapshotNames().length === 1);
	await folder.close(first);

	const [name = ""] = folder.snapshotNames();
	const { size } = statSync(join(folder.paths.snapshots, name));
	const policy = { snapshotEntries: 100, snapshotBytes: size / 3 };
	const { store: second, system: write } = await folder.open({ policy });
	const due = Number(name.slice(0, 16)) + 300;
	await folder.addUsers(write, 200, due - 5 - second.appliedIndex);
	expect(due - second.appliedIndex).toBe(5);
	expect(folder.snapshotNames()).toEqual([name]);
	await folder.addUsers(write, 1000, 10);
	await until(() => folder.snapshotNames().length === 2);
	const [, next = ""] = folder.snapshotNames();
	expect(Number(next.slice(0, 16))).toBeGreaterThanOrEqual(due);
	await folder.close(second);
}, 30_000);
