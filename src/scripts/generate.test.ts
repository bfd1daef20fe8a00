/** Generated files are committed; this keeps them the same as what their sources give. */
import { expect, test } from "bun:test";
import { generateAll } from "./generate.ts";

test("generated files are fresh", async () => {
	expect(await generateAll({ write: false })).toEqual([]);
});
