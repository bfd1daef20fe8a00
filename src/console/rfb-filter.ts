/**
 * The client's half of an RFB 3.8 stream (RFC 6143), read as it passes: the ClientInit flag is always set to shared,
 * so that nobody throws others out, and for a view-only console every message that could change the guest is dropped.
 * What cannot be parsed ends a view-only console: an unknown message must not carry input past the filter. Fed with
 * pieces of any size; holds at most one message header at a time.
 */

/** Handshake as QEMU does it with security type None: version, chosen type, ClientInit. */
type Phase = "version" | "security" | "client-init" | "messages";

/** Client messages: how long they are, and whether a viewer may send them. Lengths follow RFC 6143 and the community's extension list. */
type Kind = { headerBytes: number; bodyBytes: (header: DataView) => number; allowed: boolean };
const none = () => 0;
const kinds: Record<number, Kind> = {
	0: { headerBytes: 20, bodyBytes: none, allowed: true }, // SetPixelFormat
	2: { headerBytes: 4, bodyBytes: (header) => header.getUint16(2) * 4, allowed: true }, // SetEncodings
	3: { headerBytes: 10, bodyBytes: none, allowed: true }, // FramebufferUpdateRequest
	4: { headerBytes: 8, bodyBytes: none, allowed: false }, // KeyEvent
	5: { headerBytes: 6, bodyBytes: none, allowed: false }, // PointerEvent
	6: { headerBytes: 8, bodyBytes: (header) => Math.abs(header.getInt32(4)), allowed: false }, // ClientCutText, extended ones too
	150: { headerBytes: 10, bodyBytes: none, allowed: true }, // EnableContinuousUpdates
	248: { headerBytes: 9, bodyBytes: (header) => header.getUint8(8), allowed: true }, // ClientFence
	250: { headerBytes: 4, bodyBytes: none, allowed: false }, // xvp (power)
	251: { headerBytes: 8, bodyBytes: (header) => header.getUint8(6) * 16, allowed: false }, // SetDesktopSize
};
/** QEMU's messages: extended key event (12 bytes), audio (4 bytes, 10 with a format). */
const qemuHeaderBytes = (subtype: number, operation: number): number | null =>
	subtype === 0 ? 12 : subtype === 1 ? (operation === 2 ? 10 : 4) : null;

export type FilterResult = { forward: Uint8Array; error: string | null };

export class RfbClientFilter {
	readonly #viewOnly: boolean;
	#phase: Phase = "version";
	/** The start of a message whose header is not complete. */
	#held: Uint8Array = new Uint8Array(0);
	/** Bytes of the present message's body still to come, and what to do with them. */
	#bodyLeft = 0;
	#bodyAllowed = false;

	constructor(viewOnly: boolean) {
		this.#viewOnly = viewOnly;
	}

	/** What may go on to QEMU. After an error nothing more may be fed. */
	feed(chunk: Uint8Array): FilterResult {
		if (this.#phase === "messages" && !this.#viewOnly) return { forward: chunk, error: null };
		const input = this.#held.length > 0 ? concat(this.#held, chunk) : chunk;
		this.#held = new Uint8Array(0);
		const out: Uint8Array[] = [];
		let at = 0;
		while (at < input.length) {
			if (this.#bodyLeft > 0) {
				const taken = Math.min(this.#bodyLeft, input.length - at);
				if (this.#bodyAllowed) out.push(input.subarray(at, at + taken));
				this.#bodyLeft -= taken;
				at += taken;
				continue;
			}
			const used = this.#step(input.subarray(at), out);
			if (typeof used === "string") return { forward: concat(...out), error: used };
			if (used === 0) {
				this.#held = input.slice(at);
				break;
			}
			at += used;
		}
		return { forward: out.length === 1 && out[0] ? out[0] : concat(...out), error: null };
	}

	/** Takes one unit from the front: its length, 0 when more bytes are needed, or why the stream is refused. */
	#step(input: Uint8Array, out: Uint8Array[]): number | string {
		switch (this.#phase) {
			case "version":
				if (input.length < 12) return 0;
				if (!/^RFB 003\.00[78]\n$/.test(new TextDecoder("latin1").decode(input.subarray(0, 12))))
					return "not an RFB client";
				this.#phase = "security";
				out.push(input.subarray(0, 12));
				return 12;
			case "security":
				if (input[0] !== 1) return "the client asked for a security type that was not offered";
				this.#phase = "client-init";
				out.push(input.subarray(0, 1));
				return 1;
			case "client-init":
				this.#phase = "messages";
				out.push(new Uint8Array([1]));
				return 1;
			case "messages":
				if (!this.#viewOnly) {
					out.push(input);
					return input.length;
				}
				return this.#message(input, out);
		}
	}

	#message(input: Uint8Array, out: Uint8Array[]): number | string {
		const type = input[0] ?? 0;
		if (type === 255) {
			if (input.length < 4) return 0;
			const needed = qemuHeaderBytes(input[1] ?? 0, input[3] ?? 0);
			if (needed === null) return "unknown QEMU message from a view-only client";
			return input.length < needed ? 0 : needed;
		}
		const kind = kinds[type];
		if (!kind) return `message type ${type} from a view-only client`;
		if (input.length < kind.headerBytes) return 0;
		if (kind.allowed) out.push(input.subarray(0, kind.headerBytes));
		this.#bodyLeft = kind.bodyBytes(new DataView(input.buffer, input.byteOffset, kind.headerBytes));
		this.#bodyAllowed = kind.allowed;
		return kind.headerBytes;
	}
}

function concat(...parts: Uint8Array[]): Uint8Array {
	const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
	let at = 0;
	for (const part of parts) {
		whole.set(part, at);
		at += part.length;
	}
	return whole;
}
