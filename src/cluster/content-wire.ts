/**
 * Disks and images between two nodes, on a stream of the peer link: frames of a type, a length and a payload.
 *
 *   progress* → head (JSON) → (data | zeroes)* → end (SHA-256 of all bytes)
 *
 * Disks are mostly holes: a run of zeroes is a number. The checksum is computed by both ends over the bytes as they are in the
 * file, so that whatever the way did to them is noticed before anything is made of them.
 */
import { AppError } from "../lib/errors.ts";
import { KiB, MiB } from "../lib/units.ts";

const frameTypes = ["progress", "head", "data", "zeroes", "end"] as const;
type FrameType = (typeof frameTypes)[number];
type ContentFrame = { type: FrameType; length: number; payload: Uint8Array };

const headerBytes = 5;
const blockBytes = 64 * KiB;
const maxLength: Record<FrameType, number> = {
	progress: 1000,
	head: 256 * KiB,
	data: MiB,
	zeroes: 2 ** 31,
	end: 32,
};
const hasPayload = (type: FrameType): boolean => type === "head" || type === "data" || type === "end";
const zeroBlock = new Uint8Array(256 * KiB);

/** Of a stream between nodes. */
export type ContentSink = { write(data: Uint8Array): Promise<void> };
export type ContentOrigin = { read(): Promise<Uint8Array | null> };

function header(type: FrameType, length: number): Uint8Array {
	const bytes = new Uint8Array(headerBytes);
	bytes[0] = frameTypes.indexOf(type);
	new DataView(bytes.buffer).setUint32(1, length);
	return bytes;
}

/** Writes one content; one call at a time. */
export class ContentWriter {
	readonly #sink: ContentSink;
	readonly #hasher = new Bun.CryptoHasher("sha256");
	#zeroes = 0;
	#telling: Promise<void> | null = null;

	constructor(sink: ContentSink) {
		this.#sink = sink;
	}

	/** That it goes on, before the head. Not each call is a frame. */
	progress(ratio: number | null): void {
		if (this.#telling) return;
		const permille = Math.round(Math.min(1, Math.max(0, ratio ?? 0)) * 1000);
		this.#telling = this.#sink
			.write(header("progress", permille))
			.catch(() => {})
			.finally(() => {
				this.#telling = null;
			});
	}

	async head(value: unknown): Promise<void> {
		await this.#telling;
		await this.#frame("head", new TextEncoder().encode(JSON.stringify(value)));
	}

	async data(chunk: Uint8Array): Promise<void> {
		this.#hasher.update(chunk);
		for (let at = 0; at < chunk.length; ) {
			let end = at + blockBytes;
			const zero = isZero(chunk.subarray(at, end));
			while (end < chunk.length && isZero(chunk.subarray(end, end + blockBytes)) === zero) end += blockBytes;
			const part = chunk.subarray(at, end);
			if (zero) await this.#hole(part.length);
			else {
				await this.#settle();
				for (let from = 0; from < part.length; from += maxLength.data)
					await this.#frame("data", part.subarray(from, from + maxLength.data));
			}
			at = end;
		}
	}

	async end(): Promise<void> {
		await this.#settle();
		await this.#frame("end", this.#hasher.digest());
	}

	async #hole(length: number): Promise<void> {
		this.#zeroes += length;
		// The other side writes meanwhile, and hears that this one lives.
		if (this.#zeroes >= 64 * MiB) await this.#settle();
	}

	async #settle(): Promise<void> {
		if (this.#zeroes > 0) await this.#sink.write(header("zeroes", this.#zeroes));
		this.#zeroes = 0;
	}

	async #frame(type: FrameType, payload: Uint8Array): Promise<void> {
		await this.#sink.write(header(type, payload.length));
		await this.#sink.write(payload);
	}
}

const isZero = (block: Uint8Array): boolean => Buffer.compare(block, zeroBlock.subarray(0, block.length)) === 0;

/** Reads what ContentWriter wrote; whatever else comes is an error. */
export class ContentReader {
	readonly #origin: ContentOrigin;
	readonly #hasher = new Bun.CryptoHasher("sha256");
	#rest: Uint8Array = new Uint8Array(0);
	#zeroes = 0;

	constructor(origin: ContentOrigin) {
		this.#origin = origin;
	}

	async head(onProgress: (ratio: number) => void): Promise<unknown> {
		for (;;) {
			const { type, length, payload } = await this.#next();
			if (type === "progress") onProgress(length / 1000);
			else if (type === "head") return parsed(payload);
			else throw unreadable();
		}
	}

	/** The next bytes, not to be changed; null at the end, when all that came is what was sent. */
	async data(): Promise<Uint8Array | null> {
		for (;;) {
			if (this.#zeroes > 0) {
				const part = zeroBlock.subarray(0, Math.min(this.#zeroes, zeroBlock.length));
				this.#zeroes -= part.length;
				this.#hasher.update(part);
				return part;
			}
			const { type, length, payload } = await this.#next();
			if (type === "zeroes") this.#zeroes = length;
			else if (type === "data" && payload.length > 0) {
				this.#hasher.update(payload);
				return payload;
			} else if (type === "end") {
				if (Buffer.compare(this.#hasher.digest(), payload) === 0) return null;
				throw new AppError("storage", "What arrived is not what the other node sent: the checksums differ.");
			} else throw unreadable();
		}
	}

	async #next(): Promise<ContentFrame> {
		const start = await this.#exactly(headerBytes);
		const type = frameTypes[start[0] ?? -1];
		const length = new DataView(start.buffer, start.byteOffset).getUint32(1);
		if (type === undefined || length > maxLength[type]) throw unreadable();
		return { type, length, payload: hasPayload(type) ? await this.#exactly(length) : new Uint8Array(0) };
	}

	async #exactly(length: number): Promise<Uint8Array> {
		const parts: Uint8Array[] = [];
		let have = 0;
		while (have < length) {
			if (this.#rest.length === 0) {
				const chunk = await this.#origin.read();
				if (chunk === null) throw new AppError("unavailable", "The other node broke off.");
				this.#rest = chunk;
			}
			const part = this.#rest.subarray(0, length - have);
			this.#rest = this.#rest.subarray(part.length);
			have += part.length;
			parts.push(part);
		}
		const [only] = parts;
		return parts.length === 1 && only ? only : new Uint8Array(Buffer.concat(parts));
	}
}

const unreadable = (): AppError => new AppError("storage", "What the other node sends cannot be read.");

function parsed(payload: Uint8Array): unknown {
	try {
		return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
	} catch {
		throw unreadable();
	}
}
