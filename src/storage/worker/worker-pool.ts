/** The worker of one pool: started when it is needed, and anew when it has ended. At most one works at a time. */
import type { Clock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { PoolCapabilities } from "../../model/storage.ts";
import type { WorkerPool } from "./child.ts";
import { unanswered, type WorkerCommand, type WorkerLimits, WorkerProcess, workerLimits } from "./worker-process.ts";

export type WorkerOptions = {
	command: WorkerCommand;
	/** What a new worker is told. */
	pool: WorkerPool | (() => Promise<WorkerPool>);
	clock: Clock;
	log: Logger;
	limits?: Partial<WorkerLimits>;
};
export type User = { uid: number; gid: number };

/** Killed ones that do not end, because the kernel waits for their server. */
const maxLingering = 3;
const endWaitMs = 2000;

export class PoolWorker {
	readonly limits: WorkerLimits;
	readonly #options: WorkerOptions;
	/** Null is whoever the daemon is. */
	#user: User | null = null;
	#current: Promise<WorkerProcess> | null = null;
	#lingering = 0;
	#closed = false;
	/** Whoever wants a worker waits for it. */
	#left: Promise<void> | null = null;
	/** Once it was: each new worker begins with that. */
	#active = false;

	constructor(options: WorkerOptions) {
		this.#options = options;
		this.limits = { ...workerLimits, ...options.limits };
	}

	get user(): User | null {
		return this.#user;
	}

	/** A new worker runs as this user. */
	runAs(user: User | null): void {
		if (this.#user?.uid === user?.uid && this.#user?.gid === user?.gid) return;
		this.#user = user;
		void this.end("runs as another user now");
	}

	/** Fails with `timeout` or `unavailable` when there is none, and none can be started. */
	async get(): Promise<WorkerProcess> {
		while (this.#left) await this.#left;
		const found = await this.#current?.catch(() => null);
		if (found && !found.isDead) return found;
		if (found) this.#forget();
		this.#current ??= this.#start();
		const starting = this.#current;
		return starting.catch((error) => {
			if (this.#current === starting) this.#current = null;
			throw error;
		});
	}

	/** Prepares the pool's folder, and says what the pool can do. */
	async activate(): Promise<PoolCapabilities> {
		const worker = await this.get();
		const { value } = await worker.call("activate", [], { limitMs: this.limits.changeMs });
		this.#active = true;
		return value as PoolCapabilities;
	}

	/** The next call starts another one. Resolves when it is gone, or after a moment when it waits for its server. */
	async end(why: string): Promise<void> {
		this.#active = false;
		await this.#endCurrent(why);
	}

	async #endCurrent(why: string): Promise<void> {
		const ending = this.#current;
		this.#forget();
		const worker = await ending?.catch(() => null);
		if (!worker) return;
		worker.kill(new AppError("unavailable", `The pool's storage worker ${why}.`));
		const { promise, resolve } = Promise.withResolvers<void>();
		const timer = this.#options.clock.schedule(endWaitMs, resolve);
		await Promise.race([worker.ended, promise]);
		timer.cancel();
	}

	/**
	 * Does `work`, which takes away what the worker works on, and ends the worker then; calls wait for that. When `work` fails, they and the
	 * worker go on as if nothing had been. `in-use`, before anything is done, while calls are under way that change something.
	 */
	async leave(work: () => Promise<void>): Promise<void> {
		const found = (await this.#current?.catch(() => null)) ?? null;
		const worker = found?.isDead ? null : found;
		if (worker?.isWorking || this.#left) throw new AppError("in-use", "Work on the pool is under way.");
		const { promise, resolve } = Promise.withResolvers<void>();
		this.#left = promise;
		worker?.hold(promise);
		try {
			// Those that only look, and do not end, wait for a server that is gone. The pool may have to go on all the same, with another worker.
			if (worker && !(await worker.isQuiet(endWaitMs))) await this.#endCurrent("was ended");
			await work();
			await this.end("was ended");
		} finally {
			this.#left = null;
			resolve();
		}
	}

	/** None is started any more. */
	async close(): Promise<void> {
		this.#closed = true;
		await this.end("was ended");
	}

	#forget(): void {
		this.#current = null;
	}

	async #start(): Promise<WorkerProcess> {
		if (this.#closed)
			throw new AppError("unavailable", "The pool's driver was ended: the service ends, or the pool changed.");
		if (this.#lingering >= maxLingering) throw unanswered(`does not answer: ${this.#lingering} processes wait for it`);
		const { command, clock, log } = this.#options;
		const pool = typeof this.#options.pool === "function" ? await this.#options.pool() : this.#options.pool;
		const worker = await WorkerProcess.start(command, this.#user, { clock, log, limits: this.limits });
		this.#lingering += 1;
		worker.ended.then(() => {
			this.#lingering -= 1;
		});
		try {
			await worker.call("open", [pool], { limitMs: this.limits.startMs });
			if (this.#active) await worker.call("activate", [], { limitMs: this.limits.changeMs });
		} catch (error) {
			worker.kill(new AppError("unavailable", "The pool's storage worker could not begin."));
			throw error;
		}
		return worker;
	}
}
