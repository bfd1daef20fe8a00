/** A sealed stream gives back what went in, or fails: with another passphrase, cut off, reordered, or with any bit changed. */
import { expect, test } from "bun:test";
import { systemRandom as random } from "./random.ts";
import { isSealed, sealStream, unsealStream } from "./sealed-stream.ts";

async function* chunksOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
	for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
async function all(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
	const parts: Uint8Array[] = [];
	for await (const chunk of chunks) parts.push(chunk);
	return Buffer.concat(parts);
}
const sealed = (bytes: Uint8Array) =>
	all(sealStream(chunksOf(bytes, 10_000), "correct horse battery", random, { logN: 4, r: 8, p: 1 }));
const opened = (bytes: Uint8Array, passphrase = "correct horse battery") =>
	all(unsealStream(chunksOf(bytes, 7_777), passphrase));

test.each([0, 1, 65_535, 65_536, 65_537, 200_000])("%d bytes come back", async (length) => {
	const bytes = random.bytes(length > 65_536 ? 65_536 : length);
	const content = Buffer.concat([bytes, Buffer.alloc(length - bytes.length, 7)]);
	const file = await sealed(content);
	expect(isSealed(file)).toBe(true);
	expect((await opened(file)).equals(content)).toBe(true);
});

test("another passphrase is told from damage", async () => {
	const file = await sealed(Buffer.from("state"));
	await expect(opened(file, "correct horse batterz")).rejects.toMatchObject({ code: "invalid" });
	await expect(opened(Buffer.from("SQLite format 3"))).rejects.toMatchObject({ code: "corrupt" });
});

test("what is cut off, left out, exchanged, added or changed is noticed", async () => {
	const file = await sealed(Buffer.alloc(150_000, 3));
	const head = 27;
	const pieceLength = 4 + 65_536 + 16;
	const piece = (at: number) => file.subarray(head + at * pieceLength, head + (at + 1) * pieceLength);
	const [first, second, last] = [piece(0), piece(1), file.subarray(head + 2 * pieceLength)];
	const begin = file.subarray(0, head);
	const broken = [
		Buffer.concat([begin, first, second]),
		Buffer.concat([begin, first, last]),
		Buffer.concat([begin, second, first, last]),
		Buffer.concat([begin, first, second, last, last]),
		Buffer.concat([file, Buffer.from([0])]),
		file.subarray(0, file.length - 1),
		file.subarray(0, 20),
	];
	for (const at of [9, 20, head + 4, head + pieceLength + 9, file.length - 1]) {
		const changed = Buffer.from(file);
		changed[at] = (changed[at] ?? 0) ^ 1;
		broken.push(changed);
	}
	for (const bytes of broken)
		await expect(opened(bytes)).rejects.toMatchObject({ code: expect.stringMatching(/corrupt|invalid/) });
});
