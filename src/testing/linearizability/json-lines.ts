/**
 * The project's own form of a history, JSON lines: one event a line, in the order in which they happened. The
 * simulator and the tests of real processes write it (`formatEvent`), `npm run linearizable` reads it.
 *
 *     {"process":1,"type":"invoke","operation":"write","key":"vm/7","value":3,"time":120}
 *     {"process":2,"type":"invoke","operation":"read","key":"vm/7","time":121.5}
 *     {"process":1,"type":"ok","operation":"write","key":"vm/7","time":124}
 *     {"process":2,"type":"ok","operation":"read","key":"vm/7","value":3,"time":125}
 *     {"process":1,"type":"invoke","operation":"cas","key":"vm/7","value":[3,4],"time":130}
 *     {"process":1,"type":"fail","operation":"cas","key":"vm/7","mismatch":true,"time":131}
 *     {"process":2,"type":"invoke","operation":"write","key":"vm/7","value":null,"time":140}
 *     {"process":2,"type":"info","operation":"write","key":"vm/7","time":5140,"note":"timed out"}
 *
 * | field | |
 * | --- | --- |
 * | `process` | string or number; has one operation pending at a time, and may go on after `info` |
 * | `type` | `invoke`, `ok` (took effect), `fail` (certainly did not), `info` (nobody knows: open for ever) |
 * | `operation` | `read`, `write`, `cas` (compare and set) |
 * | `key` | string. Every key holds `null`, nothing, at first |
 * | `value` | string, number, boolean or `null`. write: at the invocation. read: at `ok`. cas: `[expected, new]`, at the invocation. May be repeated at the end of a write or cas |
 * | `mismatch` | `true` on a cas that failed because the register held something else: an observation, which is checked too. Without it a `fail` says no more than that the operation did not happen |
 * | `time` | number, ms on one clock for the whole history, never decreasing. For people: lines are in order |
 * | `note` | optional string for people |
 *
 * Write a different value each time: then a read says which write it saw, and the check is sharp and fast. Where few
 * values come back and a dozen or more operations stay open, refuting a history can take a minute or hit the bounds.
 *
 * Nothing else is allowed, so that a misspelt field cannot weaken the check. Numbers are equal as JavaScript's
 * numbers; whole numbers beyond 2^53 are refused because two of them could look equal.
 */
import { badLine, eventTypes, type HistoryEvent, operationKinds, type PlacedEvent } from "./event.ts";
import type { Value } from "./operation.ts";

/** One line, without the line break. */
export function formatEvent(event: HistoryEvent & { time: number; note?: string }): string {
	const { process, type, operation, key, value, mismatch, time, note } = event;
	return JSON.stringify({ process, type, operation, key, value, mismatch, time, note });
}

const fields = ["process", "type", "operation", "key", "value", "mismatch", "time", "note"];

/** `line` counts from 1, for errors. Throws `malformed`. */
export function parseJsonLine(text: string, line: number): PlacedEvent {
	const record = parseObject(text, line);
	const unknown = Object.keys(record).find((name) => !fields.includes(name));
	if (unknown !== undefined)
		throw badLine(line, `unknown field ${JSON.stringify(unknown)}; there are: ${fields.join(", ")}`);
	const { process, key, value, mismatch, time, note } = record;
	if (typeof process !== "string" && typeof process !== "number")
		throw badLine(line, "process must be a string or a number");
	if (typeof key !== "string") throw badLine(line, "key must be a string");
	if (typeof time !== "number" || !Number.isFinite(time)) throw badLine(line, "time must be a number");
	if (mismatch !== undefined && typeof mismatch !== "boolean") throw badLine(line, "mismatch must be true or false");
	if (note !== undefined && typeof note !== "string") throw badLine(line, "note must be a string");
	return {
		process,
		type: oneOf(eventTypes, "type", record.type, line),
		operation: oneOf(operationKinds, "operation", record.operation, line),
		key,
		...(value === undefined ? {} : { value: parseValue(value, line) }),
		...(mismatch === undefined ? {} : { mismatch }),
		time,
		line,
	};
}

function parseObject(text: string, line: number): Record<string, unknown> {
	let parsed: unknown;
	try {
		parsed = JSON.parse(text);
	} catch {
		throw badLine(line, "not JSON");
	}
	if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) throw badLine(line, "not a JSON object");
	return { ...parsed };
}

function oneOf<Name extends string>(names: readonly Name[], field: string, value: unknown, line: number): Name {
	const known = names.find((name) => name === value);
	if (known === undefined) throw badLine(line, `${field} must be one of ${names.join(", ")}`);
	return known;
}

function parseValue(value: unknown, line: number): Value | [Value, Value] {
	if (!Array.isArray(value)) return parseSingle(value, line);
	if (value.length !== 2) throw badLine(line, "a value that is a list must be [expected, new]");
	return [parseSingle(value[0], line), parseSingle(value[1], line)];
}

function parseSingle(value: unknown, line: number): Value {
	if (value === null || typeof value === "string" || typeof value === "boolean") return value;
	if (typeof value !== "number") throw badLine(line, "a value must be a string, a number, a boolean or null");
	if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value)))
		throw badLine(line, "the number is too large to be compared exactly; write it as a string");
	return value;
}
