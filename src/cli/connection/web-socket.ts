/**
 * A WebSocket to the node's console, over the same road as the requests. The ticket is a subprotocol; no token is sent
 * along. Bounded: a reader who does not keep up is cut off.
 */
import WebSocket from "ws";
import { AppError } from "../../lib/errors.ts";
import type { Connection } from "./connection.ts";

export type ConsoleSocket = {
	send(data: Uint8Array): void;
	/** Bytes given to `send` that have not left yet. */
	readonly bufferedBytes: number;
	close(): void;
	/** Why it ended: null when it was closed as it should be. Resolves once. */
	readonly closed: Promise<string | null>;
};

const openLimitMs = 15_000;

/** Resolves when the socket is open. Fails with `unavailable` or `forbidden`. */
export async function openConsoleSocket(
	connection: Connection,
	path: string,
	protocols: readonly string[],
	onData: (data: Uint8Array) => void,
): Promise<ConsoleSocket> {
	const trust = await connection.trust();
	const { target } = connection;
	const address =
		target.kind === "local" ? `ws+unix://${target.socketPath}:${path}` : `${target.url.replace(/^http/, "ws")}${path}`;
	const socket = new WebSocket(address, [...protocols], {
		handshakeTimeout: openLimitMs,
		perMessageDeflate: false,
		// Bun hands these to its TLS; the types are those of Node's package, whose check answers a boolean.
		...(trust as object | undefined),
	});
	socket.binaryType = "nodebuffer";
	let failure: Error | null = null;
	let settle: (reason: string | null) => void = () => {};
	const closed = new Promise<string | null>((resolve) => {
		settle = resolve;
	});
	const opened = new Promise<void>((resolve, reject) => {
		const timer = setTimeout(() => {
			failure = new Error("it did not answer in time");
			socket.terminate();
			reject(failure);
		}, openLimitMs);
		socket.on("open", () => {
			clearTimeout(timer);
			resolve();
		});
		socket.on("error", (error: Error) => {
			failure = error;
		});
		socket.on("close", (code: number, reason: Buffer) => {
			clearTimeout(timer);
			const text = reason.toString("utf8");
			settle(code === 1000 ? null : text || failure?.message || `the connection was lost (${code})`);
			reject(failure ?? new Error(text || `it was refused (${code})`));
		});
	});
	socket.on("message", (data: Buffer) => onData(data));
	try {
		await opened;
	} catch (error) {
		if (error instanceof AppError) throw error;
		throw new AppError(
			"unavailable",
			`The console cannot be opened: ${error instanceof Error ? error.message : String(error)}`,
			{ cause: error },
		);
	}
	return {
		send: (data) => socket.send(data),
		get bufferedBytes() {
			return socket.bufferedAmount;
		},
		close: () => socket.close(1000),
		closed,
	};
}
