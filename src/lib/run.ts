/**
 * With run-for-output.ts the only place that starts host programs. `run` waits for the end: always an argument list, never a shell; always a time limit; output is
 * bounded; the whole process group ends with the limit or the signal. Callers put `--` before untrusted operands
 * where the program understands it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable, Writable } from "node:stream";
import { execa } from "execa";
import { AppError } from "./errors.ts";

export type RunLimits = {
	/** RLIMIT_AS of the program. */
	addressSpaceBytes?: number;
	/** RLIMIT_CPU of the program. */
	cpuSeconds?: number;
	/** RLIMIT_FSIZE of the program: the largest file that it may write. */
	fileSizeBytes?: number;
};

export type RunOptions = {
	timeoutMs: number;
	stdin?: string | Uint8Array;
	cwd?: string;
	environment?: Record<string, string>;
	signal?: AbortSignal;
	/** Bytes kept of each of stdout and stderr (default 4 MiB); more is an error. */
	maxOutputBytes?: number;
	limits?: RunLimits;
	/** Exit codes that are not a failure (default [0]). */
	okExitCodes?: number[];
	/** Called with each line of standard output as it comes, for progress. */
	onStdoutLine?: (line: string) => void;
	/** The same of standard error: some programs tell their progress there. */
	onStderrLine?: (line: string) => void;
	/** Called once with the process id when the program was started, before anything is awaited. */
	onStart?: (processId: number) => void;
};

export type RunResult = { exitCode: number; stdout: string; stderr: string };

/** Fails with `unavailable` (program missing), `timeout`, `canceled` or `internal` (non-zero exit, stderr in context). */
export async function run(program: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
	const [file, argv] = options.limits ? withLimits(program, args, options.limits) : [program, [...args]];
	const subprocess = execa(file, argv, {
		...commonOptions(options),
		...(options.stdin === undefined ? { stdin: "ignore" as const } : { input: options.stdin }),
	});
	if (subprocess.pid !== undefined) options.onStart?.(subprocess.pid);
	if (options.onStdoutLine) forwardLines(subprocess.stdout, options.onStdoutLine);
	if (options.onStderrLine) forwardLines(subprocess.stderr, options.onStderrLine);
	return outcome(program, args, options, await subprocess);
}

/**
 * Runs a program that reads `input`. When that fails, the program sees the end of its input, is waited for, and the failure of
 * `input` is what this fails with.
 */
export async function runWithInput(
	program: string,
	args: readonly string[],
	input: AsyncIterable<Uint8Array>,
	options: Omit<RunOptions, "stdin" | "limits">,
): Promise<RunResult> {
	const subprocess = execa(program, [...args], { ...commonOptions(options), stdin: "pipe" });
	if (subprocess.pid !== undefined) options.onStart?.(subprocess.pid);
	const { stdin } = subprocess;
	// A program that ends early closes the pipe: its own error is what counts then.
	let broken = false;
	const closed = new Promise<void>((resolve) => {
		const done = () => {
			broken = true;
			resolve();
		};
		stdin.on("error", done);
		stdin.on("close", done);
	});
	const feed = async () => {
		try {
			for await (const chunk of input) {
				if (broken) return;
				const taken = stdin.write(chunk);
				if (!taken) await Promise.race([once(stdin, "drain"), closed]);
			}
		} finally {
			stdin.end();
		}
	};
	const [fed, ended] = await Promise.allSettled([feed(), subprocess]);
	if (fed.status === "rejected") throw fed.reason;
	if (ended.status === "rejected") throw ended.reason;
	return outcome(program, args, options, ended.value);
}

const commonOptions = (options: RunOptions) => ({
	timeout: options.timeoutMs,
	forceKillAfterDelay: 2000,
	maxBuffer: options.maxOutputBytes ?? 4 * 1024 * 1024,
	reject: false as const,
	stripFinalNewline: false,
	extendEnv: true,
	env: { LC_ALL: "C", ...options.environment },
	...(options.cwd ? { cwd: options.cwd } : {}),
	...(options.signal ? { cancelSignal: options.signal } : {}),
});

