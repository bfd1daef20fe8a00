import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { goldenCases } from "../golden/cases.ts";
import { domainXml } from "./domain-xml.ts";
import { planMachine } from "./plan-machine.ts";

const update = process.env.UPDATE_GOLDEN === "1";

describe("domain XML (UPDATE_GOLDEN=1 rewrites the files)", () => {
	for (const golden of goldenCases)
		test(golden.name, () => {
			const path = join(import.meta.dir, "../golden", `${golden.name}.xml`);
			const xml = domainXml(planMachine(golden.domain, golden.context));
			if (update) writeFileSync(path, xml);
			expect(existsSync(path)).toBe(true);
			expect(xml).toBe(readFileSync(path, "utf8"));
		});
});
