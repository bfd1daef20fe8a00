/**
 * The OpenAPI 3.1 document, made of the route definitions: what is served, committed (docs/openapi.json) and tested
 * against is one thing. Named schemas become components; everything a request or an answer may carry beside its body
 * (paging, ETag, If-Match, Idempotency-Key, Task-Location, problem details) is written out for each operation.
 */
import type { TObject, TSchema } from "@sinclair/typebox";
import { assert } from "../lib/assert.ts";
import { permissions } from "../model/permissions.ts";
import { components } from "./components.ts";
import { codesOf } from "./problem-codes.ts";
import { type BodySpec, isBinary, type Route, tags } from "./route.ts";

type Json = { [key: string]: unknown };
export type OpenApiDocument = Json & { openapi: "3.1.0" };

/** A schema as plain JSON Schema: references for what has a name (but for `root` itself). */
export function jsonSchema(schema: unknown, root = true): unknown {
	if (Array.isArray(schema)) return schema.map((item) => jsonSchema(item, false));
	if (typeof schema !== "object" || schema === null) return schema;
	const { $id, $ref, ...rest } = schema as Json;
	const name = $ref ?? (root ? undefined : $id);
	if (typeof name === "string") {
		assert(components.has(name), `the schema ${name} is in no module of the model`);
		return { $ref: `#/components/schemas/${name}` };
	}
	return Object.fromEntries(Object.entries(rest).map(([key, value]) => [key, jsonSchema(value, false)]));
}

const asReference = (schema: TSchema): unknown => jsonSchema(schema, false);

const reasons: Record<number, string> = {
	200: "Done",
	201: "Made",
	202: "Accepted: the task does it",
	204: "Done",
};

const headers: Json = {
	ETag: { description: "The object's generation, in quotes; for If-Match", schema: { type: "string" } },
	Location: { description: "Path of what was made, or of the task", schema: { type: "string" } },
	"Task-Location": { description: "Path of the task that does the work", schema: { type: "string" } },
	"Retry-After": { description: "Seconds to wait before trying again", schema: { type: "integer" } },
	"Set-Cookie": { description: "The session's cookie, when it was asked for", schema: { type: "string" } },
	"Content-Disposition": { description: "Name for the file", schema: { type: "string" } },
	"X-LQX-Stale": {
		description: "There is no quorum: this is what this node knew last",
		schema: { type: "string", enum: ["true"] },
	},
};
const header = (...names: string[]): Json =>
	Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));

function content(body: BodySpec): Json {
	if (body === null) return {};
	if (!isBinary(body)) return { content: { "application/json": { schema: asReference(body) } } };
	const type = body.contentType.split(";")[0] ?? "";
	const text = type.startsWith("text/") || type === "application/xml";
	const schema = text ? { type: "string" } : { type: "string", contentMediaType: type };
	return { content: { [type]: { schema } } };
}

function responseHeaders(route: Route, status: number, body: BodySpec): Json {
	const names: string[] = [];
	const object = body !== null && !isBinary(body) && "properties" in body ? (body.properties as Json) : {};
	if ("generation" in object && status < 202) names.push("ETag");
	if (status === 201) names.push("Location");
	if (status === 202) names.push("Location", "Task-Location");
	if ((status === 201 && takesWork(route)) || route.operationId === "vmUpdate") names.push("Task-Location");
	if (route.tag === "sessions" && status < 300 && route.method !== "GET") names.push("Set-Cookie");
	if (isBinary(body) && body.contentType === "application/octet-stream") names.push("Content-Disposition");
	if (route.method === "GET" && permissions[route.operationId] !== "public") names.push("X-LQX-Stale");
	return names.length > 0 ? { headers: header(...new Set(names)) } : {};
}

const takesWork = (route: Route): boolean =>
	["vms", "snapshots", "volumes", "images", "pools", "networks"].includes(route.tag);

function responses(route: Route): Json {
	const good = Object.entries(route.responses).map(([status, body]): [string, Json] => {
		const description = isBinary(body) ? body.description : (reasons[Number(status)] ?? "Done");
		return [status, { description, ...responseHeaders(route, Number(status), body), ...content(body) }];
	});
	const bad = codesOf(route).map((status): [string, Json] => [
		String(status),
		{ $ref: `#/components/responses/Problem${status}` },
	]);
	return Object.fromEntries([...good, ...bad]);
}

function parametersOf(schema: TObject | undefined, place: "path" | "query" | "header"): Json[] {
	if (!schema) return [];
	const required = new Set(schema.required ?? []);
	return Object.entries(schema.properties).map(([name, property]) => {
		const { description, ...rest } = asReference(property) as Json;
		return {
			name: place === "header" ? titleCase(name) : name,
			in: place,
			required: place === "path" || required.has(name),
			...(description ? { description } : {}),
			schema: rest,
		};
	});
}

