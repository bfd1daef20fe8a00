/**
 * A program whose standard output is read as it comes, no faster than the reader takes it. By Bun itself: the streams of Node's child
 * processes lose there what was not read yet when the program ends.
 */
import { AppError } from "./errors.ts";
import { outcome, type RunOptions } from "./run.ts";

type OutputOptions = Pick<RunOptions, "timeoutMs" | "signal" | "environment" | "onStart">;

const forceKillAfterMs = 2000;
const maxErrorBytes = 64 * 1024;

/** The stream ends when the program has ended well, and fails with the error of `run` otherwise; canceling it ends the program. */
export function runForOutput(
	program: string,
	args: readonly string[],
	options: OutputOptions,
): ReadableStream<Uint8Array> {
	let child: ReturnType<typeof start>;
	try {
		child = start(program, args, options);
	} catch (cause) {
		const error = new AppError("unavailable", `The program ${program} could not be started.`, { cause });
		return new ReadableStream({ start: (controller) => controller.error(error) });
	}
	// At once: before somebody reads from it, Bun takes all that comes into memory.
	const reader = child.stdout.getReader();
	const errors = headOf(child.stderr);
	const state = { timedOut: false, isCanceled: false };
	const end = (why: keyof typeof state) => {
		if (child.exitCode !== null || child.signalCode !== null) return;
		state[why] = true;
		child.kill("SIGTERM");
		const force = setTimeout(() => child.kill("SIGKILL"), forceKillAfterMs);
		void child.exited.then(() => clearTimeout(force));
	};
	const limit = setTimeout(() => end("timedOut"), options.timeoutMs);
	const onAbort = () => end("isCanceled");
	if (options.signal?.aborted) onAbort();
	else options.signal?.addEventListener("abort", onAbort, { once: true });
	const ended = child.exited.then(async () => {
		clearTimeout(limit);
		options.signal?.removeEventListener("abort", onAbort);
		const { exitCode, signalCode } = child;
		const how = {
			...(exitCode === null ? {} : { exitCode }),
			...(signalCode === null ? {} : { signal: `${signalCode}` }),
		};
		return outcome(program, args, options, { ...how, stderr: await errors, ...state });
	});
	ended.catch(() => {});
	return new ReadableStream<Uint8Array>(
		{
			async pull(controller) {
				try {
					const { done, value } = await reader.read();
					if (!done) return controller.enqueue(value);
					await ended;
					controller.close();
				} catch (error) {
					controller.error(error);
				}
			},
			async cancel() {
				end("isCanceled");
				await reader.cancel().catch(() => {});
				await ended.catch(() => {});
			},
		},
		{ highWaterMark: 0 },
	);
}

function start(program: string, args: readonly string[], { environment, onStart }: OutputOptions) {
	const child = Bun.spawn([program, ...args], {
		...{ stdin: "ignore", stdout: "pipe", stderr: "pipe" },
		env: { ...process.env, LC_ALL: "C", ...environment },
	});
	onStart?.(child.pid);
	return child;
}

/** All is read, lest the program waits. */
async function headOf(stream: ReadableStream<Uint8Array>): Promise<string> {
	const kept: Uint8Array[] = [];
	let bytes = 0;
	try {
		for await (const chunk of stream) {
			if (bytes < maxErrorBytes) kept.push(chunk);
			bytes += chunk.length;
		}
	} catch {
		// What came before counts.
	}
	return Buffer.concat(kept).toString("utf8");
}
