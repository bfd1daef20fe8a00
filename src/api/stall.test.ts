/** Streams that stop moving, move too little, or go on when nobody may have them any more. */
import { beforeEach, describe, expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { boundedDownload, boundedUpload, paceBytes, stallLimitMs } from "./stall.ts";

let clock: ManualClock;
beforeEach(() => {
	clock = new ManualClock();
});

/** Lets everything that is ready run. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
type Sent = ReadableStreamDefaultController<Uint8Array>;
/** A source that a test feeds by hand. */
function source() {
	let controller: Sent | undefined;
	const state = { canceled: false };
	const stream = new ReadableStream<Uint8Array>({
		start(given) {
			controller = given;
		},
		cancel() {
			state.canceled = true;
		},
	});
	return { stream, state, send: (bytes: number) => controller?.enqueue(new Uint8Array(bytes)) };
}

describe("an upload", () => {
	const upload = (stream: ReadableStream<Uint8Array>, ended = new AbortController().signal) =>
		boundedUpload(stream, { clock, maxBytes: 1e9, tooLarge: () => new AppError("too-large", ""), ended }).getReader();

	test("of a byte now and then stops after a minute of waiting in all", async () => {
		const { stream, state, send } = source();
		const reader = upload(stream);
		let waitedMs = 0;
		const dripping = (async () => {
			for (;;) {
				const next = reader.read();
				await Promise.resolve();
				clock.advance(stallLimitMs / 4 - 1);
				waitedMs += stallLimitMs / 4 - 1;
				send(1);
				await next;
			}
		})();
		await expect(dripping).rejects.toMatchObject({ code: "malformed" });
		expect(waitedMs).toBeLessThan(1.5 * stallLimitMs);
		expect(state.canceled).toBe(true);
		expect(clock.waiting).toBe(0);
	});

	test("that moves may take as long as it likes, and our own time is not the client's", async () => {
		const { stream, send } = source();
		const reader = upload(stream);
		for (let part = 0; part < 10; part++) {
			const next = reader.read();
			clock.advance(stallLimitMs - 1);
			send(paceBytes);
			expect((await next).value?.length).toBe(paceBytes);
			clock.advance(10 * stallLimitMs);
		}
	});

	test("ends with the credential, while it waits and between two parts", async () => {
		const reason = new AppError("unauthenticated", "over");
		const waits = source();
		const first = new AbortController();
		const reading = upload(waits.stream, first.signal).read();
		first.abort(reason);
		await expect(reading).rejects.toBe(reason);
		const between = source();
		const second = new AbortController();
		const reader = upload(between.stream, second.signal);
		between.send(1);
		await reader.read();
		between.send(1);
		second.abort(reason);
		await expect(reader.read()).rejects.toBe(reason);
		expect([waits.state.canceled, between.state.canceled, clock.waiting]).toEqual([true, true, 0]);
	});
});

describe("a download", () => {
	function download(stream: ReadableStream<Uint8Array>) {
		const watched = { count: 0, end: () => {} };
		const watch = (onEnded: () => void) => {
			watched.count += 1;
			watched.end = onEnded;
			return () => {
				watched.count -= 1;
			};
		};
		return { reader: boundedDownload(stream, { clock, watch }).getReader(), watched };
	}
	const endless = (bytes: number) => {
		const state = { canceled: false };
		const stream = new ReadableStream<Uint8Array>({
			pull: (controller) => controller.enqueue(new Uint8Array(bytes)),
			cancel() {
				state.canceled = true;
			},
		});
		return { stream, state };
	};

	test("that is taken in crumbs stops after a minute of waiting in all", async () => {
		const { stream, state } = endless(16);
		const { reader, watched } = download(stream);
		const sipping = (async () => {
			for (let sips = 0; sips < 100; sips++) {
				await reader.read();
				await turn();
				clock.advance(stallLimitMs / 4 - 1);
			}
		})();
		await expect(sipping).rejects.toMatchObject({ code: "timeout" });
		expect([state.canceled, watched.count, clock.waiting]).toEqual([true, 0, 0]);
	});

	test("that moves may take as long as it likes", async () => {
		const { reader } = download(endless(paceBytes).stream);
		for (let part = 0; part < 10; part++) {
			expect((await reader.read()).value?.length).toBe(paceBytes);
			await turn();
			clock.advance(stallLimitMs - 1);
		}
		await reader.cancel();
		expect(clock.waiting).toBe(0);
	});

	test("ends with the credential, also while its source is silent, and no watch stays behind", async () => {
		for (const { stream, state } of [endless(16), source()]) {
			const { reader, watched } = download(stream);
			await turn();
			watched.end();
			await expect(reader.read().then(() => reader.read())).rejects.toMatchObject({ code: "unauthenticated" });
			expect([state.canceled, watched.count, clock.waiting]).toEqual([true, 0, 0]);
		}
		const whole = download(new Blob(["all of it"]).stream());
		while (!(await whole.reader.read()).done);
		const left = download(endless(16).stream);
		await left.reader.cancel();
		const broken = download(new ReadableStream({ pull: () => Promise.reject(new Error("broken")) }));
		await expect(broken.reader.read()).rejects.toThrow("broken");
		expect([whole, left, broken].map(({ watched }) => watched.count)).toEqual([0, 0, 0]);
	});
});
