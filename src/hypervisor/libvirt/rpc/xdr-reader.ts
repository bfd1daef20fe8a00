/**
 * Decoder for XDR (RFC 4506) over one message. Every length is checked against its bound and against what is left before
 * anything is allocated; whatever does not fit is a ProtocolError.
 */
import { ProtocolError } from "./errors.ts";
import { maxStringBytes } from "./limits.ts";

export class XdrReader {
	readonly #bytes: Buffer;
	#at = 0;

	constructor(bytes: Uint8Array) {
		this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	}

	get remaining(): number {
		return this.#bytes.length - this.#at;
	}

	int(): number {
		return this.#bytes.readInt32BE(this.#take(4));
	}

	uint(): number {
		return this.#bytes.readUInt32BE(this.#take(4));
	}

	/** Signed 64-bit, as a number (see types.ts). */
	hyper(): number {
		const at = this.#take(8);
		return this.#bytes.readInt32BE(at) * 0x1_0000_0000 + this.#bytes.readUInt32BE(at + 4);
	}

	/** Unsigned 64-bit, as a number (see types.ts). */
	uhyper(): number {
		const at = this.#take(8);
		return this.#bytes.readUInt32BE(at) * 0x1_0000_0000 + this.#bytes.readUInt32BE(at + 4);
	}

	double(): number {
		return this.#bytes.readDoubleBE(this.#take(8));
	}

	bool(): boolean {
		const value = this.uint();
		if (value > 1) throw new ProtocolError(`a truth value of ${value}`);
		return value === 1;
	}

	/** A copy of `length` bytes: `opaque[n]`. */
	fixedOpaque(length: number): Buffer {
		const at = this.#take(padded(length));
		return Buffer.from(this.#bytes.subarray(at, at + length));
	}

	opaque(max: number): Buffer {
		return this.fixedOpaque(this.#length(max));
	}

	string(max = maxStringBytes): string {
		const length = this.#length(max);
		const at = this.#take(padded(length));
		return this.#bytes.toString("utf8", at, at + length);
	}

	optionalString(): string | null {
		return this.bool() ? this.string() : null;
	}

	optional<T>(read: () => T): T | null {
		return this.bool() ? read() : null;
	}

	array<T>(max: number, read: () => T): T[] {
		const count = this.#length(max);
		// Every element takes four bytes at least, so a count beyond that is a lie and nothing is reserved for it.
		if (count * 4 > this.remaining) throw new ProtocolError(`${count} elements in ${this.remaining} bytes`);
		const values: T[] = [];
		for (let i = 0; i < count; i++) values.push(read());
		return values;
	}

	/** Must be called when all was read: what is left over means that both sides disagree about the layout. */
	end(): void {
		if (this.remaining !== 0) throw new ProtocolError(`${this.remaining} bytes too many`);
	}

	#length(max: number): number {
		const length = this.uint();
		if (length > max) throw new ProtocolError(`a length of ${length} where at most ${max} are allowed`);
		return length;
	}

	#take(count: number): number {
		const at = this.#at;
		if (count > this.#bytes.length - at) throw new ProtocolError(`${count} bytes wanted, ${this.remaining} left`);
		this.#at = at + count;
		return at;
	}
}

const padded = (length: number): number => (length + 3) & ~3;
