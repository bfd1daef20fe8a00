/** RFB 3.8 on the wire (RFC 6143): the client's side of the handshake and the messages that a client sends. */
import { AppError } from "../../lib/errors.ts";
import type { ByteStream } from "./byte-stream.ts";

export const encodings = { raw: 0, desktopSize: -223 } as const;
export const serverMessages = { framebufferUpdate: 0, bell: 2, cutText: 3 } as const;

const securityNone = 1;
const maximumSide = 8192;
const maximumTextBytes = 1024 * 1024;

export const corrupt = (what: string): AppError => new AppError("corrupt", `VNC: ${what}.`);

/** Up to and with ServerInit, then asks for our pixel format and encodings. Errors as in VncClient.connect. */
export async function handshake(stream: ByteStream): Promise<{ width: number; height: number; name: string }> {
	const version = (await stream.read(12)).toString("latin1");
	if (!/^RFB \d{3}\.\d{3}\n$/.test(version)) throw corrupt("the server does not speak RFB");
	stream.write(Buffer.from("RFB 003.008\n"));
	const typeCount = (await stream.read(1)).readUInt8();
	if (typeCount === 0) throw new AppError("unavailable", `The VNC server refused: ${await readText(stream)}`);
	const types = await stream.read(typeCount);
	if (!types.includes(securityNone)) throw new AppError("unsupported", "The VNC server wants a password.");
	stream.write(Uint8Array.of(securityNone));
	if ((await stream.read(4)).readUInt32BE() !== 0)
		throw new AppError("unavailable", `The VNC server refused: ${await readText(stream)}`);
	stream.write(Uint8Array.of(1)); // ClientInit: others may stay connected
	const init = await stream.read(20); // size, and the server's own pixel format, which is not used
	const [width, height] = checkedSize(init.readUInt16BE(0), init.readUInt16BE(2));
	const name = await readText(stream);
	stream.write(pixelFormat);
	stream.write(setEncodings([encodings.raw, encodings.desktopSize]));
	return { width, height, name };
}

/** Fails with `corrupt` for a size that no screen has. */
export function checkedSize(width: number, height: number): [number, number] {
	if (width < 1 || height < 1 || width > maximumSide || height > maximumSide)
		throw corrupt(`a screen of ${width} × ${height}`);
	return [width, height];
}

/** A text with its length in front, bounded. */
export async function readText(stream: ByteStream): Promise<string> {
	const length = (await stream.read(4)).readUInt32BE();
	if (length > maximumTextBytes) throw corrupt(`a text of ${length} bytes`);
	return (await stream.read(length)).toString("utf8");
}

/** SetPixelFormat: 32 bits, depth 24, little endian, true colour, maxima 255, shifts 16, 8, 0: blue, green, red, unused. */
const pixelFormat = Uint8Array.of(0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0);

function setEncodings(list: readonly number[]): Buffer {
	const message = Buffer.alloc(4 + list.length * 4);
	message.writeUInt8(2, 0);
	message.writeUInt16BE(list.length, 2);
	for (const [index, encoding] of list.entries()) message.writeInt32BE(encoding, 4 + index * 4);
	return message;
}

/** Asks for the whole screen: all of it now, or (incremental) what changes. */
export function updateRequest(incremental: boolean, width: number, height: number): Buffer {
	const message = Buffer.alloc(10);
	message.writeUInt8(3, 0);
	message.writeUInt8(incremental ? 1 : 0, 1);
	message.writeUInt16BE(width, 6);
	message.writeUInt16BE(height, 8);
	return message;
}

export function keyEvent(keysym: number, down: boolean): Buffer {
	const message = Buffer.alloc(8);
	message.writeUInt8(4, 0);
	message.writeUInt8(down ? 1 : 0, 1);
	message.writeUInt32BE(keysym, 4);
	return message;
}

export function pointerEvent(x: number, y: number, buttons: number): Buffer {
	const message = Buffer.alloc(6);
	message.writeUInt8(5, 0);
	message.writeUInt8(buttons, 1);
	message.writeUInt16BE(x, 2);
	message.writeUInt16BE(y, 4);
	return message;
}

export function clientCutText(text: string): Buffer {
	const bytes = Buffer.from(text, "latin1");
	const head = Buffer.alloc(8);
	head.writeUInt8(6, 0);
	head.writeUInt32BE(bytes.length, 4);
	return Buffer.concat([head, bytes]);
}
