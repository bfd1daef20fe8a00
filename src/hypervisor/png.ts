/** PNG (ISO/IEC 15948) from raw RGB pixels, and portable pixmaps (PPM, "P6") as QEMU writes them. Pure. */
import { promisify } from "node:util";
import { crc32, deflate } from "node:zlib";
import { AppError } from "../lib/errors.ts";

export type RgbPicture = { width: number; height: number; pixels: Uint8Array };

const signature = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const maxSide = 16_384;
/** Away from the event loop: a picture takes tens of milliseconds. */
const compress = promisify<Uint8Array, { level: number }, Uint8Array>(deflate);

export const isPng = (bytes: Uint8Array): boolean =>
	bytes.length > signature.length && signature.every((byte, index) => bytes[index] === byte);

/** 8 bits a channel, no alpha, no interlace; `pixels` holds width × height × 3 bytes. */
export async function encodePng(picture: RgbPicture): Promise<Uint8Array> {
	const { width, height, pixels } = picture;
	const stride = width * 3;
	if (pixels.length !== stride * height)
		throw new AppError("malformed", "The picture has not as many pixels as it says.");
	const rows = new Uint8Array((stride + 1) * height);
	// Filter type 2 ("up"): screens have many equal rows, which become zeros.
	for (let y = 0; y < height; y++) {
		const out = y * (stride + 1);
		rows[out] = 2;
		for (let x = 0; x < stride; x++) {
			const above = y === 0 ? 0 : (pixels[(y - 1) * stride + x] ?? 0);
			rows[out + 1 + x] = (pixels[y * stride + x] ?? 0) - above;
		}
	}
	const header = new Uint8Array(13);
	const view = new DataView(header.buffer);
	view.setUint32(0, width);
	view.setUint32(4, height);
	header.set([8, 2, 0, 0, 0], 8);
	return Buffer.concat([
		signature,
		chunk("IHDR", header),
		chunk("IDAT", await compress(rows, { level: 3 })),
		chunk("IEND", new Uint8Array()),
	]);
}

function chunk(type: string, data: Uint8Array): Uint8Array {
	const bytes = Buffer.alloc(12 + data.length);
	bytes.writeUInt32BE(data.length, 0);
	bytes.write(type, 4, "latin1");
	bytes.set(data, 8);
	bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.length)), 8 + data.length);
	return bytes;
}

/** Reads a binary PPM with 8 bits a channel and no comment, as QEMU writes it. Fails with `malformed`, on sides over 16,384 too. */
export function decodePpm(bytes: Uint8Array): RgbPicture {
	const header = Buffer.from(bytes.subarray(0, 256)).toString("latin1");
	const match = /^P6\s(\d{1,5})\s(\d{1,5})\s255\s/.exec(header);
	if (!match) throw new AppError("malformed", "The picture of the screen is not a pixmap.");
	const [width, height] = [Number(match[1]), Number(match[2])];
	if (width < 1 || height < 1 || width > maxSide || height > maxSide)
		throw new AppError("malformed", "The picture of the screen has an impossible size.");
	const pixels = bytes.subarray(match[0].length, match[0].length + width * height * 3);
	if (pixels.length !== width * height * 3) throw new AppError("malformed", "The picture of the screen is cut short.");
	return { width, height, pixels };
}
