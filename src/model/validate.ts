/**
 * Checks values against the model's schemas, with one meaning everywhere: where a command is made, and again, the same
 * on every node, where it applies. Compiled once for each schema.
 */
import { FormatRegistry, type Static, type TSchema } from "@sinclair/typebox";
import { type TypeCheck, TypeCompiler } from "@sinclair/typebox/compiler";
import { AppError, type FieldError } from "../lib/errors.ts";
import * as access from "./access.ts";
import * as cluster from "./cluster.ts";
import * as event from "./event.ts";
import * as network from "./network.ts";
import * as node from "./node.ts";
import * as poolConfig from "./pool-config.ts";
import * as base from "./schema.ts";
import * as snapshot from "./snapshot.ts";
import * as storage from "./storage.ts";
import * as task from "./task.ts";
import * as vm from "./vm.ts";

const rfc3339Utc = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/;
/** RFC 3339 in UTC: the form in which all times are kept. */
export const isTimestamp = (text: string): boolean => rfc3339Utc.test(text) && !Number.isNaN(Date.parse(text));

// The registry is one for the process; "date-time" must mean the same whatever else was loaded before.
FormatRegistry.Set("date-time", isTimestamp);

const named: TSchema[] = [access, base, cluster, event, network, node, poolConfig, snapshot, storage, task, vm]
	.flatMap((module) => Object.values(module) as unknown[])
	.filter((value): value is TSchema => typeof value === "object" && value !== null && "$id" in value);

const compiled = new WeakMap<TSchema, TypeCheck<TSchema>>();

function check(schema: TSchema): TypeCheck<TSchema> {
	let known = compiled.get(schema);
	if (!known) {
		known = TypeCompiler.Compile(
			schema,
			named.filter((other) => other !== schema),
		);
		compiled.set(schema, known);
	}
	return known;
}

const maxProblems = 20;

/** What is wrong with `value`, at most 20 places, with JSON pointers; empty when it fits the schema. */
export function schemaProblems(schema: TSchema, value: unknown): FieldError[] {
	const checker = check(schema);
	if (checker.Check(value)) return [];
	const problems: FieldError[] = [];
	for (const error of checker.Errors(value)) {
		problems.push({ path: error.path, message: error.message });
		if (problems.length >= maxProblems) break;
	}
	return problems;
}

/** `value`, typed; `invalid` with the fields when it does not fit. `what` begins the message: "The VM". */
export function validated<T extends TSchema>(schema: T, value: unknown, what: string): Static<T> {
	const fields = schemaProblems(schema, value);
	if (fields.length > 0) {
		const first = fields[0];
		throw new AppError("invalid", `${what} is not valid: ${first?.path || "/"}: ${first?.message}.`, { fields });
	}
	return value as Static<T>;
}
