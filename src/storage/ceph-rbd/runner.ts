/**
 * The only starter of `rbd`, `rados` and `ceph`, for one pool of ours. Every change of what is in the cluster goes by way of
 * `change…`, which calls `step` first; tests end the process there. Only so many of the short ones run at a time: each is a
 * client of its own that has to make its connections. A question is asked again when its program crashed, which those of Ceph 16.2.15 do now
 * and then, in a thread of their library; a change is not, for nobody knows how far it went.
 */
import { systemClock } from "../../lib/clock.ts";
import { AppError, isAppError } from "../../lib/errors.ts";
import { type RunOptions, run, runWithInput } from "../../lib/run.ts";
import { runForOutput } from "../../lib/run-for-output.ts";
import type { LongOptions } from "../driver.ts";
import type { Step } from "../durable.ts";
import { PoolsAnswer, readAnswer } from "./answers.ts";
import { cephError, errno, errnoOfCeph, isCrash } from "./ceph-error.ts";
import { type ClientFiles, monitorLimitSeconds } from "./client-files.ts";
import type { CephPlace } from "./names.ts";
import { letGo } from "./pool-calls.ts";
import { noSpace, whileRoom } from "./while-room.ts";

/** Above the limits of the client's own configuration. */
const shortLimitMs = 30_000;
const longLimitMs = 24 * 3600_000;
const maxAtOnce = 8;
/** A look at the pool is two programs. */
const maxApart = 4;

/** `apart`: it waits for none of the others, of which there may be hundreds: what says within seconds whether the pool works. */
export type Asking = Partial<RunOptions> & { apart?: boolean };

export class CephRunner {
	readonly place: CephPlace;
	readonly step: Step;
	readonly #files: ClientFiles;
	readonly #run: typeof run;
	readonly #usual = new Turns(maxAtOnce);
	readonly #apart = new Turns(maxApart);
	#isClosed = false;
	#maybeFull = false;
	/** Little can be removed from a full pool; called when it has room again. */
	onRoomAgain: () => void = () => {};

	/** `start`: lib/run.ts, but for tests. */
	constructor(files: ClientFiles, place: CephPlace, step: Step = () => {}, start = run) {
		this.#files = files;
		this.place = place;
		this.step = step;
		this.#run = start;
	}

