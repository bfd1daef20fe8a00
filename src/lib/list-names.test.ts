/** Which ones, in words. */
import { expect, test } from "bun:test";
import { listNames, subjectOf } from "./list-names.ts";

const many = Array.from({ length: 12 }, (_, at) => `v${at + 1}`);

test("all of them, up to ten, and how many more", () => {
	expect([[], ["a"], ["a", "b"], ["a", "b", "c"]].map(listNames)).toEqual(["", "a", "a and b", "a, b and c"]);
	expect(listNames(many.slice(0, 10))).toBe("v1, v2, v3, v4, v5, v6, v7, v8, v9 and v10");
	expect(listNames(many)).toBe("v1, v2, v3, v4, v5, v6, v7, v8, v9, v10 and 2 more");
});

test("as the subject of a sentence", () => {
	const volumes = (names: string[]) => ({ noun: "volume", names });
	const images = (names: string[]) => ({ noun: "image", names });
	expect(subjectOf([volumes(["a"]), images([])])).toBe("The volume a is");
	expect(subjectOf([volumes(["a", "b"])])).toBe("The volumes a and b are");
	expect(subjectOf([volumes(["a"]), images(["b", "c"])])).toBe("The volume a, and the images b and c are");
	expect(subjectOf([volumes(many)])).toEndWith("v10 and 2 more are");
});
