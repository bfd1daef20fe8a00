/** A picture of a screen and the comparisons that tests make. Pictures of different size always differ. */

import { encodePng } from "../../hypervisor/png.ts";
import { assert } from "../../lib/assert.ts";

/** A text cursor that blinks, as a block: the most in which two pictures of a calm text screen may differ. */
export const cursorPixels = 9 * 16;

export class Screenshot {
	readonly width: number;
	readonly height: number;
	/** Three bytes a pixel (red, green, blue), row by row from the top left. */
	readonly rgb: Uint8Array;

	constructor(width: number, height: number, rgb: Uint8Array) {
		assert(rgb.length === width * height * 3, "three bytes for each pixel");
		this.width = width;
		this.height = height;
		this.rgb = rgb;
	}

	/** 0xRRGGBB. */
	pixel(x: number, y: number): number {
		assert(x >= 0 && y >= 0 && x < this.width && y < this.height, `pixel ${x},${y} is outside the picture`);
		return this.#colourAt(y * this.width + x);
	}

	/** 1 for a blank screen; text on a console has a handful. */
	countDistinctColours(): number {
		const colours = new Set<number>();
		for (let index = 0; index < this.width * this.height; index++) colours.add(this.#colourAt(index));
		return colours.size;
	}

	/** How many pixels are not the same in `other`; all of them when the sizes differ. */
	countDifferingPixels(other: Screenshot): number {
		const total = this.width * this.height;
		if (other.width !== this.width || other.height !== this.height) return Math.max(total, other.width * other.height);
		let differing = 0;
		for (let index = 0; index < total; index++) if (this.#colourAt(index) !== other.#colourAt(index)) differing += 1;
		return differing;
	}

	/** Whether at least `minimumPixels` differ. A blinking text cursor alone is at most 32 (9 × 16 when it is a block: 144). */
	differsFrom(other: Screenshot, minimumPixels = 1): boolean {
		return this.countDifferingPixels(other) >= minimumPixels;
	}

	toPng(): Promise<Uint8Array> {
		return encodePng({ width: this.width, height: this.height, pixels: this.rgb });
	}

	async writePng(path: string): Promise<void> {
		await Bun.write(path, await this.toPng());
	}

	#colourAt(index: number): number {
		const at = index * 3;
		return ((this.rgb[at] ?? 0) << 16) | ((this.rgb[at + 1] ?? 0) << 8) | (this.rgb[at + 2] ?? 0);
	}
}