/** "last-event-id" → "Last-Event-Id". */
const titleCase = (name: string): string => name.replace(/(^|-)[a-z]/g, (letter) => letter.toUpperCase());

function parameters(route: Route): unknown[] {
	const common: unknown[] = [];
	if (route.ifMatch) common.push({ $ref: "#/components/parameters/IfMatch" });
	if (route.idempotent) common.push({ $ref: "#/components/parameters/IdempotencyKey" });
	return [
		...parametersOf(route.params, "path"),
		...parametersOf(route.query, "query"),
		...parametersOf(route.headers, "header"),
		...common,
	];
}

function operation(route: Route): Json {
	const access = permissions[route.operationId];
	const all = parameters(route);
	const body = route.body ?? null;
	const who = `Needs ${{ public: "no credentials", root: "root on the node" }[access as string] ?? `the role ${access}`}.`;
	return {
		operationId: route.operationId,
		summary: route.summary,
		description: [route.description, who].filter(Boolean).join(" "),
		tags: [route.tag],
		security: access === "public" ? [] : [{ bearer: [] }, { cookie: [] }],
		...(all.length > 0 ? { parameters: all } : {}),
		...(body === null ? {} : { requestBody: { required: !route.bodyOptional, ...content(body) } }),
		responses: responses(route),
	};
}

const problemTitles: Record<number, string> = {
	400: "The request cannot be parsed",
	401: "No credentials, or no good ones",
	403: "The role does not allow it",
	404: "There is no such thing",
	409: "Its state does not allow it now",
	412: "The object has changed (If-Match)",
	413: "The body is over the limit",
	415: "Another media type is needed",
	422: "Understood, but a value is not acceptable; errors says which",
	429: "Too many requests or failed sign-ins",
	500: "A bug: the log knows more under instance",
	502: "Hypervisor, storage or network failed",
	503: "No leader, or a part that is needed is away",
	504: "A part took too long",
	507: "No space left",
};

function problemResponse(status: number): Json {
	return {
		description: problemTitles[status],
		...(status === 429 || status === 503 ? { headers: header("Retry-After") } : {}),
		content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
	};
}

/** Names of schemas that `document` refers to, and that those refer to. */
function usedSchemas(document: Json): Json {
	const used: Json = {};
	const visit = (value: unknown): void => {
		if (Array.isArray(value)) {
			for (const item of value) visit(item);
			return;
		}
		if (typeof value !== "object" || value === null) return;
		for (const [key, inner] of Object.entries(value)) {
			const name =
				key === "$ref" && typeof inner === "string" ? /^#\/components\/schemas\/(.+)$/.exec(inner)?.[1] : null;
			const component = name ? components.get(name) : null;
			if (name && component && !(name in used)) {
				used[name] = {};
				used[name] = jsonSchema(component.schema);
				visit(used[name]);
			} else visit(inner);
		}
	};
	visit(document);
	return Object.fromEntries(Object.entries(used).sort(([a], [b]) => (a < b ? -1 : 1)));
}

export function openApiDocument(routes: readonly Route[], version: string): OpenApiDocument {
	const paths: Record<string, Json> = {};
	for (const route of routes) {
		const path = paths[route.path] ?? {};
		path[route.method.toLowerCase()] = operation(route);
		paths[route.path] = path;
	}
	const problems = Object.fromEntries(
		Object.keys(problemTitles).map((status) => [`Problem${status}`, problemResponse(Number(status))]),
	);
	const schemas = usedSchemas({ paths, problems });
	return {
		openapi: "3.1.0",
		info: {
			title: "LimiQuantix",
			version,
			description:
				"API of a LimiQuantix node. Any node of a cluster answers for all of it. Lists come in pages; work that takes time is a task; errors are problem details (RFC 9457) with a code.",
			license: { name: "Apache-2.0", identifier: "Apache-2.0" },
		},
		servers: [{ url: "/", description: "The node that serves this document" }],
		tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
		paths,
		components: {
			schemas,
			headers,
			responses: problems,
			parameters: {
				IfMatch: {
					name: "If-Match",
					in: "header",
					description: 'Only if the object still has this generation, in quotes ("3")',
					schema: { type: "string" },
				},
				IdempotencyKey: {
					name: "Idempotency-Key",
					in: "header",
					description: "Sent again with the same key, the request is not carried out again: the first answer is given",
					schema: { type: "string", minLength: 1, maxLength: 255 },
				},
			},
			securitySchemes: {
				bearer: { type: "http", scheme: "bearer", description: "A session's token or an API token" },
				cookie: {
					type: "apiKey",
					in: "cookie",
					name: "lqx_session",
					description: "A session of the browser; requests other than GET also need X-LQX-CSRF: 1 and our own Origin",
				},
			},
		},
	};
}
