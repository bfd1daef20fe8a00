/** Term and vote on a disk that is full, or was written by others. */
import { expect, test } from "bun:test";
import { MemoryFiles } from "../../testing/memory-files.ts";
import { readHardState, writeHardState } from "./hard-state.ts";

test("a hard state of before there were clusters is read", async () => {
	const files = new MemoryFiles();
	const file = await files.open("hard-state", "create");
	await file.append(Buffer.from('{"term":8,"vote":null} 14db605a\n'));
	expect(await readHardState(files)).toEqual({ term: 8, vote: null, recoveries: 0, recovering: false });
});

test("one that nobody can have written is refused", async () => {
	for (const state of [
		{ term: 2 ** 32, vote: null },
		{ term: -1, vote: null },
		{ term: 1.5, vote: null },
		{ term: 1, vote: "" },
		{ term: 1, vote: "x".repeat(65) },
		{ term: 1, vote: null, recoveries: 2 ** 40 },
		{ term: 1, vote: null, recoveries: -1 },
	]) {
		const files = new MemoryFiles();
		await writeHardState(files, state);
		await expect(readHardState(files)).rejects.toMatchObject({ code: "corrupt" });
	}
});

test("one for which there is no space leaves the old one, and is written once there is", async () => {
	const files = new MemoryFiles();
	await writeHardState(files, { term: 1, vote: "a" });
	files.capacityBytes = files.usedBytes() + 5;
	await expect(writeHardState(files, { term: 2, vote: "b" })).rejects.toMatchObject({ code: "no-space" });
	expect(await readHardState(files)).toMatchObject({ term: 1, vote: "a" });
	files.capacityBytes = Number.POSITIVE_INFINITY;
	await writeHardState(files, { term: 2, vote: "b" });
	expect(await readHardState(files)).toMatchObject({ term: 2, vote: "b" });
});

test("one whose new name does not fit is written once it does; one that may be in force is no answer", async () => {
	const files = new MemoryFiles();
	await writeHardState(files, { term: 1, vote: "a" });
	files.onOperation = (operation) => (operation === "rename" ? "no-space" : undefined);
	await expect(writeHardState(files, { term: 2, vote: "b" })).rejects.toMatchObject({ code: "no-space" });
	expect(await files.list()).toEqual(["hard-state"]);
	files.onOperation = () => undefined;
	await writeHardState(files, { term: 2, vote: "b" });
	files.onOperation = (operation) => (operation === "syncDirectory" ? "no-space" : undefined);
	await expect(writeHardState(files, { term: 3, vote: "c" })).rejects.toMatchObject({ code: "storage" });
});
