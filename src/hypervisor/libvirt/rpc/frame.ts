/**
 * Frames of libvirt's RPC (virnetprotocol.x): a length word that counts itself, a header of six words, the payload.
 * FrameParser takes bytes in any portions and hands out whole frames. It trusts nothing: a length out of bounds or a
 * header word out of range is a ProtocolError, after which the parser must not be used again; memory grows only with
 * what has arrived, never with what was announced.
 */
import { ProtocolError } from "./errors.ts";
import { headerBytes, initialBufferBytes, lengthWordBytes, maxMessageBytes } from "./limits.ts";
import { keepaliveProgram, keepaliveVersion, remoteProgram, remoteVersion } from "./protocol.ts";
import { XdrWriter } from "./xdr-writer.ts";

export type FrameHeader = {
	program: number;
	procedure: number;
	type: number;
	serial: number;
	status: number;
};
/** The payload shares memory with what was fed in: copy what must outlive the callback. */
export type Frame = FrameHeader & { payload: Uint8Array };

const minFrameBytes = lengthWordBytes + headerBytes;
const maxFrameBytes = lengthWordBytes + maxMessageBytes;

/** A whole frame. `write` adds the payload; more than libvirt takes is `invalid`. */
export function encodeFrame(header: FrameHeader, write?: (writer: XdrWriter) => void): Uint8Array {
	const writer = new XdrWriter();
	writer.uint(0);
	writer.uint(header.program);
	writer.uint(header.program === keepaliveProgram ? keepaliveVersion : remoteVersion);
	writer.int(header.procedure);
	writer.int(header.type);
	writer.uint(header.serial);
	writer.int(header.status);
	write?.(writer);
	writer.patchUint(0, writer.length);
	return writer.bytes;
}

/** A frame of a stream: its payload is raw, without length or padding. */
export function encodeStreamFrame(header: FrameHeader, data: Uint8Array): Uint8Array {
	const frame = new Uint8Array(minFrameBytes + data.length);
	frame.set(encodeFrame(header), 0);
	frame.set(data, minFrameBytes);
	new DataView(frame.buffer).setUint32(0, frame.length);
	return frame;
}

export class FrameParser {
	readonly #onFrame: (frame: Frame) => void;
	/** Start of a frame of which more has to come. */
	#buffer: Uint8Array = new Uint8Array(0);
	#filled = 0;

	constructor(onFrame: (frame: Frame) => void) {
		this.#onFrame = onFrame;
	}

	/** Bytes held for a frame that is not whole yet. */
	get heldBytes(): number {
		return this.#buffer.length;
	}

	/** Calls `onFrame` for each frame that `chunk` completes. Throws ProtocolError, and whatever `onFrame` throws. */
	push(chunk: Uint8Array): void {
		let rest = chunk;
		while (rest.length > 0) rest = this.#filled > 0 ? this.#continueFrame(rest) : this.#startFrame(rest);
	}

	/** Whole frames are taken straight from the chunk; a beginning is put aside. Returns what is left. */
	#startFrame(chunk: Uint8Array): Uint8Array {
		if (chunk.length >= lengthWordBytes) {
			const length = frameLength(chunk);
			if (chunk.length >= length) {
				this.#deliver(chunk.subarray(0, length));
				return chunk.subarray(length);
			}
		}
		this.#append(chunk);
		return chunk.subarray(chunk.length);
	}

	#continueFrame(chunk: Uint8Array): Uint8Array {
		if (this.#filled < lengthWordBytes) {
			const missing = chunk.subarray(0, lengthWordBytes - this.#filled);
			this.#append(missing);
			if (this.#filled === lengthWordBytes) frameLength(this.#buffer);
			return chunk.subarray(missing.length);
		}
		const length = frameLength(this.#buffer);
		const missing = chunk.subarray(0, length - this.#filled);
		this.#append(missing);
		if (this.#filled === length) {
			const frame = this.#buffer.subarray(0, length);
			this.#buffer = new Uint8Array(0);
			this.#filled = 0;
			this.#deliver(frame);
		}
		return chunk.subarray(missing.length);
	}

	#append(data: Uint8Array): void {
		const needed = this.#filled + data.length;
		if (needed > this.#buffer.length) {
			const announced =
				needed >= lengthWordBytes && this.#filled >= lengthWordBytes ? frameLength(this.#buffer) : needed;
			const grown = Math.max(needed, Math.min(announced, Math.max(initialBufferBytes, this.#buffer.length * 4)));
			const buffer = new Uint8Array(grown);
			buffer.set(this.#buffer.subarray(0, this.#filled));
			this.#buffer = buffer;
		}
		this.#buffer.set(data, this.#filled);
		this.#filled = needed;
	}

	#deliver(frame: Uint8Array): void {
		const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
		const program = view.getUint32(4);
		const version = view.getUint32(8);
		const type = view.getUint32(16);
		const status = view.getUint32(24);
		const known =
			(program === remoteProgram && version === remoteVersion) ||
			(program === keepaliveProgram && version === keepaliveVersion);
		if (!known) throw new ProtocolError(`a message of program 0x${program.toString(16)}, version ${version}`);
		if (type > 3) throw new ProtocolError(`a message of type ${type}`);
		if (status > 2) throw new ProtocolError(`a message with status ${status}`);
		this.#onFrame({
			program,
			procedure: view.getInt32(12),
			type,
			serial: view.getUint32(20),
			status,
			payload: frame.subarray(minFrameBytes),
		});
	}
}

function frameLength(bytes: Uint8Array): number {
	const length = new DataView(bytes.buffer, bytes.byteOffset, lengthWordBytes).getUint32(0);
	if (length < minFrameBytes || length > maxFrameBytes) throw new ProtocolError(`a message of ${length} bytes`);
	return length;
}
