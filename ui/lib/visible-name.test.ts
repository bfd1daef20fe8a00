import { expect, test } from "bun:test";
import { visibleName } from "./visible-name.ts";

test("what cannot be seen is written out, the rest stays", () => {
	for (const name of ["debian 12.iso", "Größe 大.img", "a\\b", "<b>&amp;</b>", "\ufffd"])
		expect(visibleName(name)).toBe(name);
	expect(visibleName("a\nb\tc\u001b[31m")).toBe("a\\nb\\tc\\u001b[31m");
	expect(visibleName("\u202egpj.exe\u200b")).toBe("\\u202egpj.exe\\u200b");
	expect([visibleName(" "), visibleName(" a  b ")]).toEqual(["␣", "␣a␣ b␣"]);
});
