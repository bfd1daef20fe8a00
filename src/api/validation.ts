/**
 * Values of requests against the model's schemas, each compiled at its first use. Bad values become field errors that
 * a person can act on: a JSON pointer into the body ("/disks/0/sizeBytes"), "?name" for a query parameter, the name of
 * a header; and a sentence. Text from query and path is turned into the type that the schema asks for; bodies are
 * taken as they are.
 */
import type { TObject, TSchema } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler, type ValueError, ValueErrorType } from "@sinclair/typebox/compiler";
import { AppError, type FieldError } from "../lib/errors.ts";
// Also says what "date-time" means.
import "../model/validate.ts";
import { componentSchemas } from "./components.ts";

const maxFields = 20;
const compiled = new WeakMap<TSchema, TypeCheck<TSchema>>();

function checkerOf(schema: TSchema): TypeCheck<TSchema> {
	let checker = compiled.get(schema);
	if (!checker) {
		const others = componentSchemas.filter((other) => other !== schema);
		checker = TypeCompiler.Compile(schema, others);
		compiled.set(schema, checker);
	}
	return checker;
}

/** What is wrong with the value: at most 20 fields, one message each; empty when it is valid. */
export function fieldErrors(schema: TSchema, value: unknown): FieldError[] {
	const checker = checkerOf(schema);
	if (checker.Check(value)) return [];
	const found = new Map<string, string>();
	collect(checker.Errors(value), found);
	return [...found].map(([path, message]) => ({ path, message }));
}

function collect(errors: Iterable<ValueError>, found: Map<string, string>): void {
	for (const error of errors) {
		if (found.size >= maxFields) return;
		if (error.type === ValueErrorType.Union) collectUnion(error, found);
		// A missing member comes first as missing, then as of the wrong type.
		else if (!found.has(error.path)) found.set(error.path, messageOf(error));
	}
}

type Variant = {
	$ref?: string;
	type?: string;
	enum?: unknown[];
	properties?: { kind?: { const?: unknown } };
};

/** Goes into the variant that was meant: the only one that is not null, or the one of this `kind`. */
function collectUnion(error: ValueError, found: Map<string, string>): void {
	const variants = (error.schema.anyOf as Variant[]).map((variant, at) => ({ variant, errors: error.errors[at] }));
	const real = variants.filter(({ variant }) => variant.type !== "null");
	const [only] = real;
	if (real.length === 1 && only?.errors) {
		collect(only.errors, found);
		return;
	}
	const kinds = real.map(({ variant }) => variant.properties?.kind?.const);
	if (kinds.every((kind) => typeof kind === "string") && isObject(error.value)) {
		const meant = real.find(({ variant }) => variant.properties?.kind?.const === readKind(error.value));
		if (meant?.errors) collect(meant.errors, found);
		else found.set(`${error.path}/kind`, `Must be one of ${kinds.join(", ")}.`);
		return;
	}
	const meant = likest(error.value, real);
	if (meant) collect(meant, found);
	else if (!found.has(error.path)) found.set(error.path, "The value is not acceptable here.");
}

/** Errors of the variant that has more of the object's members than any other; null when none stands out. */
function likest(
	value: unknown,
	variants: readonly { variant: Variant; errors: Iterable<ValueError> | undefined }[],
): Iterable<ValueError> | null {
	if (!isObject(value)) return null;
	const scored = variants.map(({ variant, errors }) => {
		const { properties = {} }: Variant = variant.$ref === undefined ? variant : schemaNamed(variant.$ref);
		return { errors, score: Object.keys(value).filter((key) => Object.hasOwn(properties, key)).length };
	});
	const [best, next] = scored.sort((a, b) => b.score - a.score);
	return best?.errors && best.score > (next?.score ?? 0) ? best.errors : null;
}

const schemaNamed = (name: string): Variant => (componentSchemas.find(({ $id }) => $id === name) ?? {}) as Variant;

const isObject = (value: unknown): value is object => typeof value === "object" && value !== null;
const readKind = (value: unknown): unknown => (isObject(value) && "kind" in value ? value.kind : undefined);

const typeNames: Record<string, string> = {
	string: "text",
	integer: "a whole number",
	number: "a number",
	boolean: "true or false",
	array: "a list",
	object: "an object",
	null: "null",
};

