/** What a file exports is named somewhere else than where it is declared. */
import { expect, test } from "bun:test";
import { sourceFiles } from "./source-files.ts";

const exported = /^export (?:async )?(?:const|function\*?|class|type|interface) ([A-Za-z_$][\w$]*)/gm;
const word = /[A-Za-z_$][\w$]*/g;

test("nothing is exported that nobody names", () => {
	const files = sourceFiles();
	const named = new Map<string, number>();
	for (const { text } of files) for (const [name] of text.matchAll(word)) named.set(name, (named.get(name) ?? 0) + 1);
	const unused = files
		.flatMap(({ path, text }) => [...text.matchAll(exported)].map(([, name = ""]) => ({ path, name })))
		.filter(({ name }) => named.get(name) === 1)
		.map(({ path, name }) => `${path}: ${name}`);
	expect(unused).toEqual([]);
});
