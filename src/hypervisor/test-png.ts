/** Pixels of a PNG of 8-bit RGB without interlace, for tests of what the driver gives. Imported by tests only. */
import { inflateSync } from "node:zlib";
import { assert } from "../lib/assert.ts";
import type { RgbPicture } from "./png.ts";

export function decodePng(png: Uint8Array): RgbPicture {
	const bytes = Buffer.from(png);
	const [width, height] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
	assert(bytes[24] === 8 && bytes[25] === 2 && bytes[28] === 0, "the PNG is 8-bit RGB without interlace");
	const parts: Buffer[] = [];
	for (let at = 8; at < bytes.length; at += 12 + bytes.readUInt32BE(at))
		if (bytes.toString("latin1", at + 4, at + 8) === "IDAT")
			parts.push(bytes.subarray(at + 8, at + 8 + bytes.readUInt32BE(at)));
	const rows = inflateSync(Buffer.concat(parts));
	const stride = width * 3;
	const pixels = new Uint8Array(stride * height);
	for (let y = 0; y < height; y++) {
		const filter = rows[y * (stride + 1)] ?? 0;
		for (let x = 0; x < stride; x++) {
			const at = y * stride + x;
			const left = x < 3 ? 0 : (pixels[at - 3] ?? 0);
			const up = y === 0 ? 0 : (pixels[at - stride] ?? 0);
			const corner = x < 3 || y === 0 ? 0 : (pixels[at - stride - 3] ?? 0);
			const guess = [0, left, up, Math.floor((left + up) / 2), paeth(left, up, corner)][filter];
			assert(guess !== undefined, `${filter} is not a filter of PNG`);
			pixels[at] = (rows[y * (stride + 1) + 1 + x] ?? 0) + guess;
		}
	}
	return { width, height, pixels };
}

function paeth(left: number, up: number, corner: number): number {
	const estimate = left + up - corner;
	const distance = (value: number) => Math.abs(estimate - value);
	if (distance(left) <= distance(up) && distance(left) <= distance(corner)) return left;
	return distance(up) <= distance(corner) ? up : corner;
}