function messageOf({ type, schema, message }: ValueError): string {
	const options = schema as {
		enum?: unknown[];
		const?: unknown;
		description?: string;
		type?: string;
		minimum?: number;
		maximum?: number;
		minLength?: number;
		maxLength?: number;
		minItems?: number;
		maxItems?: number;
		format?: string;
	};
	switch (type) {
		case ValueErrorType.ObjectRequiredProperty:
			return "This is required.";
		case ValueErrorType.ObjectAdditionalProperties:
			return "There is no such member here.";
		case ValueErrorType.ObjectMinProperties:
			return "Nothing is given.";
		case ValueErrorType.StringPattern:
			return options.description ? `Must be: ${options.description}.` : "The text does not have the form needed here.";
		case ValueErrorType.StringFormat:
			return options.format === "date-time" ? "Must be a time as 2030-01-31T12:00:00Z (UTC)." : message;
		case ValueErrorType.StringMinLength:
			return options.minLength === 1 ? "Must not be empty." : `Needs at least ${options.minLength} characters.`;
		case ValueErrorType.StringMaxLength:
			return `Must not be longer than ${options.maxLength} characters.`;
		case ValueErrorType.IntegerMinimum:
		case ValueErrorType.NumberMinimum:
			return `Must be at least ${options.minimum}.`;
		case ValueErrorType.IntegerMaximum:
		case ValueErrorType.NumberMaximum:
			return `Must be at most ${options.maximum}.`;
		case ValueErrorType.ArrayMinItems:
			return `Needs at least ${options.minItems} entries.`;
		case ValueErrorType.ArrayMaxItems:
			return `Must not have more than ${options.maxItems} entries.`;
		case ValueErrorType.ArrayUniqueItems:
			return "An entry is there twice.";
	}
	if (options.enum) return `Must be one of ${options.enum.join(", ")}.`;
	if (options.const !== undefined) return `Must be ${JSON.stringify(options.const)}.`;
	return `Must be ${typeNames[options.type ?? ""] ?? "of another type"}.`;
}

/** Throws `invalid` unless the body fits. */
export function checkBody(schema: TSchema, value: unknown): void {
	throwIfAny(fieldErrors(schema, value));
}

export function throwIfAny(fields: FieldError[]): void {
	const [first] = fields;
	if (!first) return;
	const where = first.path === "" ? "The body" : first.path;
	throw new AppError("invalid", `${where}: ${first.message}`, { fields });
}

/** Path parameters, typed. What does not fit is `not-found`: there is nothing with such an id. */
export function readParams(schema: TObject, raw: Readonly<Record<string, string | null>>): Record<string, unknown> {
	const values: Record<string, unknown> = {};
	for (const [name, property] of Object.entries(schema.properties)) {
		const text = raw[name];
		if (typeof text === "string") values[name] = coerce(property, text);
	}
	if (fieldErrors(schema, values).length > 0) throw new AppError("not-found", "There is nothing with this id.");
	return values;
}

/** Query parameters, typed; unknown and repeated ones are `invalid`. */
export function readQuery(schema: TObject | undefined, search: URLSearchParams): Record<string, unknown> {
	const values: Record<string, unknown> = {};
	const fields: FieldError[] = [];
	const properties: Record<string, TSchema> = schema?.properties ?? {};
	for (const name of new Set(search.keys())) {
		const property = Object.hasOwn(properties, name) ? properties[name] : undefined;
		const texts = search.getAll(name);
		// The name is the client's: cut, since it comes back in the answer.
		if (!property) fields.push({ path: `?${name.slice(0, 64)}`, message: "There is no such parameter here." });
		else if (property.type === "array") values[name] = texts.map((text) => coerce(property.items as TSchema, text));
		else if (texts.length > 1) fields.push({ path: `?${name}`, message: "This parameter is given twice." });
		else values[name] = coerce(property, texts[0] ?? "");
	}
	if (schema)
		for (const { path, message } of fieldErrors(schema, values))
			fields.push({ path: path.replace(/^\/([^/]*)(\/\d+)?$/, "?$1"), message });
	throwIfAny(fields.slice(0, maxFields));
	return values;
}

/** The headers that the route names, typed. */
export function readHeaders(schema: TObject | undefined, headers: Headers): Record<string, unknown> {
	if (!schema) return {};
	const values: Record<string, unknown> = {};
	for (const [name, property] of Object.entries(schema.properties)) {
		const text = headers.get(name);
		if (text !== null) values[name] = coerce(property, text);
	}
	throwIfAny(fieldErrors(schema, values).map(({ path, message }) => ({ path: path.slice(1), message })));
	return values;
}

/** Text as the schema's type; text that is no such thing stays text, and fails the check. */
function coerce(schema: TSchema, text: string): unknown {
	if (schema.type === "integer" || schema.type === "number")
		return /^-?(0|[1-9]\d{0,15})(\.\d{1,15})?$/.test(text) ? Number(text) : text;
	if (schema.type === "boolean") return text === "true" ? true : text === "false" ? false : text;
	return text;
}
