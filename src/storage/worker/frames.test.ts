/** Frames between daemon and worker, in whatever pieces they come. */
import { expect, test } from "bun:test";
import { AppError } from "../../lib/errors.ts";
import { encodeFrame, type Frame, FrameReader, fromWire, type Reply, toWire } from "./frames.ts";

const reply = (id: number): Reply => ({ kind: "result", id, value: "ä".repeat(id) });

test("frames are put together from any pieces", () => {
	const part = Uint8Array.from({ length: 1000 }, (_, at) => at % 251);
	const all = Buffer.concat([encodeFrame(reply(1)), encodeFrame(reply(300), part), encodeFrame(reply(0), part)]);
	for (const size of [1, 3, 7, 8, 9, 500, all.length]) {
		const reader = new FrameReader<Reply>();
		const found: Frame<Reply>[] = [];
		for (let at = 0; at < all.length; at += size) found.push(...reader.push(all.subarray(at, at + size)));
		expect(found.map(({ head }) => head)).toEqual([reply(1), reply(300), reply(0)]);
		expect(found.map((frame) => frame.part.length)).toEqual([0, 1000, 1000]);
		expect(Buffer.compare(found[2]?.part ?? part.subarray(1), part)).toBe(0);
	}
});

test("what is no frame ends it", () => {
	const read = (bytes: Uint8Array) => [...new FrameReader<Reply>().push(bytes)];
	expect(() => read(new Uint8Array(16).fill(0xff))).toThrow(AppError);
	expect(() => read(Uint8Array.of(0, 0, 0, 8, 0, 0, 0, 9, 1, 1, 1, 1))).toThrow(AppError);
	expect(() => read(Uint8Array.of(0, 0, 0, 6, 0, 0, 0, 2, 0x7b, 0x7b))).toThrow(SyntaxError);
	expect(read(Uint8Array.of(0, 0, 1, 0, 0, 0, 0, 2))).toEqual([]);
});

test("errors keep what they are", () => {
	const fields = [{ path: "/x", message: "Bad." }];
	const error = new AppError("no-space", "Full.", {
		context: { errno: "ENOSPC" },
		retryAfterMs: 5,
		fields,
		cause: new Error("why"),
	});
	const back = fromWire(JSON.parse(JSON.stringify(toWire(error))));
	expect(back).toMatchObject({ code: "no-space", message: "Full.", retryAfterMs: 5, fields });
	expect(back.context).toMatchObject({ errno: "ENOSPC", cause: expect.stringContaining("why") });
	expect(fromWire(toWire(new TypeError("x"))).code).toBe("internal");
	const circular: Record<string, unknown> = {};
	circular.self = circular;
	expect(fromWire(toWire(new AppError("storage", "Bad.", { context: circular }))).code).toBe("storage");
	expect(fromWire({ ...toWire(error), code: "unheard-of" }).code).toBe("internal");
});
