/** When the ballast is made, and how much of it. Giving it up: ballast-file.test.ts, ballast.lab.test.ts. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MiB } from "../lib/units.ts";
import { ballastToAdd, isWhole } from "./disk-reserve.ts";

const reserveBytes = 32 * MiB;
const stepBytes = MiB;
const add = (othersMiB: number, heldMiB: number) =>
	ballastToAdd({ othersBytes: othersMiB * MiB, heldBytes: heldMiB * MiB, reserveBytes, stepBytes }) / MiB;

describe("the ballast", () => {
	test("is made as a whole where there is space", () => {
		expect(add(1000, 0)).toBe(32);
		expect(add(64, 0)).toBe(32);
		expect(add(1000, 32)).toBe(0);
	});

	test("leaves others as much as it will ever be", () => {
		expect(add(63, 0)).toBe(31);
		expect(add(40, 0)).toBe(8);
		expect(add(33, 31)).toBe(1);
		expect(add(32, 0)).toBe(0);
		expect(add(0, 0)).toBe(0);
	});

	test("comes and goes by whole steps", () => {
		expect(add(1000, 31.5)).toBe(0);
		expect(add(1000, 30.5)).toBe(1);
		expect(isWhole({ heldBytes: 31.5 * MiB, reserveBytes, stepBytes })).toBe(true);
		expect(isWhole({ heldBytes: 31 * MiB, reserveBytes, stepBytes })).toBe(false);
	});

	test("never takes the last space, and is never larger than what is kept", () => {
		const bytes = fc.nat(200 * MiB);
		fc.assert(
			fc.property(bytes, bytes, (othersBytes, heldBytes) => {
				const added = ballastToAdd({ othersBytes, heldBytes, reserveBytes, stepBytes });
				expect(added).toBeGreaterThanOrEqual(0);
				if (added === 0) return;
				expect(heldBytes + added).toBeLessThanOrEqual(reserveBytes);
				expect(othersBytes - added).toBeGreaterThanOrEqual(reserveBytes);
				// What is missing afterwards waits until there is more space.
				const after = { othersBytes: othersBytes - added, heldBytes: heldBytes + added, reserveBytes, stepBytes };
				expect(ballastToAdd(after)).toBe(0);
			}),
		);
	});
});
