/** One suite for the real files of the log and the simulated ones. */
import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MemoryFiles } from "../../testing/memory-files.ts";
import { openDiskFiles } from "./disk-files.ts";
import type { LogFiles } from "./files.ts";

const folder = mkdtempSync(join(tmpdir(), "limiquantix-files-"));
afterAll(() => rmSync(folder, { recursive: true }));
let number = 0;

const kinds: Record<string, () => Promise<LogFiles>> = {
	"on a disk": () => openDiskFiles({ directory: join(folder, String(number++)), sync: true }),
	simulated: async () => {
		const files = new MemoryFiles();
		files.capacityBytes = 2 ** 40;
		return files;
	},
};
const bytes = (text: string) => new Uint8Array(Buffer.from(text));
const text = (data: Uint8Array) => Buffer.from(data).toString();
/** Not `expect(…).rejects`: in Bun 1.4 that waits in a way in which answers of workers do not arrive. */
const codeOf = (promise: Promise<unknown>) =>
	promise.then(
		() => "no error",
		(error: { code?: string }) => error.code,
	);
/** More than any disk has. */
const everything = 2 ** 50;

for (const [kind, make] of Object.entries(kinds))
	describe(`files ${kind}`, () => {
		test("are written at the end, read anywhere, cut and opened again", async () => {
			const files = await make();
			const file = await files.open("a", "create");
			expect(file.sizeBytes).toBe(0);
			await file.append(bytes("hello "));
			await file.appendDurably(bytes("world"));
			await file.sync();
			expect(file.sizeBytes).toBe(11);
			expect(text(await file.read(0, 11))).toBe("hello world");
			expect(text(await file.read(6, 3))).toBe("wor");
			expect(text(await file.read(9, 100))).toBe("ld");
			expect(text(await file.read(100, 5))).toBe("");
			await file.truncate(5);
			await file.append(bytes("!"));
			await file.close();
			const again = await files.open("a", "existing");
			expect([again.sizeBytes, text(await again.read(0, 100))]).toEqual([6, "hello!"]);
			await again.close();
			await files.close();
		});

		test("have names that are made, replaced and removed", async () => {
			const files = await make();
			for (const name of ["a", "b"]) {
				const file = await files.open(name, "create");
				await file.append(bytes(name));
				await file.close();
			}
			expect(await codeOf(files.open("a", "create"))).toBe("storage");
			expect(await codeOf(files.open("c", "existing"))).toBe("storage");
			expect(await codeOf(files.rename("c", "d"))).toBe("storage");
			await files.rename("a", "b");
			await files.syncDirectory();
			expect(await files.list()).toEqual(["b"]);
			const file = await files.open("b", "existing");
			expect(text(await file.read(0, 10))).toBe("a");
			await file.close();
			await files.remove("b");
			await files.syncDirectory();
			expect(await files.list()).toEqual([]);
			await files.close();
		});

		test("refuse to use the last bytes of the disk, and then have written nothing", async () => {
			const files = await make();
			const file = await files.open("a", "create");
			await file.append(bytes("kept"), 1);
			expect(await codeOf(file.append(bytes("x"), everything))).toBe("no-space");
			expect(await codeOf(file.appendDurably(bytes("x"), everything))).toBe("no-space");
			await file.truncate(4);
			expect(text(await file.read(0, 10))).toBe("kept");
			await file.close();
			await files.close();
		});
	});

test("files on a disk are where they should be, for nobody else to read", async () => {
	const directory = join(folder, "private");
	const files = await openDiskFiles({ directory, sync: true });
	const file = await files.open("a", "create");
	await file.appendDurably(bytes("secret"));
	expect(readFileSync(join(directory, "a"), "utf8")).toBe("secret");
	expect([statSync(directory).mode & 0o777, statSync(join(directory, "a")).mode & 0o777]).toEqual([0o700, 0o600]);
	await file.close();
	expect(await codeOf(file.sync())).toBe("storage");
	await files.close();
});
