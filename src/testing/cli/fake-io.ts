/** Streams, clock and Ctrl-C for tests of the command line, in memory. */
import type { CliIo, OfflineWork } from "../../cli/io.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { systemRandom } from "../../lib/random.ts";
import { fixtureTime } from "../fixtures.ts";

export type FakeIo = CliIo & {
	/** What was written so far. */
	out: string;
	outBytes: Uint8Array;
	err: string;
	/** Who reads standard input now: a process with one does not end. */
	readonly readers: number;
	/** Each change of raw mode. */
	rawModes: boolean[];
	/** Typed or piped in; may come at any time. */
	feed(data: string | Uint8Array): void;
	endInput(): void;
	/** Ctrl-C. */
	interrupt(): void;
	/** Resolves when `condition` holds; looked at whenever something is written. Fails after five seconds. */
	until(condition: (io: FakeIo) => boolean): Promise<void>;
};

const untilLimitMs = 5000;
/** The wall clock stands; short waits (back-off) are shortened, long ones (limits) are what they are. */
const quickClock: Clock = {
	nowMs: () => Date.parse(fixtureTime) + 3_600_000,
	monotonicMs: systemClock.monotonicMs,
	schedule: (delayMs, callback) => systemClock.schedule(delayMs < 9000 ? delayMs / 100 : delayMs, callback),
};

export type FakeIoOptions = {
	tty?: boolean;
	columns?: number;
	homeDir?: string;
	clock?: Clock;
	offline?: Partial<OfflineWork>;
};

export function fakeIo(options: FakeIoOptions = {}): FakeIo {
	const { tty = false, columns = 100 } = options;
	const input: Uint8Array[] = [];
	const interrupts = new Set<() => void>();
	const watchers = new Set<() => void>();
	const written: Uint8Array[] = [];
	let ended = false;
	let readers = 0;
	let wake: () => void = () => {};
	const decoder = new TextDecoder();
	const io: FakeIo = {
		out: "",
		get outBytes() {
			return Buffer.concat(written);
		},
		err: "",
		get readers() {
			return readers;
		},
		rawModes: [],
		stdout: {
			async write(data) {
				const bytes = typeof data === "string" ? new TextEncoder().encode(data) : new Uint8Array(data);
				written.push(bytes);
				io.out += typeof data === "string" ? data : decoder.decode(bytes, { stream: true });
				for (const watcher of watchers) watcher();
			},
			isTTY: tty,
			columns,
		},
		stderr: {
			async write(data) {
				io.err += typeof data === "string" ? data : new TextDecoder().decode(data);
				for (const watcher of watchers) watcher();
			},
			isTTY: tty,
			columns,
		},
		stdin: {
			isTTY: tty,
			async *read(signal) {
				const onAbort = () => wake();
				signal.addEventListener("abort", onAbort);
				readers += 1;
				try {
					while (true) {
						const chunk = input.shift();
						if (chunk) yield chunk;
						else if (ended || signal.aborted) return;
						else
							await new Promise<void>((resolve) => {
								wake = resolve;
							});
					}
				} finally {
					readers -= 1;
					signal.removeEventListener("abort", onAbort);
				}
			},
			setRaw(raw) {
				io.rawModes.push(raw);
			},
		},
		feed(data) {
			input.push(typeof data === "string" ? new TextEncoder().encode(data) : data);
			wake();
		},
		endInput() {
			ended = true;
			wake();
		},
		interrupt() {
			for (const handler of interrupts) handler();
		},
		onInterrupt(handler) {
			interrupts.add(handler);
			return () => interrupts.delete(handler);
		},
		until(condition) {
			return new Promise((resolve, reject) => {
				const timer = setTimeout(() => {
					watchers.delete(look);
					reject(new Error(`it did not come to pass. Standard output: ${io.out} Standard error: ${io.err}`));
				}, untilLimitMs);
				const look = () => {
					if (!condition(io)) return;
					clearTimeout(timer);
					watchers.delete(look);
					resolve();
				};
				watchers.add(look);
				look();
			});
		},
		clock: options.clock ?? quickClock,
		random: systemRandom,
		homeDir: options.homeDir ?? "/nonexistent",
		offline: {
			restoreSnapshot: () => Promise.reject(new Error("nothing is restored in this test")),
			recoverCluster: () => Promise.reject(new Error("nothing is recovered in this test")),
			readdress: () => Promise.reject(new Error("nothing is written down in this test")),
			...options.offline,
		},
	};
	return io;
}
