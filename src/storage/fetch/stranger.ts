/** A web server for the tests of downloads that does exactly what it is told on its connections, also what no server should. */
import { createServer as createPlainServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { present } from "../../lib/assert.ts";
import { MiB } from "../../lib/units.ts";
import { pattern, readAll } from "../conformance.ts";
import type { FakeStorageDriver } from "../fake.ts";
import { type FetchOptions, fetchToUpload } from "../fetch-url.ts";

export type StrangerRequest = { path: string; headers: Record<string, string>; count: number };
/** Writes the answer on the socket; the connection is closed by whoever wants to. */
export type Behaviour = (socket: Socket, request: StrangerRequest) => void;

export type Stranger = AsyncDisposable & { port: number; requests: StrangerRequest[]; connections(): number };

/** Listens on loopback. With `tls` it speaks https. */
export async function stranger(behaviour: Behaviour, tls?: { cert: string; key: string }): Promise<Stranger> {
	const requests: StrangerRequest[] = [];
	const sockets = new Set<Socket>();
	let connections = 0;
	const onSocket = (socket: Socket) => {
		connections += 1;
		sockets.add(socket);
		socket.on("close", () => sockets.delete(socket)).on("error", () => {});
		let text = "";
		socket.on("data", (bytes: Buffer) => {
			if (text.includes("\r\n\r\n")) return;
			text += bytes.toString("latin1");
			if (!text.includes("\r\n\r\n")) return;
			const [first = "", ...lines] = text.split("\r\n");
			const headers: Record<string, string> = {};
			for (const line of lines.filter((one) => one.includes(": "))) {
				const at = line.indexOf(": ");
				headers[line.slice(0, at).toLowerCase()] = line.slice(at + 2);
			}
			const request = { path: first.split(" ")[1] ?? "", headers, count: requests.length + 1 };
			requests.push(request);
			behaviour(socket, request);
		});
	};
	const server: Server = tls ? createTlsServer(tls, onSocket) : createPlainServer(onSocket);
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const address = present(server.address(), "address");
	return {
		port: typeof address === "string" ? 0 : address.port,
		requests,
		connections: () => connections,
		async [Symbol.asyncDispose]() {
			for (const socket of sockets) socket.destroy();
			await new Promise<void>((resolve) => server.close(() => resolve()));
		},
	};
}

export const head = (status: string, headers: Record<string, string | number> = {}): string =>
	`HTTP/1.1 ${status}\r\n${Object.entries(headers)
		.map(([name, value]) => `${name}: ${value}\r\n`)
		.join("")}\r\n`;

/** A proper server of one file, with ETag and ranges; `cutAfter`: how many bytes of the body come before the cut, by request. */
export function fileServer(
	content: Uint8Array,
	options: { etag?: string; ranges?: boolean; cutAfter?: number[] } = {},
): Behaviour {
	return (socket, { headers, count }) => {
		const etag: Record<string, string> = options.etag ? { ETag: options.etag } : {};
		const range = /^bytes=(\d+)-$/.exec(headers.range ?? "");
		const honoured = range && options.ranges && headers["if-range"] === options.etag;
		const from = honoured ? Number(range[1]) : 0;
		const body = content.subarray(from);
		const place: Record<string, string> = honoured
			? { "Content-Range": `bytes ${from}-${content.length - 1}/${content.length}` }
			: {};
		socket.write(
			head(honoured ? "206 Partial Content" : "200 OK", { "Content-Length": body.length, ...etag, ...place }),
		);
		const cut = options.cutAfter?.[count - 1];
		socket.end(cut === undefined ? body : body.subarray(0, cut));
	};
}

const quick = { allowLoopback: true, stallMs: 300, totalMs: 8000, retryDelayMs: 1, attempts: 3 };

export async function download(
	driver: FakeStorageDriver,
	id: string,
	server: Stranger | string,
	more: Partial<FetchOptions> = {},
) {
	const url = typeof server === "string" ? server : `http://127.0.0.1:${server.port}/disk.raw`;
	return fetchToUpload(driver, id, { url, ...quick, ...more });
}

/** What the finished image holds. */
export async function contentOf(driver: FakeStorageDriver, id: string): Promise<Uint8Array> {
	await driver.finishImage(id, { format: "raw", sha256: null });
	return readAll((await driver.openImage(id)).stream);
}

/** The file that most servers here have. */
export const content = pattern(2 * MiB);
