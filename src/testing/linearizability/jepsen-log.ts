/**
 * Histories as Jepsen's etcd test logged them (../shared/data/jepsen-etcd): one register, a line an event, columns
 * separated by tabs or spaces.
 *
 *     INFO  jepsen.util - 3	:invoke	:read	nil
 *     INFO  jepsen.util - 3	:ok	:read	4
 *     INFO  jepsen.util - 2	:invoke	:cas	[4 0]
 *     INFO  jepsen.util - 2	:fail	:cas	[4 0]
 *     INFO  jepsen.util - 1	:invoke	:write	2
 *     INFO  jepsen.util - 1	:info	:write	:timed-out
 *
 * `:fail` did not happen. A `:cas` that failed with its values was answered "compare failed", so the register held
 * something else: an observation, as Porcupine, which the verdicts come from, takes it. One that failed with a reason
 * (`:timed-out`) says nothing. `:info` is open for ever. What the `:nemesis` did is passed over.
 */
import { badLine, type HistoryEvent, type PlacedEvent } from "./event.ts";

const eventLine =
	/^INFO\s+jepsen\.util\s+-\s+(\d+)\s+:(invoke|ok|fail|info)\s+:(read|write|cas)\s+(nil|-?\d+|\[\s*(?:nil|-?\d+)\s+(?:nil|-?\d+)\s*\]|:[a-z][a-z0-9-]*)\s*$/;
const nemesisLine = /^INFO\s+jepsen\.util\s+-\s+:nemesis\s/;

/** The log has one register; this is the name that the checker knows it by. */
const key = "register";

/** null for a line that is not about a client. Throws `malformed`. */
export function parseJepsenLine(text: string, line: number): PlacedEvent | null {
	if (nemesisLine.test(text)) return null;
	const match = eventLine.exec(text);
	if (!match) throw badLine(line, "not a line of a Jepsen log: INFO  jepsen.util - PROCESS :TYPE :OPERATION VALUE");
	const [, process = "", type = "", operation = "", value = ""] = match;
	const event = {
		process: Number(process),
		type: type as HistoryEvent["type"],
		operation: operation as HistoryEvent["operation"],
		key,
		line,
	};
	if (value.startsWith(":")) {
		if (type === "invoke" || type === "ok") throw badLine(line, `"${type}" needs a value and has ${value}`);
		return event;
	}
	if (operation === "read") return type === "ok" ? { ...event, value: parseValue(value, line) } : event;
	const mismatch = operation === "cas" && type === "fail" ? { mismatch: true } : {};
	return { ...event, value: parseValue(value, line), ...mismatch };
}

function parseValue(text: string, line: number): number | null | [number | null, number | null] {
	const single = (word = "nil"): number | null => {
		if (word === "nil") return null;
		const number = Number(word);
		if (!Number.isSafeInteger(number)) throw badLine(line, `the number ${word} is too large`);
		return number;
	};
	if (!text.startsWith("[")) return single(text);
	const [expected, value] = text.slice(1, -1).trim().split(/\s+/);
	return [single(expected), single(value)];
}
