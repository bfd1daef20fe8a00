/** What a verb works with: the API of the chosen node, the output that was asked for, and the terminal. */
import { type OperationTypes, operations } from "../gen/api.ts";
import { type ApiClient, type CallOptions, type CallResult, createApiClient } from "../lib/api-client.ts";
import { delay } from "../lib/clock.ts";
import { isAppError } from "../lib/errors.ts";
import { randomHex } from "../lib/random.ts";
import { type Connection, createConnection } from "./connection/connection.ts";
import { loginsPath, readLogins, type StoredLogins } from "./connection/stored-logins.ts";
import { chooseTarget } from "./connection/target.ts";
import { interrupted } from "./failure.ts";
import type { GlobalOptions } from "./global-options.ts";
import type { CliIo } from "./io.ts";
import { createOutput, type Output } from "./output.ts";
import { Prompter } from "./prompt.ts";
import { visibleLines } from "./terminal-text.ts";

export type OperationName = keyof OperationTypes & string;
/** `timeoutMs`: how long the answer may take; null for bodies that stream. `anonymous`: without the token. */
export type Options<Id extends OperationName> = CallOptions<OperationTypes[Id]> & {
	timeoutMs?: number | null;
	anonymous?: boolean;
};
type Arguments<Id extends OperationName> = Record<string, never> extends Options<Id> ? [Options<Id>?] : [Options<Id>];

export type Cli = {
	readonly io: CliIo;
	readonly environment: Record<string, string | undefined>;
	readonly globals: GlobalOptions;
	readonly output: Output;
	/** Aborted when a person presses Ctrl-C. */
	readonly interrupt: AbortSignal;
	connection(): Connection;
	loginsPath: string;
	/** Fails with AppError as lib/api-client.ts does; `canceled` after Ctrl-C. */
	call<Id extends OperationName>(
		operation: Id,
		...options: Arguments<Id>
	): Promise<CallResult<OperationTypes[Id]["response"]>>;
	/** Questions to the person at the terminal. One for all, as it may have read ahead. */
	readonly prompter: Prompter;
	/** A line for people on standard error: what is going on, warnings. Not with --quiet. */
	note(text: string): Promise<void>;
};

const defaultTimeoutMs = 60_000;
const resendDelayMs = 400;

export function createCli(
	io: CliIo,
	environment: Record<string, string | undefined>,
	globals: GlobalOptions,
	interrupt: AbortSignal,
): Cli {
	const format = globals.output ?? "table";
	const color = io.stdout.isTTY && !environment.NO_COLOR && environment.TERM !== "dumb";
	const path = loginsPath(environment, io.homeDir);
	let connection: Connection | undefined;
	let logins: StoredLogins | undefined;
	const clients = new Map<boolean, ApiClient<OperationTypes>>();
	let warned = false;
	const cli: Cli = {
		io,
		environment,
		globals,
		interrupt,
		prompter: new Prompter(io, interrupt),
		output: createOutput(io.stdout, { format, quiet: globals.quiet, color }),
		loginsPath: path,
		connection() {
			connection ??= createConnection(
				chooseTarget(globals, environment, () => {
					logins ??= readLogins(path);
					return logins;
				}),
				io.clock,
			);
			return connection;
		},
		async call(operation, ...[given]) {
			const result = await callOnce(operation, given ?? {});
			if (result.stale && !warned) {
				warned = true;
				await cli.note("Warning: there is no quorum. This is what the node knew last.");
			}
			return result as never;
		},
		async note(text) {
			if (!globals.quiet) await io.stderr.write(`${visibleLines(text)}\n`);
		},
	};
	return cli;

	function clientFor(anonymous: boolean): ApiClient<OperationTypes> {
		const { fetch, baseUrl, headers } = cli.connection();
		const known = clients.get(anonymous);
		if (known) return known;
		const made = createApiClient<OperationTypes>(operations, { baseUrl, fetch, ...(anonymous ? {} : { headers }) });
		clients.set(anonymous, made);
		return made;
	}

	async function callOnce(operation: OperationName, given: Record<string, unknown>) {
		const {
			timeoutMs = defaultTimeoutMs,
			signal: ownSignal,
			anonymous = false,
			...rest
		} = given as {
			timeoutMs?: number | null;
			signal?: AbortSignal;
			anonymous?: boolean;
		};
		const api = clientFor(anonymous);
		const { method, idempotent } = operations[operation];
		const key = idempotent ? { idempotencyKey: randomHex(io.random, 16) } : {};
		const send = () => {
			const signals = [interrupt, ...(ownSignal ? [ownSignal] : [])];
			if (timeoutMs !== null) signals.push(AbortSignal.timeout(timeoutMs));
			const options = { ...key, ...rest, signal: AbortSignal.any(signals) };
			return (api.call as (id: OperationName, options: unknown) => Promise<CallResult<unknown>>)(operation, options);
		};
		try {
			return await send().catch(async (error: unknown) => {
				// The same request may be sent again when it changes nothing, or its key makes it count once.
				const again =
					isAppError(error, "unavailable") && error.context.lost === true && (idempotent || method === "GET");
				if (!again) throw error;
				await delay(io.clock, resendDelayMs, interrupt);
				return send();
			});
		} catch (error) {
			if (interrupt.aborted) throw interrupted("Interrupted.");
			// What is no good there is the token of the other cluster, not who asks.
			throw operation === "clusterJoin" ? error : signInHint(error);
		}
	}
}

/** Who is refused for lack of credentials is told how to give some. */
function signInHint(error: unknown): unknown {
	if (isAppError(error, "unauthenticated") && error.context.hint === undefined)
		error.context.hint = "Give --token-file, or sign in: limiquantix login --server URL --username NAME";
	return error;
}
