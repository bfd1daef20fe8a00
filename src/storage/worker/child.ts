/**
 * The worker's side: a process that does a pool's file work for the daemon, so that a file system whose server is gone holds up this
 * process only. Started by worker-process.ts as the hidden verb `storage-worker`; ends, with all that it has started, when its
 * standard input does.
 */
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import { AppError } from "../../lib/errors.ts";
import { createLogger, type Logger } from "../../lib/log.ts";
import { randomHex, systemRandom } from "../../lib/random.ts";
import type { LongOptions, PoolPlace } from "../driver.ts";
import { errnoOf, fileError } from "../file-errors.ts";
import { LocalDriver } from "../local/driver.ts";
import { methodsApart } from "./apart.ts";
import { encodeFrame, FrameReader, protocolVersion, type Reply, type Request, toWire } from "./frames.ts";
import { type Call, methodsOf } from "./methods.ts";

/** What the daemon says first; a pool of files in a folder. */
export type WorkerPool = {
	poolId: string;
	path: string;
	mayInitialize: boolean;
	protectedPaths: string[];
	/** As they are when it begins; "otherPools" says it anew. */
	otherPools: PoolPlace[];
	/** Null for a folder of this node alone. */
	sharedBy: string | null;
	lockWaitMs: number | null;
};

/** More are refused: the daemon has limits of its own long before. */
const maxCalls = 4096;

export async function runStorageWorker(): Promise<void> {
	// Modes are set by name; nothing depends on what the daemon was started with.
	process.umask(0o077);
	const calls = new Map<number, AbortController>();
	const log = createLogger((line) => void process.stderr.write(line), "info", "json");
	const apart = methodsApart(log);
	let methods: ReturnType<typeof methodsOf> = {};
	let otherPools: PoolPlace[] = [];
	const send = (head: Reply, part?: Uint8Array) => {
		process.stdout.write(encodeFrame(head, part));
	};
	const perform = async (method: string, call: Call) => {
		if (method === "open") {
			const pool = call.args[0] as WorkerPool;
			({ otherPools } = pool);
			methods = methodsOf(driverOf(pool, () => otherPools, log));
			return { value: null };
		}
		if (method === "otherPools") {
			otherPools = call.args[0] as PoolPlace[];
			return { value: null };
		}
		if (method === "madeBy") return { value: await madeBy(String(call.args[0])) };
		const known = Object.hasOwn(methods, method) ? methods : apart;
		const handler = Object.hasOwn(known, method) ? known[method] : undefined;
		if (!handler) throw new AppError("unsupported", `The storage worker knows no "${method}".`);
		return handler(call);
	};
	const answer = async ({ id, method, args }: Request & { kind: "call" }, part: Uint8Array) => {
		const controller = new AbortController();
		calls.set(id, controller);
		const options: LongOptions = {
			signal: controller.signal,
			progress: (ratio, message) => send({ kind: "progress", id, ratio, message: message ?? null }),
		};
		try {
			if (calls.size > maxCalls) throw new AppError("too-many-requests", "The storage worker is asked too much.");
			const { value, part: bytes } = await perform(method, { args, part, options });
			send({ kind: "result", id, value }, bytes);
		} catch (error) {
			send({ kind: "error", id, error: toWire(error) });
		} finally {
			calls.delete(id);
		}
	};
	send({ kind: "hello", version: protocolVersion });
	const reader = new FrameReader<Request>();
	try {
		for await (const piece of Bun.stdin.stream())
			for (const { head, part } of reader.push(piece)) {
				if (head.kind === "call") void answer(head, part);
				else calls.get(head.id)?.abort(new AppError("canceled", "The operation was canceled."));
			}
	} finally {
		endGroup();
	}
}

/** What it started belongs to its group, and nobody waits for that any more. */
function endGroup(): never {
	try {
		process.kill(-process.pid, "SIGKILL");
	} catch {
		// Not the leader of a group: started by hand.
	}
	process.exit(0);
}

/** The owner of what this process makes in the folder; null when it may make nothing. */
async function madeBy(folder: string): Promise<number | null> {
	const path = join(folder, `.limiquantix-owner-${randomHex(systemRandom, 8)}`);
	try {
		const file = await open(path, "wx", 0o600);
		try {
			return (await file.stat()).uid;
		} finally {
			await file.close();
			await rm(path, { force: true });
		}
	} catch (error) {
		if (["EACCES", "EPERM"].includes(errnoOf(error) ?? "")) return null;
		throw fileError(error, "looking at who owns new files");
	}
}

function driverOf(
	{ sharedBy, lockWaitMs, ...pool }: WorkerPool,
	otherPools: () => readonly PoolPlace[],
	log: Logger,
): LocalDriver {
	return new LocalDriver({
		...{ ...pool, random: systemRandom, clock: systemClock, log, otherPools },
		...(sharedBy === null ? {} : { sharedBy }),
		...(lockWaitMs === null ? {} : { lockWaitMs }),
	});
}
