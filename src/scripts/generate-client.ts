/**
 * src/gen/api.ts: the table of operations and their types, for UI and command line. Named schemas are the model's own
 * types; everything else is written out.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { TObject, TSchema } from "@sinclair/typebox";
import { components } from "../api/components.ts";
import { type BodySpec, isBinary, type Route } from "../api/route.ts";
import { routes } from "../api/routes.ts";
import { assert } from "../lib/assert.ts";

export const clientPath = "src/gen/api.ts";

type Shape = {
	$id?: string;
	$ref?: string;
	type?: string;
	enum?: unknown[];
	const?: unknown;
	anyOf?: Shape[];
	items?: Shape;
	properties?: Record<string, Shape>;
	required?: string[];
};

/** A JSON Schema as a TypeScript type; `used` collects the named ones. */
function typeOf(schema: Shape, used: Set<string>): string {
	const name = schema.$ref ?? schema.$id;
	if (name !== undefined) {
		assert(components.has(name), `the schema ${name} is in no module of the model`);
		used.add(name);
		return name;
	}
	if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
	if (schema.const !== undefined) return JSON.stringify(schema.const);
	if (schema.anyOf) return schema.anyOf.map((variant) => typeOf(variant, used)).join(" | ");
	if (schema.type === "array") return `Array<${typeOf(schema.items ?? {}, used)}>`;
	if (schema.type === "object") return objectType(schema, used);
	if (schema.type === "integer" || schema.type === "number") return "number";
	if (schema.type === "string" || schema.type === "boolean" || schema.type === "null") return schema.type;
	return "unknown";
}

function objectType({ properties = {}, required = [] }: Shape, used: Set<string>): string {
	const members = Object.entries(properties).map(([name, property]) => {
		const key = /^[A-Za-z_]\w*$/.test(name) ? name : JSON.stringify(name);
		return `${key}${required.includes(name) ? "" : "?"}: ${typeOf(property, used)}`;
	});
	return members.length === 0 ? "{ [name: string]: unknown }" : `{ ${members.join("; ")} }`;
}

const parametersType = (schema: TObject | undefined, used: Set<string>): string =>
	schema && Object.keys(schema.properties).length > 0 ? objectType(schema as Shape, used) : "undefined";

const bodyType = (body: BodySpec | undefined, used: Set<string>): string => {
	if (body === null || body === undefined) return "undefined";
	return isBinary(body) ? "Blob | Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>" : typeOf(body as Shape, used);
};

function responseType(route: Route, used: Set<string>): string {
	const [body = null] = Object.values(route.responses);
	if (body === null) return "undefined";
	if (isBinary(body)) return "Response";
	return typeOf(body as TSchema as Shape, used);
}

/** How a client reads the answer. */
function answerKind(route: Route): "json" | "none" | "raw" {
	const [body = null] = Object.values(route.responses);
	if (body === null) return "none";
	return isBinary(body) ? "raw" : "json";
}

function tableEntry(route: Route): string {
	const body = route.body ?? null;
	const members = [
		`method: "${route.method}"`,
		`path: "${route.path}"`,
		`body: ${body === null ? "null" : `"${isBinary(body) ? body.contentType : "application/json"}"`}`,
		`answer: "${answerKind(route)}"`,
		`idempotent: ${route.idempotent === true}`,
		`ifMatch: ${route.ifMatch === true}`,
	];
	return `\t${route.operationId}: { ${members.join(", ")} },`;
}

function typeEntry(route: Route, used: Set<string>): string {
	const optional = route.bodyOptional ? " | undefined" : "";
	return [
		`\t${route.operationId}: {`,
		`\t\tpath: ${parametersType(route.params, used)};`,
		`\t\tquery: ${parametersType(route.query, used)};`,
		`\t\theaders: ${parametersType(route.headers, used)};`,
		`\t\tbody: ${bodyType(route.body, used)}${optional};`,
		`\t\tresponse: ${responseType(route, used)};`,
		"\t};",
	].join("\n");
}

/** "pool-content" → "poolContent" */
const identifier = (module: string): string =>
	module.replace(/-([a-z])/g, (_all, letter: string) => letter.toUpperCase());

export function clientSource(all: readonly Route[]): string {
	const used = new Set<string>();
	const types = all.map((route) => typeEntry(route, used));
	const named = [...components.values()].filter((component) => used.has(component.name));
	const modules = [...new Set(named.map((component) => component.module))].sort();
	return [
		"// Generated from the routes in src/api by src/scripts/generate-client.ts. Do not edit.",
		'import type { Static } from "@sinclair/typebox";',
		...modules.map((module) => `import type * as ${identifier(module)} from "../model/${module}.ts";`),
		"",
		"export const operations = {",
		...all.map(tableEntry),
		"} as const;",
		"export type OperationName = keyof typeof operations;",
		"",
		"/** One line of each, for help; apart, so that the UI need not carry it. */",
		"export const operationSummaries: Record<OperationName, string> = {",
		...all.map((route) => `\t${route.operationId}: ${JSON.stringify(route.summary)},`),
		"};",
		"",
		...named.map(
			({ name, module, exportName }) => `export type ${name} = Static<typeof ${identifier(module)}.${exportName}>;`,
		),
		"",
		"/** Of each operation: path, query and header parameters, body, and the answer's body. */",
		"export type OperationTypes = {",
		...types,
		"};",
		"",
	].join("\n");
}

export async function generateClient(outputRoot: string): Promise<void> {
	const path = join(outputRoot, clientPath);
	await mkdir(dirname(path), { recursive: true });
	await writeFile(path, clientSource(routes));
}
