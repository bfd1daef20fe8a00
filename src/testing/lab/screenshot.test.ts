import { expect, test } from "bun:test";
import { Screenshot } from "./screenshot.ts";

test("pictures are compared pixel by pixel", () => {
	const black = new Screenshot(2, 1, Uint8Array.of(0, 0, 0, 0, 0, 0));
	const mixed = new Screenshot(2, 1, Uint8Array.of(0, 0, 0, 1, 2, 3));
	expect(black.countDistinctColours()).toBe(1);
	expect(mixed.countDistinctColours()).toBe(2);
	expect(mixed.pixel(1, 0)).toBe(0x010203);
	expect(mixed.countDifferingPixels(black)).toBe(1);
	expect(mixed.differsFrom(black)).toBe(true);
	expect(mixed.differsFrom(black, 2)).toBe(false);
	expect(black.differsFrom(black)).toBe(false);
	expect(black.differsFrom(new Screenshot(1, 1, Uint8Array.of(0, 0, 0)))).toBe(true);
});

test("the wrong amount of data is refused", () => {
	expect(() => new Screenshot(1, 1, new Uint8Array(4))).toThrow();
});
