/** Writes PNG images (W3C PNG, third edition): 8-bit RGB, no interlace, no filter. For pictures that tests leave behind. */
import { deflateSync } from "node:zlib";
import { assert } from "../../lib/assert.ts";

const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
const colourTypeRgb = 2;

/** `rgb`: three bytes a pixel, row by row from the top left. */
export function encodePng(width: number, height: number, rgb: Uint8Array): Uint8Array {
	assert(width > 0 && height > 0, "a PNG has at least one pixel");
	assert(rgb.length === width * height * 3, "three bytes for each pixel");
	const header = Buffer.alloc(13);
	header.writeUInt32BE(width, 0);
	header.writeUInt32BE(height, 4);
	header.set([8, colourTypeRgb, 0, 0, 0], 8);

	const rowBytes = width * 3;
	const rows = Buffer.alloc((rowBytes + 1) * height); // each row starts with its filter type, 0
	for (let y = 0; y < height; y++) rows.set(rgb.subarray(y * rowBytes, (y + 1) * rowBytes), y * (rowBytes + 1) + 1);
	return Buffer.concat([
		signature,
		chunk("IHDR", header),
		chunk("IDAT", deflateSync(rows)),
		chunk("IEND", new Uint8Array()),
	]);
}

/** Length, type, data, CRC-32 of type and data. */
function chunk(type: string, data: Uint8Array): Buffer {
	const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
	const out = Buffer.alloc(body.length + 8);
	out.writeUInt32BE(data.length, 0);
	out.set(body, 4);
	out.writeUInt32BE(Bun.hash.crc32(body), body.length + 4);
	return out;
}
