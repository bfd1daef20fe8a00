/**
 * What the command line has of the world: streams, Ctrl-C, clock, randomness and the home folder. Given to it, so that
 * tests run it in their own process. `processIo` is the real one.
 */
import { homedir } from "node:os";
import { type Clock, systemClock } from "../lib/clock.ts";
import { type Random, systemRandom } from "../lib/random.ts";

export type CliWriter = {
	/** Resolves when the bytes were taken, so that nothing is lost at the exit. */
	write(data: string | Uint8Array): Promise<void>;
	readonly isTTY: boolean;
	readonly columns: number;
};

export type CliReader = {
	readonly isTTY: boolean;
	/**
	 * What comes in; ends at end of file, or when `signal` is aborted. One reader at a time; what a reader did not take
	 * is kept for the next.
	 */
	read(signal: AbortSignal): AsyncIterable<Uint8Array>;
	/** Raw: no echo, no line editing, Ctrl-C comes as a byte. No effect when it is no terminal. */
	setRaw(raw: boolean): void;
};

export type CliIo = {
	stdout: CliWriter;
	stderr: CliWriter;
	stdin: CliReader;
	/** Calls `handler` at SIGINT and SIGTERM instead of ending the process, until the returned function is called. */
	onInterrupt(handler: () => void): () => void;
	clock: Clock;
	random: Random;
	homeDir: string;
	offline: OfflineWork;
};

/** What is done on this machine without a node, by parts of the program that the command line does not know. */
export type OfflineWork = {
	/**
	 * Makes a snapshot file the state of a data folder that has none, as a single-node cluster; answers with the index that it
	 * holds. `nodeName`: which node of the backup this machine is, where that is not known otherwise.
	 */
	restoreSnapshot(file: string, dataDir: string, nodeName: string | undefined): Promise<Restored>;
	/**
	 * Makes a single-node cluster, with a new cluster id, of what a data folder has. Before anything changes `confirm` is
	 * told what was found; it resolves to the node's name as a person typed it (the audit keeps it), or rejects, and
	 * nothing is done. Another name than the node's is `invalid`.
	 */
	recoverCluster(dataDir: string, confirm: (found: Recoverable) => Promise<string>): Promise<Recovered>;
	/** Writes down in a data folder, for its node alone, where another member is; answers with that one's name. */
	readdress(dataDir: string, node: string, addresses: string[]): Promise<string>;
};

export type Restored = { index: number; nodeName: string; membersLeft: string[] };
/** `index`: the last change of the state that is there. `damage`: what is wrong with the log, in a sentence. */
export type Recoverable = {
	clusterName: string;
	nodeName: string;
	index: number;
	otherMembers: string[];
	damage: string | null;
};
/** `membersLeft`: names of those that are no members any more. */
export type Recovered = { index: number; clusterId: string; membersLeft: string[] };

const defaultColumns = 80;

export function processIo(offline: OfflineWork): CliIo {
	return {
		stdout: writer(process.stdout),
		stderr: writer(process.stderr),
		stdin: {
			isTTY: process.stdin.isTTY === true,
			read: readStdin,
			setRaw(raw) {
				if (process.stdin.isTTY) process.stdin.setRawMode(raw);
			},
		},
		onInterrupt(handler) {
			process.on("SIGINT", handler);
			process.on("SIGTERM", handler);
			return () => {
				process.off("SIGINT", handler);
				process.off("SIGTERM", handler);
			};
		},
		clock: systemClock,
		random: systemRandom,
		homeDir: homedir(),
		offline,
	};
}

function writer(stream: NodeJS.WriteStream): CliWriter {
	let broken = false;
	// A reader that went away (`| head`) is no error of ours; what else is written is dropped.
	stream.on("error", () => {
		broken = true;
	});
	return {
		write: (data) =>
			broken || data.length === 0 ? Promise.resolve() : new Promise((resolve) => stream.write(data, () => resolve())),
		isTTY: stream.isTTY === true,
		get columns() {
			return stream.columns || defaultColumns;
		},
	};
}

async function* readStdin(signal: AbortSignal): AsyncGenerator<Uint8Array> {
	const stream = process.stdin;
	const waiting: Uint8Array[] = [];
	let ended = false;
	let wake: () => void = () => {};
	const onData = (chunk: Buffer | string) => {
		waiting.push(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
		stream.pause();
		wake();
	};
	const onEnd = () => {
		ended = true;
		wake();
	};
	stream.on("data", onData);
	stream.on("end", onEnd);
	stream.on("error", onEnd);
	const onAbort = () => wake();
	signal.addEventListener("abort", onAbort);
	try {
		while (true) {
			const chunk = waiting.shift();
			if (chunk) yield chunk;
			else if (ended || stream.readableEnded || signal.aborted) return;
			else {
				const next = new Promise<void>((resolve) => {
					wake = resolve;
				});
				stream.resume();
				await next;
			}
		}
	} finally {
		stream.off("data", onData);
		stream.off("end", onEnd);
		stream.off("error", onEnd);
		signal.removeEventListener("abort", onAbort);
		// A stream that flows would keep the process alive.
		stream.pause();
	}
}
