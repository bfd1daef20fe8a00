/** What people read of fields that were refused. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { describeFailure } from "./failure.ts";

const refused = (message: string, ...paths: string[]) =>
	describeFailure(
		new AppError("invalid", "It must not be empty.", { fields: paths.map((path) => ({ path, message })) }),
		"table",
	);

test("the only field is not said twice; of several none is left out, though they have the same text", () => {
	expect(refused("It must not be empty.", "/name")).toBe("Error: It must not be empty.\n");
	expect(refused("It must not be empty.", "/name", "/disks/0/name")).toBe(
		"Error: It must not be empty.\n  /name: It must not be empty.\n  /disks/0/name: It must not be empty.\n",
	);
	expect(refused("Too long.", "/name")).toBe("Error: It must not be empty.\n  /name: Too long.\n");
});
