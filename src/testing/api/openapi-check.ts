/** Holds answers of the API against its OpenAPI document: status, media type and body must be as it says. */
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { openApiDocument } from "../../api/openapi.ts";
import type { Route } from "../../api/route.ts";
import { routes } from "../../api/routes.ts";

type Media = { [type: string]: { schema?: object } };
type DocumentedResponse = { $ref?: string; content?: Media };
type Operation = { responses: Record<string, DocumentedResponse> };

const document = openApiDocument(routes, "0.0.0-test");
const paths = document.paths as Record<string, Record<string, Operation>>;
const shared = (document.components as { responses: Record<string, DocumentedResponse> }).responses;

const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats(ajv);
ajv.addSchema({ $id: "https://api.test/openapi", ...document });

const absolute = (value: unknown): unknown =>
	JSON.parse(JSON.stringify(value).replaceAll('"#/components/', '"https://api.test/openapi#/components/'));

const compiled = new Map<object, ReturnType<typeof ajv.compile>>();
function validatorOf(schema: object) {
	let validator = compiled.get(schema);
	if (!validator) {
		validator = ajv.compile(absolute(schema) as object);
		compiled.set(schema, validator);
	}
	return validator;
}

export const routeAt = (method: string, pathname: string): Route | undefined =>
	routes.find(
		(route) =>
			route.method === method &&
			new RegExp(`^${route.path.replaceAll(".", "\\.").replace(/\{\w+\}/g, "[^/]+")}$`).test(pathname) &&
			// "current" is a path of its own.
			!(route.operationId === "sessionDelete" && pathname.endsWith("/current")),
	);

/** Null when the answer is as documented; else what differs. The body is read from `response`: give a clone. */
export async function documentedProblem(route: Route, response: Response): Promise<string | null> {
	const operation = paths[route.path]?.[route.method.toLowerCase()];
	const found = operation?.responses[String(response.status)];
	const name = `${route.operationId} ${response.status}`;
	if (!found) return `${name} is not documented`;
	const documented = found.$ref ? shared[found.$ref.split("/").at(-1) ?? ""] : found;
	const type = response.headers.get("content-type")?.split(";")[0]?.toLowerCase() ?? null;
	const media = documented?.content;
	if (!media) return (await response.text()) === "" ? null : `${name} has a body that is not documented`;
	const schema = type ? media[type]?.schema : undefined;
	if (!schema) return `${name} is ${type}, documented are ${Object.keys(media).join(", ")}`;
	if (!type?.includes("json")) {
		// Not waited for: of a copy that ends only when the original is read or canceled too.
		response.body?.cancel().catch(() => {});
		return null;
	}
	const validator = validatorOf(schema);
	const body: unknown = await response.json();
	if (validator(body)) return null;
	return `${name}: ${ajv.errorsText(validator.errors)} in ${JSON.stringify(body).slice(0, 500)}`;
}
