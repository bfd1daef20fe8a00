/** A disk of the lab fails when it is told to, and heals. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { run } from "../../../../lib/run.ts";
import { MiB } from "../../../../lib/units.ts";
import { type FlakyDisk, makeFlakyDisk } from "./backing-disk.ts";

const limit = { timeoutMs: 30_000 };
let disk: FlakyDisk;
beforeAll(async () => {
	disk = await makeFlakyDisk("lab-flaky", "/data/flaky", 64 * MiB);
}, 30_000);
afterAll(() => disk[Symbol.asyncDispose]());

const quiet = ["bs=4096", "count=1", "status=none"];
const read = async (): Promise<string> =>
	(await run("dd", [`if=${disk.device}`, "iflag=direct", ...quiet], limit)).stdout.replaceAll("\0", "");
const write = async (text: string): Promise<void> => {
	const stdin = text.padEnd(4096, "\0");
	await run("dd", [`of=${disk.device}`, "oflag=direct", "iflag=fullblock", ...quiet], { ...limit, stdin });
};
const problem = async (of: Promise<unknown>): Promise<string> =>
	of.then(
		() => "none",
		(error: Error) => error.message,
	);

test("errors, of reads alone or of everything, end when it heals", async () => {
	await write("kept");
	await disk.fail("errors");
	expect(await problem(read())).toContain("Input/output error");
	expect(await problem(write("lost"))).toContain("Input/output error");
	await disk.fail("read-errors");
	expect(await problem(read())).toContain("Input/output error");
	expect(await problem(write("new"))).toBe("none");
	await disk.heal();
	expect(await read()).toBe("new");
});

test("writes are lost, and nobody is told", async () => {
	await write("kept");
	await disk.fail("lost-writes");
	await write("lost");
	await disk.heal();
	expect(await read()).toBe("kept");
});
