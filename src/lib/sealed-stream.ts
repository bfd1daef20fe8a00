/**
 * A stream sealed with a passphrase: scrypt (RFC 7914) makes the key, AES-256-GCM seals it piece by piece, and each piece says its place
 * and whether it is the last (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár), so that pieces left out, repeated,
 * exchanged or cut off at the end are noticed.
 *
 *   "LQXSEAL1" | log2 N, r, p (a byte each) | salt (16) | pieces: length (4, big-endian) | sealed bytes and tag
 */
import { createCipheriv, createDecipheriv, scrypt } from "node:crypto";
import { AppError } from "./errors.ts";
import type { Random } from "./random.ts";
import { KiB, MiB } from "./units.ts";

const magic = new TextEncoder().encode("LQXSEAL1");
const saltBytes = 16;
const headBytes = magic.length + 3 + saltBytes;
const tagBytes = 16;
const pieceBytes = 64 * KiB;
/** 64 MiB and a fifth of a second on a server of today: once for each backup, and for each guess. */
const usualCost = { logN: 16, r: 8, p: 1 };
/** Of a file that somebody else may have made. */
const maxCost = { logN: 20, r: 16, p: 4 };
export const minPassphraseLength = 12;

/** Is this the beginning of a sealed stream? */
export const isSealed = (head: Uint8Array): boolean =>
	head.length >= magic.length && magic.every((byte, at) => head[at] === byte);

export async function* sealStream(
	chunks: AsyncIterable<Uint8Array>,
	passphrase: string,
	random: Random,
	cost = usualCost,
): AsyncGenerator<Uint8Array> {
	const salt = random.bytes(saltBytes);
	const key = await keyOf(passphrase, salt, cost);
	yield Buffer.concat([magic, Uint8Array.of(cost.logN, cost.r, cost.p), salt]);
	let index = 0;
	let waiting = Buffer.alloc(0);
	for await (const chunk of chunks) {
		waiting = Buffer.concat([waiting, chunk]);
		// One is kept back: the last piece is sealed as the last.
		while (waiting.length > pieceBytes) {
			yield piece(key, index++, false, waiting.subarray(0, pieceBytes));
			waiting = waiting.subarray(pieceBytes);
		}
	}
	yield piece(key, index, true, waiting);
}

/** Fails with `invalid` (another passphrase) or `corrupt`, before it gives anything that was changed. */
export async function* unsealStream(chunks: AsyncIterable<Uint8Array>, passphrase: string): AsyncGenerator<Uint8Array> {
	const reader = new Reader(chunks);
	const head = await reader.take(headBytes);
	if (head === null || !isSealed(head)) throw corrupt();
	const [logN = 0, r = 0, p = 0] = head.subarray(magic.length);
	if (logN < 1 || logN > maxCost.logN || r < 1 || r > maxCost.r || p < 1 || p > maxCost.p) throw corrupt();
	const key = await keyOf(passphrase, head.subarray(magic.length + 3), { logN, r, p });
	for (let index = 0; ; index++) {
		const length = await reader.take(4);
		const size = length === null ? 0 : Buffer.from(length).readUInt32BE();
		const sealed = size < tagBytes || size > pieceBytes + tagBytes ? null : await reader.take(size);
		if (sealed === null) throw corrupt();
		const isLast = await reader.isAtEnd();
		const bytes = opened(key, index, isLast, sealed);
		if (bytes === null && index === 0)
			throw new AppError("invalid", "This is not the passphrase of the file, or the file is damaged.");
		if (bytes === null) throw corrupt();
		yield bytes;
		if (isLast) return;
	}
}

const corrupt = () => new AppError("corrupt", "The sealed file is damaged, or a part of it is missing.");

function piece(key: Buffer, index: number, isLast: boolean, bytes: Uint8Array): Uint8Array {
	const cipher = createCipheriv("aes-256-gcm", key, nonceOf(index, isLast), { authTagLength: tagBytes });
	const sealed = [cipher.update(bytes), cipher.final(), cipher.getAuthTag()];
	const length = Buffer.alloc(4);
	length.writeUInt32BE(bytes.length + tagBytes);
	return Buffer.concat([length, ...sealed]);
}

function opened(key: Buffer, index: number, isLast: boolean, sealed: Uint8Array): Uint8Array | null {
	const decipher = createDecipheriv("aes-256-gcm", key, nonceOf(index, isLast), { authTagLength: tagBytes });
	decipher.setAuthTag(sealed.subarray(sealed.length - tagBytes));
	try {
		return Buffer.concat([decipher.update(sealed.subarray(0, sealed.length - tagBytes)), decipher.final()]);
	} catch {
		return null;
	}
}

/** The key is that of this stream alone: a counter never repeats under it. */
function nonceOf(index: number, isLast: boolean): Buffer {
	const nonce = Buffer.alloc(12);
	nonce.writeUInt32BE(index, 7);
	nonce[11] = isLast ? 1 : 0;
	return nonce;
}

function keyOf(passphrase: string, salt: Uint8Array, { logN, r, p }: typeof usualCost): Promise<Buffer> {
	const text = passphrase.normalize("NFKC");
	return new Promise((resolve, reject) =>
		scrypt(text, salt, 32, { N: 2 ** logN, r, p, maxmem: 2048 * MiB }, (error, key) =>
			error ? reject(error) : resolve(key),
		),
	);
}

class Reader {
	readonly #chunks: AsyncIterator<Uint8Array>;
	#rest = Buffer.alloc(0);

	constructor(chunks: AsyncIterable<Uint8Array>) {
		this.#chunks = chunks[Symbol.asyncIterator]();
	}

	/** Null when there are fewer. */
	async take(count: number): Promise<Uint8Array | null> {
		while (this.#rest.length < count) if (!(await this.#more())) return null;
		const taken = this.#rest.subarray(0, count);
		this.#rest = this.#rest.subarray(count);
		return taken;
	}

	async isAtEnd(): Promise<boolean> {
		while (this.#rest.length === 0) if (!(await this.#more())) return true;
		return false;
	}

	async #more(): Promise<boolean> {
		const { done, value } = await this.#chunks.next();
		if (done) return false;
		this.#rest = Buffer.concat([this.#rest, value]);
		return true;
	}
}
