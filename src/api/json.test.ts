import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseJson } from "./json.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const names = (value: unknown): boolean =>
	Array.isArray(value)
		? value.every(names)
		: typeof value !== "object" ||
			value === null ||
			Object.entries(value).every(
				([name, item]) =>
					!["__proto__", "constructor", "prototype"].includes(name) && name.isWellFormed() && names(item),
			);

test("reads what JSON.parse reads, for all that has no traps", () => {
	fc.assert(
		fc.property(fc.jsonValue({ maxDepth: 6 }), fc.constantFrom(undefined, " ", "\n\t"), (value, space) => {
			fc.pre(names(value));
			const text = JSON.stringify(value, null, space);
			expect(parseJson(bytes(text))).toEqual(JSON.parse(text));
		}),
	);
});

test("whatever comes in, it is a value or `malformed`", () => {
	fc.assert(
		fc.property(fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'{}[]:,"\\u 01tn') })), (text) => {
			try {
				parseJson(bytes(text));
			} catch (error) {
				expect(error).toMatchObject({ code: "malformed" });
			}
		}),
		{ numRuns: 2000 },
	);
});

test("a member named twice is found at any depth, however it is written", () => {
	fc.assert(
		fc.property(fc.string(), fc.nat(5), (name, depth) => {
			fc.pre(name.isWellFormed() && !["__proto__", "constructor", "prototype"].includes(name));
			const plain = JSON.stringify(name);
			const escaped = `"${[...name].map((c) => [...Array(c.length).keys()].map((i) => `\\u${c.charCodeAt(i).toString(16).padStart(4, "0")}`).join("")).join("")}"`;
			let text = `{${plain}:"a:b,c",${escaped} : {}}`;
			for (let i = 0; i < depth; i++) text = i % 2 ? `{"x":${text}}` : `["{",${text}]`;
			expect(() => parseJson(bytes(text))).toThrow("named twice");
		}),
	);
});

test("the same name in different objects is no repetition", () => {
	const text = '[{"a":{"a":1},"b":["a","a"]},{"a":"a"}]';
	expect(parseJson(bytes(text))).toEqual(JSON.parse(text));
});
