/**
 * JSON from strangers (RFC 8259), stricter than JSON.parse: valid UTF-8, no member named twice (parsers disagree on
 * which one counts), no `__proto__`, `prototype` or `constructor`, bounded depth, no lone surrogates. Everything that
 * is wrong is `malformed`.
 */
import { AppError } from "../lib/errors.ts";

const maxDepth = 32;
const forbiddenNames = new Set(["__proto__", "prototype", "constructor"]);
const decoder = new TextDecoder("utf-8", { fatal: true });

const malformed = (message: string) => new AppError("malformed", `The body is not acceptable JSON: ${message}`);

export function parseJson(bytes: Uint8Array): unknown {
	let text: string;
	try {
		text = decoder.decode(bytes);
	} catch {
		throw malformed("it is not valid UTF-8.");
	}
	checkDepth(text);
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch {
		throw malformed("it cannot be parsed.");
	}
	checkNames(text);
	checkStrings(value);
	return value;
}

/** Before parsing: nesting is counted on the raw text, so that the parser's own stack is never at stake. */
function checkDepth(text: string): void {
	let depth = 0;
	let inString = false;
	for (let at = 0; at < text.length; at++) {
		const code = text.charCodeAt(at);
		if (inString) {
			if (code === 0x5c) at += 1;
			else if (code === 0x22) inString = false;
		} else if (code === 0x22) inString = true;
		else if (code === 0x7b || code === 0x5b) {
			depth += 1;
			if (depth > maxDepth) throw malformed(`it is nested more than ${maxDepth} deep.`);
		} else if (code === 0x7d || code === 0x5d) depth -= 1;
	}
}

/** After parsing, so the text is known to be JSON. */
function checkNames(text: string): void {
	/** Names seen in each open object; null for an open array. */
	const open: (Set<string> | null)[] = [];
	for (let at = 0; at < text.length; at++) {
		const code = text.charCodeAt(at);
		if (code === 0x7b) open.push(new Set());
		else if (code === 0x5b) open.push(null);
		else if (code === 0x7d || code === 0x5d) open.pop();
		else if (code === 0x22) {
			const end = stringEnd(text, at);
			const names = open.at(-1);
			if (names && isName(text, at)) {
				const raw = text.slice(at, end + 1);
				const name = raw.includes("\\") ? (JSON.parse(raw) as string) : raw.slice(1, -1);
				if (forbiddenNames.has(name)) throw malformed(`a member must not be named ${name}.`);
				if (names.has(name)) throw malformed("a member is named twice.");
				names.add(name);
			}
			at = end;
		}
	}
}

/** In an object, a string is a name if it follows "{" or ",", and a value if it follows ":". */
function isName(text: string, at: number): boolean {
	let before = at - 1;
	while (before >= 0 && /\s/.test(text.charAt(before))) before -= 1;
	return text.charAt(before) !== ":";
}

function stringEnd(text: string, start: number): number {
	let at = start + 1;
	while (text.charCodeAt(at) !== 0x22) at += text.charCodeAt(at) === 0x5c ? 2 : 1;
	return at;
}

function checkStrings(value: unknown): void {
	if (typeof value === "string") {
		if (!value.isWellFormed()) throw malformed("it contains half a character.");
	} else if (Array.isArray(value)) for (const item of value) checkStrings(item);
	else if (typeof value === "object" && value !== null)
		for (const [name, item] of Object.entries(value)) {
			checkStrings(name);
			checkStrings(item);
		}
}
