/** What a snapshot keeps of a VM's state beside the disks: there and back, with a VM that moves, and after a cut. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fixtureId } from "../testing/fixtures.ts";
import { type VmStateFiles, vmStateFiles } from "./vm-state.ts";

const [vmId, one, two] = [fixtureId(1), fixtureId(2), fixtureId(3)];
let folder: string;
let state: VmStateFiles;
const nvram = (base = folder) => join(base, "vms", vmId, "nvram.fd");
const tpm = (base = folder) => join(base, "tpm", vmId, "tpm2", "tpm2-00.permall");
const copies = (base = folder) => join(base, "vms", vmId, "snapshots");
const put = (path: string, text: string) => {
	mkdirSync(dirname(path), { recursive: true });
	writeFileSync(path, text);
};
const text = (path: string) => (existsSync(path) ? readFileSync(path, "utf8") : null);
const open = (base: string) => vmStateFiles(base, join(base, "tpm"));

beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "lqx-state-"));
	state = open(folder);
});
afterEach(() => rmSync(folder, { recursive: true }));

test("is what it was then, also what was not there", async () => {
	put(nvram(), "early");
	await state.keep(vmId, one);
	put(nvram(), "late");
	put(tpm(), "secrets");
	await state.keep(vmId, two);
	// Done already is done: what was kept stays.
	put(nvram(), "later");
	await state.keep(vmId, two);

	expect(await state.restore(vmId, one)).toBe(true);
	expect([text(nvram()), text(tpm())]).toEqual(["early", null]);
	expect(await state.restore(vmId, two)).toBe(true);
	expect([text(nvram()), text(tpm())]).toEqual(["late", "secrets"]);
	await state.forget(vmId, two);
	await state.forget(vmId, two);
	expect(await state.restore(vmId, two)).toBe(false);
	expect(text(nvram())).toBe("late");
});

test("a VM that has neither is kept as one that has neither", async () => {
	await state.keep(vmId, one);
	put(nvram(), "made since");
	expect(await state.restore(vmId, one)).toBe(true);
	expect(text(nvram())).toBeNull();
});

test("what a cut left is no copy, and is made anew", async () => {
	put(nvram(), "whole");
	put(join(copies(), `${one}.new`, "nvram"), "ha");
	expect(await state.restore(vmId, one)).toBe(false);
	await state.keep(vmId, one);
	put(nvram(), "other");
	expect(await state.restore(vmId, one)).toBe(true);
	expect(text(nvram())).toBe("whole");
});

test("copies go where the VM goes, and with it", async () => {
	put(nvram(), "first");
	put(tpm(), "secrets");
	await state.keep(vmId, one);
	put(nvram(), "now");
	const there = mkdtempSync(join(tmpdir(), "lqx-state-"));
	try {
		const files = await state.read(vmId);
		expect(files.map(({ part, snapshotId }) => [part, snapshotId])).toEqual([
			["nvram", undefined],
			["tpm", undefined],
			["nvram", one],
			["tpm", one],
		]);
		await open(there).write(vmId, files);
		expect(text(nvram(there))).toBe("now");
		expect(await open(there).restore(vmId, one)).toBe(true);
		expect([text(nvram(there)), text(tpm(there))]).toEqual(["first", "secrets"]);
	} finally {
		rmSync(there, { recursive: true });
	}
	await state.remove(vmId);
	expect(existsSync(copies())).toBe(false);
});

test("nothing is read through a link, and ids are ids", async () => {
	put(join(folder, "secret"), "of the host");
	mkdirSync(dirname(nvram()), { recursive: true });
	symlinkSync(join(folder, "secret"), nvram());
	await expect(state.keep(vmId, one)).rejects.toThrow();
	expect(existsSync(copies())).toBe(false);
	await expect(state.restore(vmId, "../..")).resolves.toBe(false);
	expect(() => state.forget(vmId, "../..")).toThrow();
});
