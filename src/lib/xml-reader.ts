/**
 * XML into a tree of elements, for what libvirt gives us. It is treated as hostile all the same (a domain's title and
 * description are other people's text): a document type is refused, no entity but the five of XML itself is known, none
 * is ever followed, size and depth are bounded. Comments and processing instructions are dropped; text beside child
 * elements is kept as one piece.
 */
import { XMLParser, XMLValidator } from "fast-xml-parser";
import { AppError } from "./errors.ts";

export class XmlNode {
	constructor(
		readonly name: string,
		readonly attributes: ReadonlyMap<string, string>,
		readonly children: readonly XmlNode[],
		/** The element's own text, blanks at both ends removed. */
		readonly text: string,
	) {}

	attribute(name: string): string | null {
		return this.attributes.get(name) ?? null;
	}

	/** First child with that name, or the first one down a path of names. */
	child(...path: string[]): XmlNode | null {
		let node: XmlNode | undefined = this;
		for (const name of path) node = node?.children.find((child) => child.name === name);
		return node ?? null;
	}

	all(name: string): XmlNode[] {
		return this.children.filter((child) => child.name === name);
	}

	/** Text of the first element down the path; null when there is none. */
	textOf(...path: string[]): string | null {
		return this.child(...path)?.text ?? null;
	}

	/** Attribute `name` of the first element down the path; null when there is none. */
	attributeOf(name: string, ...path: string[]): string | null {
		return this.child(...path)?.attribute(name) ?? null;
	}
}

const maxCharacters = 4 * 1024 * 1024;
const maxDepth = 64;

// Attributes and text come as they are written; entities are decoded below, so that only the five are known.
const parser = new XMLParser({
	preserveOrder: true,
	ignoreAttributes: false,
	attributeNamePrefix: "",
	processEntities: false,
	htmlEntities: false,
	parseTagValue: false,
	parseAttributeValue: false,
	trimValues: false,
	ignoreDeclaration: true,
	ignorePiTags: true,
	cdataPropName: "#cdata",
	maxNestedTags: maxDepth,
});

/** The root element. Fails with `malformed`. */
export function readXml(text: string): XmlNode {
	if (text.length > maxCharacters) throw malformed("it is too large");
	if (/<!(DOCTYPE|ENTITY|ELEMENT|ATTLIST|NOTATION)/i.test(text)) throw malformed("it has a document type");
	const verdict = XMLValidator.validate(text);
	if (verdict !== true) throw malformed(verdict.err.msg.slice(0, 200));
	const roots = elementsOf(parse(text));
	const [root] = roots;
	if (!root || roots.length > 1) throw malformed("it has not one root element");
	return root;
}

function parse(text: string): unknown {
	try {
		return parser.parse(text);
	} catch (error) {
		throw malformed(error instanceof Error ? error.message.slice(0, 200) : "it cannot be parsed");
	}
}

const malformed = (why: string): AppError => new AppError("malformed", `The XML cannot be used: ${why}.`);

type RawNode = Record<string, unknown>;
const isRaw = (value: unknown): value is RawNode => typeof value === "object" && value !== null;
const nodesOf = (value: unknown): RawNode[] => (Array.isArray(value) ? value.filter(isRaw) : []);

const elementsOf = (value: unknown): XmlNode[] =>
	nodesOf(value).flatMap((node) =>
		Object.keys(node)
			.filter((key) => key !== ":@" && !key.startsWith("#"))
			.map((name) => elementOf(name, node)),
	);

function elementOf(name: string, node: RawNode): XmlNode {
	const attributes = new Map<string, string>();
	const raw = node[":@"];
	if (isRaw(raw)) for (const [key, value] of Object.entries(raw)) attributes.set(key, decode(String(value)));
	const content = node[name];
	return new XmlNode(name, attributes, elementsOf(content), textOf(content).trim());
}

function textOf(content: unknown): string {
	let text = "";
	for (const part of nodesOf(content)) {
		if (typeof part["#text"] === "string") text += decode(part["#text"]);
		for (const literal of nodesOf(part["#cdata"])) text += String(literal["#text"] ?? "");
	}
	return text;
}

const entities = new Map(Object.entries({ lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" }));

function decode(text: string): string {
	return text.replace(/&([^;&\s]*)(;?)/g, (_, name: string, end: string) => {
		const known = end === ";" ? (entities.get(name) ?? characterOf(name)) : undefined;
		if (known === undefined) throw malformed("it refers to an entity");
		return known;
	});
}

function characterOf(reference: string): string | undefined {
	const match = /^#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}))$/.exec(reference);
	if (!match) return undefined;
	const code = match[1] ? Number.parseInt(match[1], 16) : Number(match[2]);
	const allowed = code === 9 || code === 10 || code === 13 || (code >= 0x20 && code <= 0x10ffff);
	return allowed && !(code >= 0xd800 && code <= 0xdfff) ? String.fromCodePoint(code) : undefined;
}
