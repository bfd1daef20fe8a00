/** Rules about words: all of them in the catalogue, used somewhere, and plain. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { Glob } from "bun";
import { catalogue } from "./catalogue.ts";

const ui = join(import.meta.dir, "..");
const sources = [...new Glob("**/*.{ts,tsx}").scanSync({ cwd: ui })].filter(
	(path) => !/^(dev|e2e|strings|types|pages\/dev)\//.test(path) && !path.endsWith(".test.ts"),
);
const read = (path: string): Promise<string> => Bun.file(join(ui, path)).text();

type Entry = { path: string; text: string };

/** Strings, and what functions make of placeholders. */
function entriesOf(value: unknown, path: string): Entry[] {
	if (typeof value === "string") return [{ path, text: value }];
	if (typeof value === "function") {
		const make = value as (...args: unknown[]) => unknown;
		const text = make(...Array.from({ length: make.length }, () => "x"));
		return typeof text === "string" ? [{ path, text }] : [];
	}
	if (typeof value !== "object" || value === null) return [];
	return Object.entries(value).flatMap(([key, part]) => entriesOf(part, `${path}.${key}`));
}
const entries = entriesOf(catalogue, "t");

test("wording is plain", () => {
	const bad = entries.filter(
		({ text }) =>
			/!(?!\.)/.test(text.replace("#!.", "")) ||
			/\b(please|oops|simply|just click)\b/i.test(text) ||
			/\.\.\./.test(text) ||
			/^\s|\s$/.test(text),
	);
	expect(bad).toEqual([]);
});

test("every module of strings is in the catalogue", async () => {
	const own = await read("strings/catalogue.ts");
	for (const path of new Glob("*.ts").scanSync({ cwd: join(ui, "strings") })) {
		if (path === "catalogue.ts" || path.endsWith(".test.ts")) continue;
		expect(own, path).toContain(`"./${path}"`);
	}
});

test("no words stand in the markup itself", async () => {
	const found: string[] = [];
	for (const path of sources.filter((one) => one.endsWith(".tsx"))) {
		const text = await read(path);
		// Text between tags on a line of its own or between > and <, and literal attributes that people read.
		for (const [line] of text.matchAll(/^\s*[A-Z][a-z]+ [a-z][^;=(){}]*$/gm)) {
			if (!/^\s*(\*|\/\/)/.test(line)) found.push(`${path}: ${line.trim()}`);
		}
		for (const [match] of text.matchAll(/>[A-Za-z][A-Za-z ,.]{2,}<\//g)) found.push(`${path}: ${match}`);
		for (const [match] of text.matchAll(/\b(?:label|title|placeholder|alt|aria-label|hint)="[^"]*[a-z]{3}[^"]*"/g)) {
			found.push(`${path}: ${match}`);
		}
	}
	expect(found).toEqual([]);
});

test("no string is left over", async () => {
	const text = (await Promise.all(sources.map(read))).join("\n");
	const words = new Set(text.match(/[A-Za-z_$][\w$]*/g));
	const unused = entries
		.map(({ path }) => path)
		.filter((path) => {
			const key = path.split(".").at(-1) ?? "";
			const parent = path.split(".").at(-2) ?? "";
			// Keys that are values of the model are looked up by variable, through their parent.
			return !words.has(key) && !(words.has(parent) && lookedUp.has(parent));
		});
	expect(unused).toEqual([]);
});

/** Tables that are indexed with a value of the model. */
const lookedUp = new Set([
	"power",
	"task",
	"image",
	"volume",
	"snapshot",
	"pool",
	"poolHealth",
	"node",
	"network",
	"kinds",
	"founds",
	"foundNotes",
	"types",
	"typeNotes",
	"firmwares",
	"expiries",
	"health",
	"roles",
	"hypervisorStates",
	"repair",
	"themes",
	"capabilityNames",
	"sources",
	"operationNames",
	"whileState",
	"consistencies",
	"caches",
	"cacheHints",
]);
