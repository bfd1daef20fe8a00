/** One process has a data folder. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lockDataFolder } from "./data-lock.ts";

let folder: string;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "limiquantix-lock-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const inUse = () => expect(() => lockDataFolder(folder)).toThrow("in use by another LimiQuantix daemon");

test("it is refused to a second one until the first lets go", () => {
	const first = lockDataFolder(folder);
	inUse();
	first.release();
	lockDataFolder(folder).release();
	expect(readdirSync(folder)).toEqual(["lock"]);
});

test("discarded, the file goes away, and nobody else's: the folder is free", () => {
	const first = lockDataFolder(folder);
	first.discard();
	expect(readdirSync(folder)).toEqual([]);
	const second = lockDataFolder(folder);
	first.discard();
	inUse();
	second.release();
	lockDataFolder(folder).discard();
	expect(readdirSync(folder)).toEqual(["lock"]);
});
