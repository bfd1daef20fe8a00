/** The OpenAPI document: valid by an independent linter, complete, and what it says of every operation. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { run } from "../lib/run.ts";
import { openApiDocument } from "./openapi.ts";
import { routes } from "./routes.ts";

const root = join(import.meta.dir, "../..");

test("passes redocly lint without a warning", async () => {
	const { stdout, stderr } = await run(
		join(root, "node_modules/.bin/redocly"),
		["lint", "--config", "docs/redocly.yaml", "docs/openapi.json"],
		{
			timeoutMs: 60_000,
			cwd: root,
			environment: { REDOCLY_TELEMETRY: "off", REDOCLY_SUPPRESS_UPDATE_NOTICE: "true", CI: "true" },
		},
	);
	expect(`${stdout}${stderr}`).toContain("Your API description is valid");
	expect(`${stdout}${stderr}`).not.toMatch(/warning.*rule|\[1\] /i);
});

type Parameter = { name?: string; $ref?: string };
type Operation = {
	operationId: string;
	security: unknown[];
	parameters?: Parameter[];
	responses: Record<string, { headers?: object }>;
};
const document = openApiDocument(routes, "1.2.3");
const operations = Object.values(document.paths as Record<string, Record<string, Operation>>).flatMap((path) =>
	Object.values(path),
);
const operation = (id: string) => operations.find((one) => one.operationId === id);

test("has every route, each with its refusals", () => {
	expect(operations).toHaveLength(routes.length);
	for (const { operationId, responses, security } of operations) {
		expect(Object.keys(responses)).toContain("500");
		if (security.length > 0) expect(Object.keys(responses)).toEqual(expect.arrayContaining(["401", "403"]));
		expect([operationId, Object.keys(responses).some((status) => status.startsWith("2"))]).toEqual([operationId, true]);
	}
});

test("says which headers come and go", () => {
	const named = (id: string) => operation(id)?.parameters?.map(({ name, $ref }) => name ?? $ref?.split("/").at(-1));
	expect(named("vmUpdate")).toEqual(["id", "IfMatch"]);
	expect(named("vmCreate")).toEqual(["IdempotencyKey"]);
	expect(named("imageContentPut")).toEqual(["id", "Upload-Offset"]);
	const headers = (id: string, status: string) => Object.keys(operation(id)?.responses[status]?.headers ?? {});
	expect(headers("vmCreate", "201")).toEqual(["ETag", "Location", "Task-Location"]);
	expect(headers("vmDelete", "202")).toEqual(["Location", "Task-Location"]);
	expect(headers("vmGet", "200")).toEqual(["ETag", "X-LQX-Stale"]);
});

test("refers to components that are there, and has none that nobody uses", () => {
	const text = JSON.stringify(document);
	const references = new Set([...text.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map((match) => match[1]));
	const { schemas } = document.components as { schemas: object };
	expect(Object.keys(schemas).sort()).toEqual([...references].sort() as string[]);
	expect(text).not.toContain('"$id"');
});