	/** No program is started any more, whoever is on the way to one, until it is opened. */
	close(): void {
		this.#isClosed = true;
	}
	open(): void {
		this.#isClosed = false;
	}
	requireOpen(): void {
		if (this.#isClosed) throw letGo();
	}

	/** Whoever measured the pool, or waited for it in vain, found no room: writers look before they wait. */
	get maybeFull(): boolean {
		return this.#maybeFull;
	}
	set maybeFull(full: boolean) {
		const again = this.#maybeFull && !full;
		this.#maybeFull = full;
		if (again) this.onRoomAgain();
	}

	/** Looks only; the answer of `rbd`. */
	rbd(args: readonly string[], options: Asking = {}): Promise<string> {
		return unlessCrashed(() => this.#short("rbd", args, options));
	}

	async changeRbd(args: readonly string[], options: Partial<RunOptions> = {}): Promise<string> {
		await this.step(`rbd ${stepName(args)}`);
		return this.explained(() => this.#short("rbd", args, options));
	}

	/** For what takes a while and makes room, or needs none. Progress is that of `rbd`, or null when it tells none. */
	async changeRbdLong(args: readonly string[], options: LongOptions): Promise<void> {
		await this.step(`rbd ${stepName(args)}`);
		await this.explained(() => this.#long(args, options));
	}

	/** For what writes a lot of data, and tells its progress. */
	async writeRbd(args: readonly string[], options: LongOptions): Promise<void> {
		await this.step(`rbd ${stepName(args)}`);
		await this.writing(options, (how) => this.#long(args, how));
	}

	async importRbd(args: readonly string[], input: AsyncIterable<Uint8Array>, options: LongOptions): Promise<void> {
		await this.step(`rbd ${stepName(args)}`);
		const all = [...this.#client(), ...args];
		await this.writing(options, (how) =>
			guarded(() => runWithInput("rbd", all, counted(input, how), signalOptions(how))),
		);
	}

	/** Ends what stands still because the pool has got full: it fails with `no-space`. */
	async writing<T>(options: LongOptions, work: (options: LongOptions) => Promise<T>): Promise<T> {
		this.requireOpen();
		return this.explained(() => whileRoom(systemClock, () => this.#isFull(), options, work));
	}

	/** Standard output of `rbd` as it comes. */
	outputOfRbd(args: readonly string[], options: LongOptions): ReadableStream<Uint8Array> {
		this.requireOpen();
		return runForOutput("rbd", [...this.#client(), ...args], signalOptions(options));
	}

	/** Looks only. */
	rados(args: readonly string[], options: Asking = {}): Promise<string> {
		return unlessCrashed(() => this.radosOf(this.place.cephPool, args, options));
	}

	/** In the same namespace of another pool (that of the data). */
	radosOf(cephPool: string, args: readonly string[], options: Asking = {}): Promise<string> {
		const { namespace } = this.place;
		const where = ["--pool", cephPool, ...(namespace === null ? [] : ["--namespace", namespace])];
		return this.#short("rados", [...where, ...args], options);
	}

	async changeRados(args: readonly string[], options: Partial<RunOptions> = {}): Promise<string> {
		await this.step(`rados ${args[0]}`);
		return this.explained(() => this.radosOf(this.place.cephPool, args, options));
	}

	/** A full pool does not refuse, it lets the writer wait: a write that took too long becomes `no-space` then. */
	async explained<T>(work: () => Promise<T>): Promise<T> {
		try {
			return await work();
		} catch (error) {
			if (isAppError(error, "no-space")) this.maybeFull = true;
			if (!isAppError(error, "timeout") || !(await this.#isFull().catch(() => false))) throw error;
			this.maybeFull = true;
			throw noSpace(error);
		}
	}

	/** Before something new is written. Fails with `no-space` when the pool was full lately, and is. */
	async requireRoom(): Promise<void> {
		if (!this.maybeFull) return;
		this.maybeFull = await this.#isFull();
		if (this.maybeFull) throw noSpace();
	}

	async #isFull(): Promise<boolean> {
		const text = await this.ceph(["osd", "pool", "ls", "detail", "--format", "json"]);
		const { cephPool, dataPool } = this.place;
		return readAnswer(PoolsAnswer, text, "ceph osd pool ls").some(
			(pool) =>
				(pool.pool_name === cephPool || pool.pool_name === dataPool) &&
				/(^|,)full(_quota)?(,|$)/.test(pool.flags_names ?? ""),
		);
	}

	/** Looks only. */
	ceph(args: readonly string[], options: Asking = {}): Promise<string> {
		return unlessCrashed(() => this.#ceph(args, options));
	}

	#ceph(args: readonly string[], options: Asking = {}): Promise<string> {
		const limit = ["--connect-timeout", `${monitorLimitSeconds}`];
		const timeoutMs = 4 * monitorLimitSeconds * 1000;
		return this.#short("ceph", [...limit, ...args], { timeoutMs, ...options });
	}

	async changeCeph(args: readonly string[]): Promise<string> {
		await this.step(`ceph ${args.slice(0, 3).join(" ")}`);
		return this.#ceph(args);
	}

	/** How QEMU's programs open an image of the pool: one argument for `--image-opts`. */
	qemuOptions(name: string, snapshot?: string): string {
		const { cephPool, namespace } = this.place;
		const options = {
			...{ driver: "raw", "file.driver": "rbd", "file.pool": cephPool },
			...(namespace === null ? {} : { "file.namespace": namespace }),
			...{ "file.image": name, "file.conf": this.#files.conf, "file.user": this.#files.user },
			...(snapshot === undefined ? {} : { "file.snapshot": snapshot }),
		};
		// A comma ends a value, two are one in it.
		return Object.entries(options)
			.map(([key, value]) => `${key}=${value.replaceAll(",", ",,")}`)
			.join(",");
	}

	#client(): string[] {
		const { conf, keyring, user } = this.#files;
		return ["--conf", conf, "--keyring", keyring, "--id", user];
	}

	async #long(args: readonly string[], options: LongOptions): Promise<void> {
		this.requireOpen();
		await guarded(() => this.#run("rbd", [...this.#client(), ...args], longOptions(options)));
	}

	#short(program: string, args: readonly string[], { apart = false, ...options }: Asking): Promise<string> {
		return (apart ? this.#apart : this.#usual).run(async () => {
			this.requireOpen();
			const all = [...this.#client(), ...args];
			const { stdout } = await guarded(() => this.#run(program, all, { timeoutMs: shortLimitMs, ...options }));
			return stdout;
		});
	}
}

/** So many at a time, first come, first served. */
class Turns {
	#free: number;
	readonly #waiting: (() => void)[] = [];

	constructor(count: number) {
		this.#free = count;
	}

	async run<T>(work: () => Promise<T>): Promise<T> {
		if (this.#free > 0) this.#free -= 1;
		else await new Promise<void>((resolve) => this.#waiting.push(resolve));
		try {
			return await work();
		} finally {
			const next = this.#waiting.shift();
			if (next) next();
			else this.#free += 1;
		}
	}
}

const tries = 3;

/** What `look` answers, though its program may crash twice before. */
export async function unlessCrashed<T>(look: () => Promise<T>): Promise<T> {
	for (let attempt = 1; ; attempt++)
		try {
			return await look();
		} catch (error) {
			if (!isCrash(error) || attempt === tries) throw error;
		}
}

/** The answer, or null when what was asked about is not there. */
export async function orMissing<T>(work: Promise<T>): Promise<T | null> {
	try {
		return await work;
	} catch (error) {
		if (errnoOfCeph(error) === errno.noEntry) return null;
		throw error;
	}
}

async function guarded<T>(work: () => Promise<T>): Promise<T> {
	try {
		return await work();
	} catch (error) {
		throw cephError(error);
	}
}

const signalOptions = ({ signal }: LongOptions) => ({ timeoutMs: longLimitMs, ...(signal ? { signal } : {}) });

const longOptions = (options: LongOptions) => ({
	...signalOptions(options),
	onStderrLine(line: string) {
		const percent = /(\d{1,3})% complete/.exec(line)?.[1];
		if (percent !== undefined) options.progress?.(Math.min(1, Number(percent) / 100));
	},
});

/** What is taken of it counts as progress. */
async function* counted(input: AsyncIterable<Uint8Array>, { progress }: LongOptions): AsyncGenerator<Uint8Array> {
	let parts = 0;
	for await (const part of input) {
		yield part;
		progress?.(++parts);
	}
}

/** "snap create" of ["snap", "create", "pool/image@snap"]. */
const stepName = (args: readonly string[]): string =>
	args.slice(0, ["snap", "image-meta", "object-map"].includes(args[0] ?? "") ? 2 : 1).join(" ");

export function requireNotCanceled({ signal }: LongOptions): void {
	if (signal?.aborted) throw new AppError("canceled", "The operation was canceled.", { cause: signal.reason });
}
