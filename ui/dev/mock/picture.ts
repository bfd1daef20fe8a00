/** A PNG of the mock's screen (for the thumbnail), written by hand: filter 0, true colour. */
import { crc32, deflateSync } from "node:zlib";
import { pixel, screenHeight, screenWidth } from "./vnc.ts";

let cached: Uint8Array<ArrayBuffer> | null = null;

export function screenPicture(): Uint8Array<ArrayBuffer> {
	if (cached) return cached;
	const rows = Buffer.alloc((screenWidth * 3 + 1) * screenHeight);
	for (let y = 0; y < screenHeight; y++) {
		for (let x = 0; x < screenWidth; x++) {
			const [blue, green, red] = pixel(x, y, 0);
			rows.set([red, green, blue], y * (screenWidth * 3 + 1) + 1 + x * 3);
		}
	}
	const header = Buffer.alloc(13);
	header.writeUInt32BE(screenWidth, 0);
	header.writeUInt32BE(screenHeight, 4);
	header.set([8, 2, 0, 0, 0], 8);
	cached = new Uint8Array(
		Buffer.concat([
			Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]),
			chunk("IHDR", header),
			chunk("IDAT", deflateSync(rows)),
			chunk("IEND", Buffer.alloc(0)),
		]),
	);
	return cached;
}

function chunk(type: string, data: Buffer): Buffer {
	const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
	const out = Buffer.alloc(body.length + 8);
	out.writeUInt32BE(data.length, 0);
	body.copy(out, 4);
	out.writeUInt32BE(crc32(body), body.length + 4);
	return out;
}
