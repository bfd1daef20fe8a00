import { expect, test } from "bun:test";
import { MiB } from "../lib/units.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { readBody } from "./body.ts";
import type { CredentialEnd } from "./credential-end.ts";
import type { BodySpec } from "./route.ts";

const clock = new ManualClock();
const json = { type: "object" } as unknown as BodySpec;
const read = (request: Request, measured: boolean) =>
	readBody(request, json, { optional: false, measured, clock, credential: {} as CredentialEnd });

/** What comes of a request whose head and first bytes are these; `then` acts when the server has the head. */
async function over(head: string, body: string, then: () => void = () => {}): Promise<unknown> {
	const outcome = Promise.withResolvers<unknown>();
	const server = Bun.serve({
		hostname: "127.0.0.1",
		port: 0,
		async fetch(request) {
			const reading = read(request, true);
			then();
			outcome.resolve(await reading.catch((error: unknown) => error));
			return new Response(null, { headers: { connection: "close" } });
		},
	});
	const common = "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n";
	const socket = await Bun.connect({
		...{ hostname: "127.0.0.1", port: server.port as number },
		socket: { open: (opened) => void opened.write(`${common}${head}\r\n\r\n${body}`), data() {} },
	});
	try {
		return await outcome.promise;
	} finally {
		socket.end();
		await server.stop(true);
	}
}

test("a body is read to the length that was announced, or to the end of its chunks", async () => {
	expect(await over("content-length: 7", '{"a":1}')).toEqual({ a: 1 });
	expect(await over("transfer-encoding: chunked", '4\r\n{"a"\r\n3\r\n:1}\r\n0\r\n\r\n')).toEqual({ a: 1 });
});

test("what does not come in time is not waited for", async () => {
	const late = { code: "malformed", message: "The body did not arrive in time." };
	expect(await over("content-length: 7", '{"a"', () => clock.advance(30_000))).toMatchObject(late);
});

test("a length that another node claims is not believed", async () => {
	let sent = 0;
	const body = new ReadableStream<Uint8Array>({
		pull(controller) {
			sent += 1;
			controller.enqueue(new Uint8Array(MiB / 4));
		},
	});
	const headers = { "content-type": "application/json", "content-length": "7" };
	const request = new Request("http://localhost/", { method: "POST", headers, body });
	expect(await read(request, false).catch((error: unknown) => error)).toMatchObject({ code: "too-large" });
	expect(sent).toBeLessThan(10);
});
