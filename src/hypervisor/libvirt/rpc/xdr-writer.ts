/** Encoder for XDR (RFC 4506): big-endian, everything padded to four bytes. Grows as needed up to libvirt's message size. */
import { AppError } from "../../../lib/errors.ts";
import { lengthWordBytes, maxMessageBytes, maxStringBytes } from "./limits.ts";

const limit = maxMessageBytes + lengthWordBytes;

export class XdrWriter {
	#bytes: Buffer;
	#length = 0;

	constructor(initialBytes = 512) {
		this.#bytes = Buffer.allocUnsafe(initialBytes);
	}

	/** Bytes written so far; shares memory with the writer until it grows. */
	get bytes(): Buffer {
		return this.#bytes.subarray(0, this.#length);
	}

	get length(): number {
		return this.#length;
	}

	int(value: number): void {
		const at = this.#reserve(4);
		this.#bytes.writeInt32BE(value, at);
	}

	uint(value: number): void {
		const at = this.#reserve(4);
		this.#bytes.writeUInt32BE(value, at);
	}

	/** Signed 64-bit; `value` must be a safe integer. */
	hyper(value: number): void {
		const at = this.#reserve(8);
		this.#bytes.writeBigInt64BE(BigInt(value), at);
	}

	/** Unsigned 64-bit; `value` must be a safe integer. */
	uhyper(value: number): void {
		const at = this.#reserve(8);
		this.#bytes.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at);
		this.#bytes.writeUInt32BE(value % 0x1_0000_0000, at + 4);
	}

	double(value: number): void {
		const at = this.#reserve(8);
		this.#bytes.writeDoubleBE(value, at);
	}

	bool(value: boolean): void {
		this.uint(value ? 1 : 0);
	}

	/** Bytes without a length: `opaque[n]`. */
	fixedOpaque(value: Uint8Array): void {
		const at = this.#reserve(value.length);
		this.#bytes.set(value, at);
		this.#pad(value.length);
	}

	/** `opaque<max>`. */
	opaque(value: Uint8Array, max: number): void {
		if (value.length > max) throw tooLong(value.length, max);
		this.uint(value.length);
		this.fixedOpaque(value);
	}

	/** `string<max>` in UTF-8. */
	string(value: string, max = maxStringBytes): void {
		const length = Buffer.byteLength(value);
		if (length > max) throw tooLong(length, max);
		this.uint(length);
		const at = this.#reserve(length);
		this.#bytes.write(value, at, length, "utf8");
		this.#pad(length);
	}

	/** An optional string: `*string`. */
	optionalString(value: string | null | undefined): void {
		this.bool(value !== null && value !== undefined);
		if (value !== null && value !== undefined) this.string(value);
	}

	array<T>(values: readonly T[], max: number, write: (value: T) => void): void {
		if (values.length > max) throw tooLong(values.length, max);
		this.uint(values.length);
		for (const value of values) write(value);
	}

	/** Overwrites an unsigned integer written before, for lengths that are known only at the end. */
	patchUint(at: number, value: number): void {
		this.#bytes.writeUInt32BE(value, at);
	}

	#pad(length: number): void {
		const padding = (4 - (length & 3)) & 3;
		if (padding === 0) return;
		const at = this.#reserve(padding);
		this.#bytes.fill(0, at, at + padding);
	}

	/** Where the next `count` bytes go. May replace the buffer: use `#bytes` only afterwards. */
	#reserve(count: number): number {
		const at = this.#length;
		const needed = at + count;
		if (needed > limit) throw tooLong(needed, limit);
		if (needed > this.#bytes.length) {
			const grown = Buffer.allocUnsafe(Math.min(limit, Math.max(needed, this.#bytes.length * 2)));
			this.#bytes.copy(grown, 0, 0, at);
			this.#bytes = grown;
		}
		this.#length = needed;
		return at;
	}
}

const tooLong = (length: number, max: number): AppError =>
	new AppError("invalid", `A value for libvirt is too long (${length}, at most ${max}).`);