export type Outcome = {
	exitCode?: number | undefined;
	signal?: string | undefined;
	stdout?: unknown;
	stderr?: unknown;
	isCanceled: boolean;
	timedOut: boolean;
	code?: string | undefined;
	shortMessage?: string | undefined;
	cause?: unknown;
};

/** The result of a program that has ended, or what `run` fails with. */
export function outcome(
	program: string,
	args: readonly string[],
	options: Pick<RunOptions, "timeoutMs" | "okExitCodes">,
	result: Outcome,
): RunResult {
	const stdout = String(result.stdout ?? "");
	const stderr = String(result.stderr ?? "");
	const { exitCode, signal } = result;
	// `signal`: what ended it, when nobody here asked for that, as "SIGABRT".
	const context = { program, args, exitCode, ...(signal ? { signal } : {}), stderr: stderr.slice(0, 4000) };
	if (result.isCanceled) throw new AppError("canceled", `${program} was canceled.`, { context });
	if (result.timedOut)
		throw new AppError("timeout", `${program} did not finish within ${options.timeoutMs} ms.`, { context });
	if (result.code === "ENOENT")
		throw new AppError("unavailable", `The program ${program} is not installed on this node.`, { context });
	const ok = options.okExitCodes ?? [0];
	if (result.exitCode === undefined || !ok.includes(result.exitCode))
		throw new AppError("internal", `${program} failed: ${lastLine(stderr) || result.shortMessage || "no message"}`, {
			context,
			cause: result.cause,
		});
	return { exitCode: result.exitCode, stdout, stderr };
}

export type StartOptions = {
	/** All that it gets of the environment, beside PATH. */
	environment?: Record<string, string>;
	/** Whom it runs as; null is whoever we are. */
	user: { uid: number; gid: number } | null;
};

export type RunningProgram = {
	processId: number;
	stdin: Writable;
	stdout: Readable;
	stderr: Readable;
	/** Resolves in any case, with words for how it ended. */
	ended: Promise<string>;
	/** Ends its whole process group at once. A process that waits for a dead server may stay until that answers. */
	kill(): void;
};

/**
 * A program that goes on beside us and is spoken to, in a process group of its own. The caller sets limits to each answer, and ends
 * it. Fails with `unavailable` when it cannot be started.
 */
export async function startProgram(
	program: string,
	args: readonly string[],
	{ environment, user }: StartOptions,
): Promise<RunningProgram> {
	const child: ChildProcess = spawn(program, [...args], {
		...{ cwd: "/", detached: true, stdio: ["pipe", "pipe", "pipe"] },
		env: { PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C", ...environment },
		...user,
	});
	const ended = new Promise<string>((resolve) => {
		child.once("error", (error) => resolve(error.message));
		child.once("exit", (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`));
	});
	const { pid: processId, stdin, stdout, stderr } = child;
	if (processId === undefined || !stdin || !stdout || !stderr)
		throw new AppError("unavailable", `The program ${program} could not be started: ${await ended}.`);
	// It may end at any time; whoever writes hears of that by `ended`.
	stdin.on("error", () => {});
	const kill = () => {
		try {
			process.kill(-processId, "SIGKILL");
		} catch {
			// All of it is gone.
		}
	};
	return { processId, stdin, stdout, stderr, ended, kill };
}

function withLimits(program: string, args: readonly string[], limits: RunLimits): [string, string[]] {
	const flags: string[] = [];
	if (limits.addressSpaceBytes) flags.push(`--as=${limits.addressSpaceBytes}`);
	if (limits.cpuSeconds) flags.push(`--cpu=${limits.cpuSeconds}`);
	if (limits.fileSizeBytes) flags.push(`--fsize=${limits.fileSizeBytes}`);
	return ["prlimit", [...flags, "--", program, ...args]];
}

function forwardLines(stream: NodeJS.ReadableStream | null | undefined, onLine: (line: string) => void): void {
	let rest = "";
	stream?.on("data", (chunk: Buffer | string) => {
		const parts = (rest + chunk.toString()).split(/[\r\n]/);
		rest = (parts.pop() ?? "").slice(-65536);
		for (const part of parts) if (part !== "") onLine(part);
	});
}

const lastLine = (text: string): string => text.trim().split("\n").at(-1)?.slice(0, 500) ?? "";
