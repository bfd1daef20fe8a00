/**
 * Building blocks of the model's schemas. A schema is written once, with TypeBox (JSON Schema 2020-12): the TypeScript
 * type, the API's validation and OpenAPI, and the check where a command applies all come from it. Schemas with a
 * `$id` become named components of the OpenAPI document.
 */
import { Kind, type Static, type TObject, type TSchema, Type, TypeRegistry } from "@sinclair/typebox";
import { uuidPattern } from "../lib/ids.ts";

export const Id = Type.String({ pattern: uuidPattern, description: "UUID version 7" });
export const Timestamp = Type.String({ format: "date-time", description: "RFC 3339, UTC" });
export const NullableTimestamp = Type.Union([Timestamp, Type.Null()]);

/** Bytes as a JSON number; 2^53 bytes are 8 PiB. */
export const Bytes = (options: { minimum?: number; maximum?: number; description?: string } = {}) =>
	Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, ...options });

/**
 * Names of objects: letters, digits, dot, dash and underscore, beginning with a letter or digit, 63 characters at
 * most. An allow-list, because names reach libvirt XML, file names and host names.
 */
export const namePattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";
export const Name = Type.String({
	pattern: namePattern,
	minLength: 1,
	maxLength: 63,
	description: "Letters, digits, '.', '_' and '-'; begins with a letter or digit; 63 characters at most",
});

/** Free text for people: no control characters but newline and tab. */
export const Description = Type.String({
	maxLength: 4096,
	pattern: "^[^\\u0000-\\u0008\\u000b-\\u001f\\u007f]*$",
	description: "Free text",
});
export const Tags = Type.Array(Type.String({ pattern: "^[a-z0-9][a-z0-9._:/-]{0,62}$", maxLength: 63 }), {
	maxItems: 32,
	uniqueItems: true,
});

// TypeBox has no string enum of this form, and compiles only kinds that are registered.
TypeRegistry.Set<{ enum: readonly unknown[] }>("StringEnum", (schema, value) => schema.enum.includes(value));
export const StringEnum = <const T extends readonly string[]>(values: T, options: Record<string, unknown> = {}) =>
	Type.Unsafe<T[number]>({ [Kind]: "StringEnum", type: "string", enum: [...values], ...options });

export const Nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** An object that accepts no property that it does not name. */
export const Strict = <T extends Record<string, TSchema>>(
	properties: T,
	options: { $id?: string; description?: string; minProperties?: number } = {},
): TObject<T> => Type.Object(properties, { additionalProperties: false, ...options });

/** A page of a list: `nextPageToken` is null on the last one. */
export const PageOf = <T extends TSchema>(item: T, $id: string) =>
	Strict({ items: Type.Array(item), nextPageToken: Nullable(Type.String()) }, { $id });
export type Page<T> = { items: T[]; nextPageToken: string | null };

/** A reference to an object, with the name that it had. */
export const ResourceRef = Strict(
	{
		kind: StringEnum([
			"cluster",
			"node",
			"vm",
			"volume",
			"snapshot",
			"pool",
			"image",
			"network",
			"task",
			"user",
			"session",
			"token",
			"joinToken",
			"foreign-vm",
		] as const),
		id: Type.String(),
		name: Nullable(Type.String()),
	},
	{ $id: "ResourceRef" },
);
export type ResourceRef = Static<typeof ResourceRef>;
export type ResourceKind = ResourceRef["kind"];

export const ErrorInfoSchema = Strict(
	{
		code: Type.String(),
		message: Type.String(),
		fields: Type.Optional(Type.Array(Strict({ path: Type.String(), message: Type.String() }))),
	},
	{ $id: "ErrorInfo" },
);

/** What every replicated object has. `generation` counts changes of what a person wants, and is the ETag. */
export const Metadata = {
	id: Id,
	generation: Type.Integer({
		minimum: 1,
		description: "Counts changes of the spec; the ETag is this number in quotes",
	}),
	createdAt: Timestamp,
	updatedAt: Timestamp,
};
