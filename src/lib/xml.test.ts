import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readXml } from "./xml-reader.ts";
import { element, escapeXml, textElement, writeXml } from "./xml-writer.ts";

const malformed = (text: string) => expect(() => readXml(text)).toThrow(expect.objectContaining({ code: "malformed" }));

describe("writing", () => {
	test("escapes text and attributes", () => {
		const xml = writeXml(element("a", { b: `<"'&>\t\n\r` }, [textElement("c", "</c><x y='1'>&amp;")]));
		expect(xml).toBe(
			'<a b="&lt;&quot;&apos;&amp;&gt;&#9;&#10;&#13;">\n' +
				"  <c>&lt;/c&gt;&lt;x y=&apos;1&apos;&gt;&amp;amp;</c>\n" +
				"</a>\n",
		);
	});

	test("leaves out what is not there", () => {
		expect(writeXml(element("a", { b: null, c: undefined, d: false, e: 0 }, [null, false, element("f")]))).toBe(
			'<a d="no" e="0">\n  <f/>\n</a>\n',
		);
	});

	test("refuses characters that XML has not", () => {
		for (const bad of ["\u0000", "\u0008", "\u000b", "\u001f", "\ufffe", "\uffff", "\ud800", "\udc00x"])
			expect(() => escapeXml(`a${bad}`)).toThrow(expect.objectContaining({ code: "invalid" }));
		expect(escapeXml("täst \u{1f600} \u007f")).toBe("täst \u{1f600} \u007f");
	});

	test("refuses names that are none", () => {
		for (const bad of ["", "1a", "a b", "a>", 'a"', "a:b:c", "-a"])
			expect(() => writeXml(element(bad))).toThrow("XML name");
		expect(() => writeXml(element("a", { "b c": "1" }))).toThrow("XML name");
	});
});

describe("reading", () => {
	test("gives elements, attributes and text", () => {
		const root = readXml(
			`<?xml version='1.0'?>\n<a b='1&amp;2' c="x&#10;&#x41;"> t&lt; <!-- no --><d/><d e="2"/><f><![CDATA[<x>&amp;]]></f></a>`,
		);
		expect(root.name).toBe("a");
		expect(root.attribute("b")).toBe("1&2");
		expect(root.attribute("c")).toBe("x\nA");
		expect(root.attribute("missing")).toBeNull();
		expect(root.text).toBe("t<");
		expect(root.all("d")).toHaveLength(2);
		expect(root.all("d")[1]?.attribute("e")).toBe("2");
		expect(root.textOf("f")).toBe("<x>&amp;");
		expect(root.textOf("g", "h")).toBeNull();
	});

	test("gives back what was written, whatever the text", () => {
		fc.assert(
			fc.property(fc.string({ unit: "binary" }), fc.string(), (text, value) => {
				const clean = (raw: string) => raw.replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "");
				const root = readXml(writeXml(element("r", { v: clean(value) }, [textElement("t", clean(text))])));
				expect(root.attribute("v")).toBe(clean(value));
				expect(root.textOf("t")).toBe(clean(text).trim());
				expect(root.children).toHaveLength(1);
			}),
		);
	});

	test("follows no entity", () => {
		malformed(`<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`);
		malformed(`<!doctype a SYSTEM "http://127.0.0.1/a.dtd"><a/>`);
		malformed("<a>&x;</a>");
		malformed(`<a b="&x;"/>`);
		malformed("<a>&nbsp;</a>");
		malformed("<a>&#0;</a>");
		malformed("<a>&#xd800;</a>");
		malformed("<a>&#x110000;</a>");
		malformed("<a>&amp</a>");
		malformed("<a>&__proto__;</a>");
		malformed("<a>&constructor;</a>");
	});

	test("does not expand a bomb", () => {
		const levels = Array.from({ length: 10 }, (_, i) => `<!ENTITY l${i + 1} "${`&l${i};`.repeat(10)}">`);
		malformed(`<!DOCTYPE a [<!ENTITY l0 "lol">${levels.join("")}]><a>&l10;</a>`);
		malformed("<b>".repeat(70) + "</b>".repeat(70));
		malformed("<b>".repeat(200_000));
		malformed(`<a>${"x".repeat(4 * 1024 * 1024)}</a>`);
	});

	test("refuses what is not one well-formed element", () => {
		for (const bad of ["", "text", "<a>", "<a", "<a/><b/>", "<a></b>", "<a b='1' b='2'/>", "<a b/>", "<a b=c/>"])
			malformed(bad);
		malformed("<a><__proto__/></a>");
		malformed("<a __proto__='1'/>");
	});

	test("throws nothing but malformed, whatever comes", () => {
		const piece = fc.constantFrom(
			"<a>",
			"</a>",
			"<b c='1'/>",
			"&lt;",
			"&x;",
			"<!",
			"<![CDATA[",
			"]]>",
			"<?",
			"?>",
			"--",
			"<!--",
		);
		fc.assert(
			fc.property(fc.array(fc.oneof(piece, fc.string({ maxLength: 4 })), { maxLength: 12 }), (parts) => {
				try {
					readXml(parts.join(""));
				} catch (error) {
					expect(error).toMatchObject({ name: "AppError", code: "malformed" });
				}
			}),
			{ numRuns: 2000 },
		);
	});
});
