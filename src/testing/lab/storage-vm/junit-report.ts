/** What a JUnit report of `bun test` says of each test. */
import { XMLParser } from "fast-xml-parser";

export type TestResult = {
	file: string;
	/** With the groups that it is in. */
	name: string;
	outcome: "passed" | "failed" | "skipped";
	/** Why it failed. */
	failure: string;
	seconds: number;
};

type Case = {
	"@name": string;
	"@file": string;
	"@time": string;
	failure?: unknown;
	error?: unknown;
	skipped?: unknown;
};
type Suite = { "@name": string; "@file"?: string; testsuite?: Suite[]; testcase?: Case[] };

const parser = new XMLParser({
	ignoreAttributes: false,
	attributeNamePrefix: "@",
	parseTagValue: false,
	parseAttributeValue: false,
	htmlEntities: true,
	isArray: (name) => name === "testsuite" || name === "testcase",
});

/** Null when the report is missing or cut off. */
export function readJunit(text: string): TestResult[] | null {
	if (!text.includes("</testsuites>")) return null;
	const { testsuites } = parser.parse(text) as { testsuites: Suite };
	// The outermost are the files.
	return (testsuites.testsuite ?? []).flatMap((file) => resultsOf(file, []));
}

function resultsOf(suite: Suite, groups: readonly string[]): TestResult[] {
	const own = (suite.testcase ?? []).map((test): TestResult => {
		const failed = test.failure ?? test.error;
		return {
			file: test["@file"],
			name: [...groups, test["@name"]].join(" > "),
			outcome: failed !== undefined ? "failed" : test.skipped !== undefined ? "skipped" : "passed",
			failure: failed === undefined ? "" : textOf(failed),
			seconds: Number(test["@time"]),
		};
	});
	const inner = (suite.testsuite ?? []).flatMap((group) => resultsOf(group, [...groups, group["@name"]]));
	return [...own, ...inner];
}

const textOf = (failure: unknown): string =>
	typeof failure === "string" ? failure : String((failure as { "#text"?: unknown })["#text"] ?? "no reason given");
