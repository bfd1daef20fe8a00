/** What a driver says of volumes, for people. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { fixtureId } from "../testing/fixtures.ts";
import { withVolumeNames } from "./volume-names.ts";

const [base, copy, stray] = [fixtureId(1), fixtureId(2), fixtureId(3)];
const names = new Map([
	[base, "base"],
	[copy, "web-1"],
]);

test("volumes that have a record are called by their names, others by their ids", () => {
	const said = `Other volumes are copy-on-write copies of volume ${base}: ${copy}, volume.${stray}.`;
	expect(withVolumeNames(new AppError("in-use", said), (id) => names.get(id))).toMatchObject({
		code: "in-use",
		message: `Other volumes are copy-on-write copies of volume base: web-1, volume.${stray}.`,
	});
});

test("another failure is as it came", () => {
	const failure = new AppError("storage", `The file of volume ${base} is missing.`);
	expect(withVolumeNames(failure, (id) => names.get(id))).toBe(failure);
});
