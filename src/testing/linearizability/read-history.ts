/** A history's text or file → operations. Which of the two forms it has is seen from its first line. */
import { readFileSync, statSync } from "node:fs";
import { AppError } from "../../lib/errors.ts";
import { badLine, type PlacedEvent, pairEvents } from "./event.ts";
import { parseJepsenLine } from "./jepsen-log.ts";
import { parseJsonLine } from "./json-lines.ts";
import type { Operation } from "./operation.ts";

const maximumBytes = 512 * 1024 * 1024;

/** Throws AppError: `not-found`, `invalid` (no regular file), `too-large`, `malformed` (the message names the line). */
export function readHistory(path: string): Operation[] {
	return parseHistory(readText(path));
}

/** Operations' times are line numbers. A history without a single event is malformed: nobody meant to have it judged. */
export function parseHistory(text: string): Operation[] {
	return pairEvents(parseEvents(text));
}

function* parseEvents(text: string): Generator<PlacedEvent> {
	let parse: ((text: string, line: number) => PlacedEvent | null) | null = null;
	let line = 0;
	for (const content of linesOf(text)) {
		line++;
		if (content === "") continue;
		parse ??= formOf(content, line);
		const event = parse(content, line);
		if (event) yield event;
	}
	if (!parse) throw badLine(1, "the history is empty");
}

function formOf(content: string, line: number) {
	if (content.startsWith("{")) return parseJsonLine;
	if (/^INFO\s/.test(content)) return parseJepsenLine;
	throw badLine(line, 'neither a JSON line ({"process":…}) nor a line of a Jepsen log (INFO  jepsen.util - …)');
}

function* linesOf(text: string): Generator<string> {
	for (let from = 0; from < text.length; ) {
		const end = text.indexOf("\n", from);
		yield text.slice(from, end < 0 ? text.length : end).trim();
		from = end < 0 ? text.length : end + 1;
	}
}

function readText(path: string): string {
	const status = statSync(path, { throwIfNoEntry: false });
	if (!status) throw new AppError("not-found", "there is no such file");
	if (!status.isFile()) throw new AppError("invalid", "not a regular file");
	if (status.size > maximumBytes)
		throw new AppError("too-large", `${status.size} bytes are more than the ${maximumBytes} that are read`);
	const bytes = readFileSync(path);
	try {
		return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
	} catch (error) {
		throw new AppError("malformed", `line ${lineOfBadByte(bytes)}: not UTF-8 text`, { cause: error });
	}
}

function lineOfBadByte(bytes: Uint8Array): number {
	let line = 1;
	for (let from = 0; from < bytes.length; line++) {
		const found = bytes.indexOf(10, from);
		const end = found < 0 ? bytes.length : found;
		try {
			new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(from, end));
		} catch {
			return line;
		}
		from = end + 1;
	}
	return line;
}
