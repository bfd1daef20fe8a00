/**
 * XML 1.0 (W3C, fifth edition) from a tree of elements. Whatever is text or an attribute's value is escaped here and
 * nowhere else; names are checked; characters that XML cannot carry at all are refused with `invalid`. No DOCTYPE, no
 * entities of our own, no CDATA. Pure.
 */
import { assert } from "./assert.ts";
import { AppError } from "./errors.ts";

/** Children are either elements, or one text. */
export type XmlElement = {
	readonly name: string;
	readonly attributes: Readonly<Record<string, string>>;
	readonly children: readonly XmlElement[];
	readonly text: string | null;
};

type Attributes = Record<string, string | number | boolean | null | undefined>;
type Child = XmlElement | null | undefined | false;

/**
 * An element. Attributes that are null or undefined are left out, booleans become yes and no, as libvirt wants them;
 * children that are null, undefined or false are left out, so that conditions can stand in the list.
 */
export function element(name: string, attributes: Attributes = {}, children: readonly Child[] = []): XmlElement {
	const given: Record<string, string> = {};
	for (const [key, value] of Object.entries(attributes)) {
		if (value === null || value === undefined) continue;
		given[key] = typeof value === "boolean" ? yesNo(value) : String(value);
	}
	return { name, attributes: given, children: children.filter((child) => !!child), text: null };
}

export function textElement(name: string, text: string | number, attributes: Attributes = {}): XmlElement {
	return { ...element(name, attributes), text: String(text) };
}

const yesNo = (value: boolean): string => (value ? "yes" : "no");

/** The document, indented by two blanks, without an XML declaration (UTF-8 is the default). */
export function writeXml(root: XmlElement): string {
	const lines: string[] = [];
	writeElement(root, "", lines);
	return `${lines.join("\n")}\n`;
}

function writeElement(node: XmlElement, indent: string, lines: string[]): void {
	checkName(node.name);
	const attributes = Object.entries(node.attributes).map(([name, value]) => {
		checkName(name);
		return ` ${name}="${escapeXml(value)}"`;
	});
	const head = `${indent}<${node.name}${attributes.join("")}`;
	if (node.text !== null) {
		assert(node.children.length === 0, "an element has text or elements, not both");
		lines.push(`${head}>${escapeXml(node.text)}</${node.name}>`);
	} else if (node.children.length === 0) lines.push(`${head}/>`);
	else {
		lines.push(`${head}>`);
		for (const child of node.children) writeElement(child, `${indent}  `, lines);
		lines.push(`${indent}</${node.name}>`);
	}
}

/** Names in code are ours: a bad one is a bug. */
function checkName(name: string): void {
	assert(/^[A-Za-z_][A-Za-z0-9_.-]*(:[A-Za-z_][A-Za-z0-9_.-]*)?$/.test(name), `"${name}" is not an XML name`);
}

// Char of XML 1.0, 2.2: lone surrogates, most control characters and two non-characters are not in it.
const forbidden = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u;

const replacements: Record<string, string> = {
	"&": "&amp;",
	"<": "&lt;",
	">": "&gt;",
	'"': "&quot;",
	"'": "&apos;",
	// A parser would turn these into blanks in an attribute, and a carriage return into a newline anywhere.
	"\t": "&#9;",
	"\n": "&#10;",
	"\r": "&#13;",
};

/** Text that may stand in an element or in a quoted attribute. Fails with `invalid`. */
export function escapeXml(text: string): string {
	const bad = forbidden.exec(text);
	if (bad) {
		const code = (bad[0].codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
		throw new AppError("invalid", `The text holds a character (U+${code}) that XML cannot carry.`);
	}
	return text.replace(/[&<>"'\t\n\r]/g, (character) => replacements[character] ?? character);
}
