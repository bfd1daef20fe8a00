/** What a recorded history consists of: events, in the order in which they happened, two for each operation. */
import { AppError } from "../../lib/errors.ts";
import type { Operation, Value } from "./operation.ts";

export const eventTypes = ["invoke", "ok", "fail", "info"] as const;
/**
 * `ok`: it took effect. `fail`: it certainly did not. `info`: nobody knows (timed out, connection lost); it stays open
 * for ever. An operation without an end at the end of the history is open too.
 */
export type EventType = (typeof eventTypes)[number];

export const operationKinds = ["read", "write", "cas"] as const;
export type OperationKind = (typeof operationKinds)[number];

export type HistoryEvent = {
	process: string | number;
	type: EventType;
	operation: OperationKind;
	key: string;
	/**
	 * read: what it returned, with `ok` only. write: the value. cas: `[expected, new]`. At the end of a write or cas it
	 * may be left out; if it is there, it is the invocation's.
	 */
	value?: Value | [expected: Value, value: Value];
	/** Of a cas that failed: it failed because the register held something else. That is an observation, and checked. */
	mismatch?: boolean;
	/** Milliseconds, on one clock for the whole history; never decreasing. For people: the order of events counts. */
	time?: number;
};

/** An event and the place that errors name: a line, counted from 1. */
export type PlacedEvent = HistoryEvent & { line: number };

export const badLine = (line: number, message: string): AppError =>
	new AppError("malformed", `line ${line}: ${message}`);

/** Puts invocations and ends together. Line numbers are the operations' times. Throws `malformed`, naming the line. */
export function pairEvents(events: Iterable<PlacedEvent>): Operation[] {
	const operations: Operation[] = [];
	const pending = new Map<string | number, PlacedEvent>();
	let lastTime = Number.NEGATIVE_INFINITY;
	for (const event of events) {
		const { line, process, time } = event;
		if (time !== undefined) {
			if (time < lastTime) throw badLine(line, `time runs backwards: ${time} after ${lastTime}`);
			lastTime = time;
		}
		const invocation = pending.get(process);
		if (event.type === "invoke") {
			if (invocation)
				throw badLine(line, `process ${process} still has the operation of line ${invocation.line} pending`);
			checkInvocation(event);
			pending.set(process, event);
			continue;
		}
		if (!invocation)
			throw badLine(line, `process ${process} has no operation pending that could end with "${event.type}"`);
		checkEnd(invocation, event);
		pending.delete(process);
		const operation = toOperation(invocation, event);
		if (operation) operations.push(operation);
	}
	for (const invocation of pending.values()) {
		const operation = toOperation(invocation, null);
		if (operation) operations.push(operation);
	}
	return operations;
}

function checkInvocation({ line, operation, value, mismatch }: PlacedEvent): void {
	if (mismatch !== undefined) throw badLine(line, "an invocation has no mismatch");
	if (operation === "read" && value !== undefined && value !== null)
		throw badLine(line, "the invocation of a read has no value");
	if (operation === "write" && (value === undefined || Array.isArray(value)))
		throw badLine(line, "the invocation of a write needs the value");
	if (operation === "cas" && !Array.isArray(value))
		throw badLine(line, "the invocation of a cas needs [expected, new] as its value");
}

function checkEnd(invocation: PlacedEvent, end: PlacedEvent): void {
	const { line, type, operation, key, value, mismatch } = end;
	if (operation !== invocation.operation || key !== invocation.key)
		throw badLine(
			line,
			`${operation} of key ${JSON.stringify(key)} ends, but process ${end.process} invoked ${invocation.operation} of ` +
				`key ${JSON.stringify(invocation.key)} on line ${invocation.line}`,
		);
	if (operation === "read") {
		if (type === "ok" && (value === undefined || Array.isArray(value)))
			throw badLine(line, "a read that is ok needs the value that it returned");
		if (type !== "ok" && value !== undefined) throw badLine(line, `a read that ends with "${type}" returned no value`);
	} else if (value !== undefined && JSON.stringify(value) !== JSON.stringify(invocation.value))
		throw badLine(
			line,
			`the value ${JSON.stringify(value)} is not the ${JSON.stringify(invocation.value)} of line ${invocation.line}`,
		);
	if (mismatch !== undefined && (operation !== "cas" || type !== "fail"))
		throw badLine(line, "mismatch belongs to a cas that failed");
}

/** null: it does not matter (it did not happen, or is a read that nobody saw the end of). */
function toOperation(invocation: PlacedEvent, end: PlacedEvent | null): Operation | null {
	const { process, key, value } = invocation;
	const open = end === null || end.type === "info";
	const interval = { process, key, invokedAt: invocation.line, completedAt: open ? null : end.line };
	if (end?.type === "fail" && !end.mismatch) return null;
	if (invocation.operation === "read")
		return open || Array.isArray(end.value) ? null : { ...interval, kind: "read", value: end.value ?? null };
	if (Array.isArray(value))
		return { ...interval, kind: "cas", expected: value[0], value: value[1], swapped: end?.type !== "fail" };
	return { ...interval, kind: "write", value: value ?? null };
}
