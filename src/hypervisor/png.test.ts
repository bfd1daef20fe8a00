import { describe, expect, test } from "bun:test";
import { decodePpm, encodePng, isPng } from "./png.ts";
import { decodePng } from "./test-png.ts";

const malformed = (bytes: Uint8Array) =>
	expect(() => decodePpm(bytes)).toThrow(expect.objectContaining({ code: "malformed" }));
const ppm = (header: string, ...pixels: number[]) => Buffer.concat([Buffer.from(header), Buffer.from(pixels)]);

describe("PNG", () => {
	test("holds the pixels that it was given", async () => {
		const pixels = Uint8Array.from({ length: 5 * 4 * 3 }, (_, index) => (index * 37) % 256);
		const png = await encodePng({ width: 5, height: 4, pixels });
		expect(isPng(png)).toBe(true);
		expect(decodePng(png)).toEqual({ width: 5, height: 4, pixels });
		expect(Buffer.from(png).subarray(-12).toString("hex")).toBe("0000000049454e44ae426082");
	});

	test("is not made of the wrong number of pixels", async () => {
		await expect(encodePng({ width: 2, height: 2, pixels: new Uint8Array(11) })).rejects.toMatchObject({
			code: "malformed",
		});
	});

	test("is read by somebody else", async () => {
		const png = await encodePng({ width: 300, height: 200, pixels: new Uint8Array(300 * 200 * 3).fill(200) });
		const { stdout } = Bun.spawnSync(["file", "-"], { stdin: png });
		expect(stdout.toString()).toContain("PNG image data, 300 x 200, 8-bit/color RGB, non-interlaced");
	});
});

describe("PPM", () => {
	test("is read as QEMU writes it", () => {
		expect(decodePpm(ppm("P6\n2 1\n255\n", 1, 2, 3, 4, 5, 6))).toEqual({
			width: 2,
			height: 1,
			pixels: Buffer.from([1, 2, 3, 4, 5, 6]),
		});
	});

	test("of any other kind is refused", () => {
		for (const header of [
			"",
			"P5\n1 1\n255\n",
			"P6\n1 1\n65535\n",
			"P6\n0 1\n255\n",
			"P6\n99999 1\n255\n",
			"P6 -1 1 255 ",
		])
			malformed(ppm(header, 1, 2, 3));
		malformed(ppm("P6\n2 1\n255\n", 1, 2, 3, 4, 5));
		malformed(ppm(`P6${" ".repeat(10_000)}`));
	});
});
