/** The file that is given up, on a disk that has space: what it holds, and how it becomes shorter. */
import { afterEach, beforeEach, expect, mock, spyOn, test } from "bun:test";
import fs, {
	linkSync,
	mkdirSync,
	mkdtempSync,
	rmSync,
	statSync,
	symlinkSync,
	truncateSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "../lib/run.ts";
import { MiB } from "../lib/units.ts";
import { ballastFile } from "./ballast-file.ts";

let folder: string;
let path: string;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "limiquantix-ballast-"));
	path = join(folder, "ballast");
});
afterEach(() => {
	mock.restore();
	rmSync(folder, { recursive: true });
});

const reserveBytes = 32 * MiB;
const open = (at = path) => ballastFile({ path: at, reserveBytes }, folder);
const write = (bytes: number) => writeFileSync(path, new Uint8Array(bytes).fill(1), { flush: true });
/** More than any disk has. */
const everything = 2 ** 50;

test("it is shortened step by step until nothing is left", () => {
	write(2.5 * MiB);
	const file = open();
	expect(file.heldBytes()).toBe(2.5 * MiB);
	const sizes: number[] = [];
	while (file.shorten()) sizes.push(statSync(path).size / MiB);
	expect(sizes).toEqual([1.5, 0.5, 0]);
	expect([file.heldBytes(), file.shorten()]).toEqual([0, false]);
});

test("nothing is given up while there is space, and all of it for somebody who needs more than there is", () => {
	write(3 * MiB);
	const file = open();
	file.makeFree(1);
	expect(file.heldBytes()).toBe(3 * MiB);
	file.makeFree(everything);
	expect(file.heldBytes()).toBe(0);
});

test("no more is given up than was asked for, even when it does not become free", () => {
	write(4 * MiB);
	const file = open();
	file.makeFree(file.free().ownBytes + 1.5 * MiB);
	expect(statSync(path).size).toBeGreaterThanOrEqual(MiB);
});

test("a file that is only said to be long holds nothing, and nothing is waited for when it is shortened", () => {
	write(0);
	truncateSync(path, reserveBytes);
	const sync = spyOn(fs, "fsyncSync");
	const file = open();
	expect([file.heldBytes(), file.shorten(), sync.mock.calls.length]).toEqual([0, false, 0]);
	expect(file.isHollow()).toBe(true);
});

test("each step gives up what is really held, also of a file with holes", () => {
	write(1.5 * MiB);
	truncateSync(path, reserveBytes);
	const file = open();
	expect([file.heldBytes(), file.isHollow()]).toEqual([1.5 * MiB, true]);
	const held: number[] = [];
	while (file.shorten()) held.push(file.heldBytes() / MiB);
	expect(held).toEqual([0.5, 0]);
});

test("one that is longer than what is kept counts as that, and is cut below it", () => {
	write(5 * MiB);
	const file = ballastFile({ path, reserveBytes: 3 * MiB }, folder);
	expect([file.heldBytes(), file.shorten(), statSync(path).size]).toEqual([3 * MiB, true, 2 * MiB]);
});

test("none, and one on another file system, are of no use", () => {
	write(MiB);
	for (const file of [
		ballastFile(null, folder),
		open(join(folder, "missing")),
		ballastFile({ path, reserveBytes }, "/proc"),
	])
		expect([file.heldBytes(), file.shorten(), file.isHollow()]).toEqual([0, false, false]);
	expect(statSync(path).size).toBe(MiB);
});

test("what is not a file of its own is somebody else's, and is neither counted nor cut", async () => {
	const others = join(folder, "disk-of-a-vm");
	writeFileSync(others, new Uint8Array(3 * MiB).fill(1), { flush: true });
	const places: [string, () => unknown][] = [
		["a link", () => symlinkSync(others, path)],
		["a link to nothing", () => symlinkSync(join(folder, "missing"), path)],
		["a link to itself", () => symlinkSync(path, path)],
		["another name of it", () => linkSync(others, path)],
		["a folder", () => mkdirSync(path)],
		["a pipe", () => run("mkfifo", [path], { timeoutMs: 10_000 })],
	];
	for (const [what, make] of places) {
		await make();
		const file = open();
		file.makeFree(everything);
		expect({ what, found: [file.heldBytes(), file.shorten()] }).toEqual({ what, found: [0, false] });
		rmSync(path, { recursive: true });
	}
	expect([statSync(others).size, open(join(others, "below")).shorten()]).toEqual([3 * MiB, false]);
});

test("a disk that says nothing about it is a reason to give up nothing, and none to fail", () => {
	write(2 * MiB);
	const file = open();
	spyOn(fs, "lstatSync").mockImplementation(() => {
		throw Object.assign(new Error("input/output error"), { code: "EIO" });
	});
	expect([file.heldBytes(), file.shorten()]).toEqual([0, false]);
});

test("what is kept for root counts where root is the machine's, and the file system one that keeps it", () => {
	const ext = 0xef53;
	const btrfs = 0x9123683e;
	const own = (type: number, uidMap: string | null) => {
		spyOn(process, "geteuid" as never).mockReturnValue(0 as never);
		spyOn(fs, "readFileSync").mockImplementation((() => {
			if (uidMap === null) throw Object.assign(new Error("no such file"), { code: "ENOENT" });
			return uidMap;
		}) as never);
		spyOn(fs, "statfsSync").mockReturnValue({ type, bsize: 1, bavail: 10, bfree: 15 } as never);
		const { ownBytes, othersBytes } = open().free();
		return [ownBytes, othersBytes];
	};
	expect(own(ext, "         0          0 4294967295\n")).toEqual([15, 10]);
	expect(own(ext, "         0     100000      65536\n")).toEqual([10, 10]);
	// A kernel that knows no containers of that sort.
	expect(own(ext, null)).toEqual([15, 10]);
	expect(own(btrfs, "         0          0 4294967295\n")).toEqual([10, 10]);
});
