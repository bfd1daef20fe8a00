/** Puts machine code together: bytes as hexadecimal text, labels, and references to labels that are filled in at the end. */
import { assert, present } from "../lib/assert.ts";

type Reference = { at: number; label: string; kind: "absolute16" | "absolute32" | "relative8" | "relative16" };

export class MachineCode {
	readonly #base: number;
	readonly #bytes: Uint8Array;
	readonly #labels = new Map<string, number>();
	readonly #references: Reference[] = [];
	#at = 0;

	/** `base` is the linear address of the first byte; what is not written stays zero. */
	constructor(base: number, sizeBytes: number) {
		this.#base = base;
		this.#bytes = new Uint8Array(sizeBytes);
	}

	/** Goes on writing at this offset, which must not lie before what is written. */
	seek(offset: number): this {
		assert(offset >= this.#at && offset < this.#bytes.length, `offset ${offset} is taken or outside`);
		this.#at = offset;
		return this;
	}

	label(name: string): this {
		assert(!this.#labels.has(name), `label ${name} is there twice`);
		this.#labels.set(name, this.#at);
		return this;
	}

	/** "0f 20 c0": bytes in hexadecimal. */
	code(hex: string): this {
		for (const pair of hex.split(" ")) {
			assert(/^[0-9a-f]{2}$/.test(pair), `"${pair}" is not a byte`);
			this.#bytes[this.#at++] = Number.parseInt(pair, 16);
		}
		assert(this.#at <= this.#bytes.length, "the code does not fit");
		return this;
	}

	u16(value: number): this {
		return this.#number(value, 2);
	}

	u32(value: number): this {
		return this.#number(value, 4);
	}

	/** Two bytes: the label's offset from the base. */
	offset16(label: string): this {
		return this.#refer("absolute16", label, 2);
	}

	/** Four bytes: the label's linear address. */
	address32(label: string): this {
		return this.#refer("absolute32", label, 4);
	}

	/** One byte: the distance to the label from the next byte on, as short jumps take it. */
	jump8(label: string): this {
		return this.#refer("relative8", label, 1);
	}

	/** Two bytes, as near jumps of 16-bit code take it: the address wraps within its 64 KiB. */
	jump16(label: string): this {
		return this.#refer("relative16", label, 2);
	}

	/** The finished image. Throws when a label is missing or too far away. */
	build(): Uint8Array {
		const view = new DataView(this.#bytes.buffer);
		for (const { at, label, kind } of this.#references) {
			const target = present(this.#labels.get(label), `label ${label}`);
			if (kind === "absolute16") view.setUint16(at, target, true);
			else if (kind === "absolute32") view.setUint32(at, this.#base + target, true);
			else if (kind === "relative16") view.setInt16(at, target - (at + 2), true);
			else {
				const distance = target - (at + 1);
				assert(distance >= -128 && distance <= 127, `label ${label} is too far for a short jump`);
				view.setInt8(at, distance);
			}
		}
		return this.#bytes.slice();
	}

	#number(value: number, size: number): this {
		for (let index = 0; index < size; index++) this.#bytes[this.#at++] = Math.floor(value / 256 ** index) % 256;
		return this;
	}

	#refer(kind: Reference["kind"], label: string, size: number): this {
		this.#references.push({ at: this.#at, label, kind });
		this.#at += size;
		return this;
	}
}
