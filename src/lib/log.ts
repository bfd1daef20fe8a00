/** Structured log lines on standard error: one JSON object a line (journald keeps them), or short text on a terminal. */

export type LogLevel = "debug" | "info" | "warn" | "error";
export type LogFields = Record<string, unknown>;

export interface Logger {
	debug(message: string, fields?: LogFields): void;
	info(message: string, fields?: LogFields): void;
	warn(message: string, fields?: LogFields): void;
	error(message: string, fields?: LogFields): void;
	/** A logger that adds `fields` to every line. */
	with(fields: LogFields): Logger;
}

const order: LogLevel[] = ["debug", "info", "warn", "error"];

const plain = (value: unknown): unknown =>
	value instanceof Error
		? {
				name: value.name,
				message: value.message,
				...("code" in value ? { code: value.code } : {}),
				...("context" in value ? { context: value.context } : {}),
				stack: value.stack,
				...(value.cause === undefined ? {} : { cause: plain(value.cause) }),
			}
		: value;

export function createLogger(
	write: (line: string) => void,
	level: LogLevel,
	format: "json" | "text",
	base: LogFields = {},
): Logger {
	const emit = (at: LogLevel, message: string, fields: LogFields = {}) => {
		if (order.indexOf(at) < order.indexOf(level)) return;
		const all: LogFields = { ...base, ...fields };
		for (const key of Object.keys(all)) all[key] = plain(all[key]);
		const time = new Date().toISOString();
		if (format === "json") return write(`${JSON.stringify({ time, level: at, message, ...all })}\n`);
		const rest = Object.keys(all).length > 0 ? ` ${JSON.stringify(all)}` : "";
		write(`${time.slice(11, 23)} ${at.padEnd(5)} ${message}${rest}\n`);
	};
	return {
		debug: (message, fields) => emit("debug", message, fields),
		info: (message, fields) => emit("info", message, fields),
		warn: (message, fields) => emit("warn", message, fields),
		error: (message, fields) => emit("error", message, fields),
		with: (fields) => createLogger(write, level, format, { ...base, ...fields }),
	};
}

export const silentLogger: Logger = {
	debug() {},
	info() {},
	warn() {},
	error() {},
	with: () => silentLogger,
};
