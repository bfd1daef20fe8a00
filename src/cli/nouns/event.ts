/** `limiquantix event`: what changes, as it changes. */
import { delay } from "../../lib/clock.ts";
import { AppError, isAppError } from "../../lib/errors.ts";
import type { Event } from "../../model/event.ts";
import type { ResourceKind } from "../../model/schema.ts";
import type { Cli } from "../cli.ts";
import { type ServerSentEvent, serverSentEvents } from "../event-stream.ts";
import { exitCode } from "../failure.ts";
import { choices, integer, parsed } from "../options.ts";
import { visible } from "../terminal-text.ts";
import { type Noun, verb } from "../verb.ts";

const kinds = [
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
] as const satisfies readonly ResourceKind[];

const maxFailuresInARow = 8;
const firstRetryMs = 500;
const maxRetryMs = 8000;
/** The node sends a comment every 15 s; when it does not, the connection is dead. */
const silenceLimitMs = 60_000;

export const eventNoun: Noun = {
	name: "event",
	summary: "what changes, as it changes",
	verbs: [
		verb({
			name: "watch",
			summary: "Follow what changes, until Ctrl-C",
			description: "Goes on by itself after an interruption. With --output json, one object a line.",
			examples: [
				"limiquantix event watch",
				"limiquantix event watch --kind vm --output json",
				"limiquantix event watch --after 1042.0 --count 10",
			],
			options: {
				kind: choices("--kind <kind>", kinds, "only of these objects; several times for several"),
				after: parsed("--after <id>", "begin behind this event", (given) => {
					if (!/^\d+\.\d+$/.test(given)) throw new AppError("invalid", `"${given}" is no id of an event, like 1042.0.`);
					return given;
				}),
				count: integer("--count <number>", "end after so many", { min: 1, max: 1_000_000_000 }),
			},
			async run(cli, _, { kind, after, count }) {
				let left = count ?? Number.POSITIVE_INFINITY;
				try {
					for await (const event of follow(cli, after)) {
						if (kind.length > 0 && !kind.some((one) => one === event.target.kind)) continue;
						await cli.output.streamed(event, eventLine, event.id);
						left -= 1;
						if (left <= 0) break;
					}
				} catch (error) {
					// Ctrl-C is how watching ends.
					if (cli.interrupt.aborted) return exitCode.ok;
					throw error;
				}
				return exitCode.ok;
			},
		}),
	],
};

const eventLine = ({ time, type, target, object }: Event): string => {
	const state = stateOf(object);
	return [time, type, target.kind, target.name ?? target.id, ...(state === null ? [] : [state])]
		.map(visible)
		.join("  ");
};

/** The state of an object that has one: of a VM its power state, of a task its state, of others their phase. */
function stateOf(object: unknown): string | null {
	if (typeof object !== "object" || object === null) return null;
	const { state, phase, status } = object as Record<string, unknown>;
	if (typeof state === "string") return state;
	if (typeof phase === "string") return phase;
	if (typeof status !== "object" || status === null) return null;
	const { powerState, phase: nodePhase } = status as Record<string, unknown>;
	return typeof powerState === "string" ? powerState : typeof nodePhase === "string" ? nodePhase : null;
}

/** Events without an end: reconnects with a back-off, behind the last one seen. */
async function* follow(cli: Cli, after: string | undefined): AsyncGenerator<Event> {
	let last = after;
	let failures = 0;
	let connected = false;
	while (true) {
		try {
			for await (const event of oneConnection(cli, last)) {
				failures = 0;
				connected = true;
				if (event === "alive") continue;
				if (event.id !== "") last = event.id;
				if (event.event === "reset") {
					last = event.id === "" ? undefined : event.id;
					await cli.note("Events were missed: what was asked for is too old.");
				} else if (event.event === "change") yield parseEvent(event.data);
			}
			failures += 1;
		} catch (error) {
			failures += 1;
			const passing = isAppError(error, "unavailable") || isAppError(error, "timeout");
			if (!passing || !connected || failures > maxFailuresInARow) throw error;
		}
		await delay(cli.io.clock, Math.min(maxRetryMs, firstRetryMs * 2 ** (failures - 1)), cli.interrupt);
	}
}

async function* oneConnection(cli: Cli, last: string | undefined): AsyncGenerator<ServerSentEvent | "alive"> {
	const silence = new AbortController();
	const arm = () => cli.io.clock.schedule(silenceLimitMs, () => silence.abort(new Error("silence")));
	let timer = arm();
	try {
		const { body } = await cli.call("eventsStream", {
			...(last === undefined ? {} : { headers: { "last-event-id": last } }),
			signal: silence.signal,
			timeoutMs: null,
		});
		yield "alive";
		for await (const event of serverSentEvents(body.body ?? new ReadableStream())) {
			timer.cancel();
			timer = arm();
			yield event;
		}
	} catch (error) {
		if (error instanceof AppError && !silence.signal.aborted) throw error;
		throw new AppError("unavailable", "The stream of events broke off.", { cause: error });
	} finally {
		timer.cancel();
		silence.abort();
	}
}

function parseEvent(data: string): Event {
	try {
		return JSON.parse(data) as Event;
	} catch (error) {
		throw new AppError("internal", "The node sent an event that cannot be understood.", { cause: error });
	}
}
