/** One storage worker as the daemon sees it: started, asked, and ended when it does not answer. Dead for good once it has ended. */
import { createInterface } from "node:readline";
import type { Clock, Timer } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import { type RunningProgram, startProgram } from "../../lib/run.ts";
import type { LongOptions, Progress } from "../driver.ts";
import { encodeFrame, FrameReader, fromWire, protocolVersion, type Reply } from "./frames.ts";

export type WorkerLimits = {
	/** Until a new worker says hello: it touches no storage before, so only a host that is very busy keeps it from that. */
	startMs: number;
	/** A call that looks at one thing. */
	lookMs: number;
	/** A call that looks at everything. */
	listMs: number;
	/** A call that changes something small. */
	changeMs: number;
	/** `check` answers within this time, whatever the worker does: before whoever asks gives up, and knows less of why. */
	checkMs: number;
	/** Whatever is pending ends when the worker has said nothing for so long, though it was asked for a sign of life. */
	stallMs: number;
};

/**
 * A server that starts again makes its clients wait for up to 90 s (the grace period of NFS 4), and what is copied meanwhile should
 * go on afterwards; looking at something need not wait for that.
 */
export const workerLimits: WorkerLimits = {
	...{ startMs: 30_000, lookMs: 20_000, listMs: 60_000, changeMs: 60_000, checkMs: 4500, stallMs: 150_000 },
};

export type WorkerCommand = {
	program: string;
	args: readonly string[];
	environment?: Readonly<Record<string, string>>;
};
/** `look`: it changes nothing, so nothing is lost when it is cut off. */
export type CallOptions = LongOptions & { part?: Uint8Array; limitMs: number | null; look?: boolean };
export type WorkerAnswer = { value: unknown; part: Uint8Array };

type Pending = {
	resolve(answer: WorkerAnswer): void;
	reject(error: unknown): void;
	progress: Progress | undefined;
	deadlineMs: number | null;
	/** Asked for a sign of life: nobody waits for it. */
	isSign: boolean;
	isLook: boolean;
	ended: Promise<unknown>;
};

const noBytes = new Uint8Array(0);
const maxLogLine = 16_384;

export class WorkerProcess {
	readonly #program: RunningProgram;
	readonly #clock: Clock;
	readonly #limits: WorkerLimits;
	readonly #log: Logger;
	readonly #pending = new Map<number, Pending>();
	readonly #hello = Promise.withResolvers<void>();
	#lastId = 0;
	#lastSignMs: number;
	#askedForSign = false;
	#dead: AppError | null = null;
	#watch: Timer | null = null;
	/** New calls wait for it. */
	#held: Promise<void> | null = null;

