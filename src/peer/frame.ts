/**
 * Frames on a connection. Each side first sends the preface, then frames: payload length (4 bytes, big-endian), type
 * (1 byte), payload. The reader takes bytes as they come, in pieces of any size, and never holds more than twice what has
 * arrived, whatever a length claims. It throws nothing: what is wrong is a value, and then the reader is done for good.
 */

export const frameTypes = {
	hello: 1,
	welcome: 2,
	refusal: 3,
	ping: 4,
	pong: 5,
	raft: 16,
	snapshot: 24,
	call: 32,
	cancel: 33,
	answer: 34,
	streamOpen: 40,
	streamAccept: 41,
	streamData: 42,
	streamCredit: 43,
	streamEnd: 44,
	streamAbort: 45,
	joinRequest: 56,
	joinAccepted: 57,
} as const;
export type FrameName = keyof typeof frameTypes;
const names = new Map<number, FrameName>(Object.entries(frameTypes).map(([name, type]) => [type, name as FrameName]));

/** "LQXPEER" and the version of this framing. */
export const preface = Uint8Array.from([0x4c, 0x51, 0x58, 0x50, 0x45, 0x45, 0x52, 1]);
export const headerBytes = 5;

const KiB = 1024;
const MiB = 1024 * KiB;

/** The largest payload of a type: the bound of what one frame costs. */
export const maxPayloadBytes: Readonly<Record<FrameName, number>> = {
	hello: 16 * KiB,
	welcome: 16 * KiB,
	refusal: 16 * KiB,
	ping: 64,
	pong: 64,
	// An append holds 256 KiB, but an entry may be 32 MiB by itself.
	raft: 40 * MiB,
	snapshot: MiB + 64 * KiB,
	// A command is up to 4 MiB, and what is asked of another node fits into that too.
	call: 4 * MiB + 64 * KiB,
	cancel: 64,
	answer: 4 * MiB + 64 * KiB,
	streamOpen: 64 * KiB,
	streamAccept: 64 * KiB,
	streamData: 256 * KiB + 64,
	streamCredit: 64,
	streamEnd: 64,
	streamAbort: 64 * KiB,
	joinRequest: MiB,
	joinAccepted: MiB,
};

export type Frame = { name: FrameName; payload: Uint8Array };
export type FrameFault = "bad-preface" | "unexpected-type" | "too-large";

/** The payload may be given in parts: what is large is copied once. */
export function encodeFrame(name: FrameName, ...parts: readonly Uint8Array[]): Uint8Array {
	const length = parts.reduce((sum, part) => sum + part.length, 0);
	const bytes = Buffer.allocUnsafeSlow(headerBytes + length);
	bytes.writeUInt32BE(length);
	bytes[4] = frameTypes[name];
	let at = headerBytes;
	for (const part of parts) {
		bytes.set(part, at);
		at += part.length;
	}
	return bytes;
}

export class FrameReader {
	/** What may come now. */
	#expected: ReadonlySet<FrameName>;
	#prefaceSeen = 0;
	#fault: FrameFault | null = null;
	/** The part of a frame that has arrived: the first `#filled` bytes of it. */
	#partial = new Uint8Array(0);
	#filled = 0;

	constructor(expected: readonly FrameName[]) {
		this.#expected = new Set(expected);
	}

	/** From the next frame on. */
	expect(expected: readonly FrameName[]): void {
		this.#expected = new Set(expected);
	}

	/** Bytes held of a frame that is not complete. */
	get heldBytes(): number {
		return this.#partial.length;
	}

	/**
	 * Calls `take` for each frame that is complete, in order, until it says false. A payload may be a part of `chunk`,
	 * which is not changed and must not be. A fault, once found, is the answer of all later calls.
	 */
	push(chunk: Uint8Array, take: (frame: Frame) => boolean): FrameFault | null {
		if (this.#fault !== null) return this.#fault;
		let at = this.#takePreface(chunk);
		while (this.#fault === null && at < chunk.length) {
			const rest = chunk.subarray(at);
			if (this.#filled === 0) {
				const size = this.#frameSize(rest);
				if (size !== null && rest.length >= size) {
					at += size;
					if (!this.#give(rest.subarray(0, size), take)) return this.#fault;
					continue;
				}
			}
			at += this.#collect(rest);
			const size = this.#frameSize(this.#partial.subarray(0, this.#filled));
			if (size === null || this.#filled < size) continue;
			const frame = this.#partial.subarray(0, size);
			this.#partial = new Uint8Array(0);
			this.#filled = 0;
			if (!this.#give(frame, take)) return this.#fault;
		}
		if (this.#fault !== null) {
			this.#partial = new Uint8Array(0);
			this.#filled = 0;
		}
		return this.#fault;
	}

	#takePreface(chunk: Uint8Array): number {
		let at = 0;
		while (this.#prefaceSeen < preface.length && at < chunk.length) {
			if (chunk[at] !== preface[this.#prefaceSeen]) {
				this.#fault = "bad-preface";
				return at;
			}
			at += 1;
			this.#prefaceSeen += 1;
		}
		return at;
	}

	/** Header and payload; null when the header is not there yet, or wrong. */
	#frameSize(bytes: Uint8Array): number | null {
		if (bytes.length < headerBytes) return null;
		const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
		const name = names.get(bytes[4] as number);
		if (name === undefined || !this.#expected.has(name)) this.#fault = "unexpected-type";
		else if (length > maxPayloadBytes[name]) this.#fault = "too-large";
		return this.#fault === null ? headerBytes + length : null;
	}

	/** Takes what the header, and then the frame, still lacks; says how much that was. */
	#collect(bytes: Uint8Array): number {
		const size = this.#frameSize(this.#partial.subarray(0, this.#filled)) ?? headerBytes;
		const taken = Math.min(bytes.length, size - this.#filled);
		const needed = this.#filled + taken;
		if (needed > this.#partial.length) {
			const grown = new Uint8Array(Math.min(size, Math.max(needed, this.#partial.length * 2, 64)));
			grown.set(this.#partial.subarray(0, this.#filled));
			this.#partial = grown;
		}
		this.#partial.set(bytes.subarray(0, taken), this.#filled);
		this.#filled = needed;
		return taken;
	}

	#give(frame: Uint8Array, take: (frame: Frame) => boolean): boolean {
		const name = names.get(frame[4] as number) as FrameName;
		return take({ name, payload: frame.subarray(headerBytes) });
	}
}