	/** Fails with `unavailable` or `timeout` when it does not come up. */
	static async start(
		command: WorkerCommand,
		user: { uid: number; gid: number } | null,
		context: { clock: Clock; limits: WorkerLimits; log: Logger },
	): Promise<WorkerProcess> {
		const program = await startProgram(command.program, command.args, { user, environment: command.environment });
		const worker = new WorkerProcess(program, context);
		const late = Promise.withResolvers<void>();
		const timer = context.clock.schedule(context.limits.startMs, () =>
			late.reject(unanswered("did not start in time")),
		);
		try {
			await Promise.race([worker.#hello.promise, late.promise]);
		} catch (error) {
			worker.kill(error instanceof AppError ? error : unanswered("did not start"));
			throw error;
		} finally {
			timer.cancel();
		}
		return worker;
	}

	private constructor(program: RunningProgram, context: { clock: Clock; limits: WorkerLimits; log: Logger }) {
		this.#program = program;
		this.#clock = context.clock;
		this.#limits = context.limits;
		this.#log = context.log;
		this.#lastSignMs = context.clock.monotonicMs();
		this.#hello.promise.catch(() => {});
		const reader = new FrameReader<Reply>();
		program.stdout.on("data", (piece: Buffer) => {
			try {
				for (const { head, part } of reader.push(piece)) this.#take(head, part);
			} catch (cause) {
				this.kill(new AppError("internal", "The storage worker said what nobody understands.", { cause }));
			}
		});
		createInterface(program.stderr).on("line", (line) => this.#forward(line.slice(0, maxLogLine)));
		program.ended.then((how) =>
			this.#end(
				new AppError("unavailable", `The pool's storage worker ended (${how}).`, { context: { health: "error" } }),
			),
		);
	}

	get isDead(): boolean {
		return this.#dead !== null;
	}

	/** Resolves when the process is gone, which may take until its server answers. */
	get ended(): Promise<unknown> {
		return this.#program.ended;
	}

	get processId(): number {
		return this.#program.processId;
	}

	call(method: string, args: unknown[], options: CallOptions): Promise<WorkerAnswer> {
		if (this.#held) return this.#held.then(() => this.call(method, args, options));
		return this.#call(method, args, options, false);
	}

	/** Something would be lost if it ended now. */
	get isWorking(): boolean {
		return [...this.#pending.values()].some(({ isLook }) => !isLook);
	}

	/** New calls wait until `promise` resolves: then they are made, or fail with what the worker ended with. */
	hold(promise: Promise<void>): void {
		const held = promise.finally(() => {
			if (this.#held === held) this.#held = null;
		});
		this.#held = held;
	}

	/** False when there still are calls after `limitMs`. */
	async isQuiet(limitMs: number): Promise<boolean> {
		const { promise: late, resolve } = Promise.withResolvers<false>();
		const timer = this.#clock.schedule(limitMs, () => resolve(false));
		const calls = Promise.all([...this.#pending.values()].map(({ ended }) => ended)).then(() => true);
		const quiet = await Promise.race([calls, late]);
		timer.cancel();
		return quiet;
	}

	#call(method: string, args: unknown[], options: CallOptions, isSign: boolean): Promise<WorkerAnswer> {
		if (this.#dead) return Promise.reject(this.#dead);
		const { signal, limitMs, part = noBytes, progress, look = false } = options;
		const id = ++this.#lastId;
		const { promise, resolve, reject } = Promise.withResolvers<WorkerAnswer>();
		const deadlineMs = limitMs === null ? null : this.#clock.monotonicMs() + limitMs;
		const ended = promise.catch(() => {});
		this.#pending.set(id, { resolve, reject, progress, deadlineMs, isSign, isLook: isSign || look, ended });
		// Nobody has been waiting: silence counts from now.
		if (this.#pending.size === 1) this.#lastSignMs = this.#clock.monotonicMs();
		this.#program.stdin.write(encodeFrame({ kind: "call", id, method, args }, part));
		const cancel = () => {
			if (!this.#dead) this.#program.stdin.write(encodeFrame({ kind: "cancel", id }));
		};
		if (signal?.aborted) cancel();
		else signal?.addEventListener("abort", cancel, { once: true });
		this.#watch ??= this.#clock.schedule(this.#everyMs(), () => this.#look());
		return promise.finally(() => signal?.removeEventListener("abort", cancel));
	}

	/** Ends it with all that it has started; whoever waits gets `error`. */
	kill(error: AppError): void {
		this.#end(error);
		this.#program.kill();
	}

	#everyMs(): number {
		const { lookMs, checkMs, stallMs } = this.#limits;
		return Math.max(10, Math.min(1000, lookMs / 4, checkMs / 4, stallMs / 4));
	}

	#look(): void {
		this.#watch = null;
		if (this.#dead || this.#pending.size === 0) return;
		const now = this.#clock.monotonicMs();
		const silentMs = now - this.#lastSignMs;
		let unlimited = false;
		let late = false;
		for (const [id, { deadlineMs, isSign, reject }] of this.#pending) {
			if (deadlineMs === null) unlimited ||= !isSign;
			else if (now >= deadlineMs) {
				late = true;
				this.#pending.delete(id);
				reject(unanswered("does not answer"));
			}
		}
		const stalled = silentMs >= this.#limits.stallMs;
		// What copies for hours is not ended because of somebody who only wanted to look.
		if (stalled || (late && !unlimited)) {
			this.kill(unanswered("does not answer"));
			return;
		}
		// What takes long, with a limit or without one, says nothing by itself.
		if (silentMs > this.#limits.stallMs / 4 && !this.#askedForSign) {
			this.#askedForSign = true;
			const asked = this.#call("check", [], { limitMs: null }, true);
			asked
				.catch(() => {})
				.finally(() => {
					this.#askedForSign = false;
				});
		}
		this.#watch ??= this.#clock.schedule(this.#everyMs(), () => this.#look());
	}

	#take(head: Reply, part: Uint8Array): void {
		this.#lastSignMs = this.#clock.monotonicMs();
		if (head.kind === "hello") {
			if (head.version === protocolVersion) this.#hello.resolve();
			else this.kill(new AppError("unavailable", "The storage worker is of another version; restart the daemon."));
			return;
		}
		const pending = this.#pending.get(head.id);
		if (!pending) return;
		if (head.kind === "progress") {
			pending.progress?.(head.ratio, head.message ?? undefined);
			return;
		}
		this.#pending.delete(head.id);
		if (head.kind === "result") pending.resolve({ value: head.value, part });
		else pending.reject(fromWire(head.error));
	}

	#end(error: AppError): void {
		if (this.#dead) return;
		this.#dead = error;
		this.#watch?.cancel();
		this.#hello.reject(error);
		for (const { reject } of this.#pending.values()) reject(error);
		this.#pending.clear();
		this.#program.stdin.destroy();
	}

	/** A line of the worker's own log, or what a runtime prints when it dies. */
	#forward(line: string): void {
		try {
			const { time: _time, level, message, ...fields } = JSON.parse(line) as Record<string, unknown>;
			const at = level === "error" || level === "info" || level === "debug" ? level : "warn";
			this.#log[at](String(message), { ...fields, workerId: this.processId });
		} catch {
			this.#log.warn("storage worker", { line, workerId: this.processId });
		}
	}
}

export const unanswered = (what: string): AppError =>
	new AppError("timeout", `The pool's storage ${what}.`, { context: { health: "error" } });
