/** TCP services that are no storage servers, whatever port they are on: for drivers that are pointed at one. */
import { randomBytes } from "node:crypto";

export const badServerKinds = ["garbage", "flood", "silent", "closes", "resets"] as const;
/**
 * "garbage": random bytes, at once and for each packet. "flood": without end. "silent": accepts, and says nothing. "closes", "resets": at
 * once, in order and by a reset.
 */
export type BadServerKind = (typeof badServerKinds)[number];

export type BadServer = Disposable & {
	readonly port: number;
	/** How many came. */
	connections(): number;
};

const pieceBytes = 4096;
/** Of a flood, before others have their turn. */
const piecesInTurn = 16;

export type BadServerOptions = {
	hostname?: string;
	/** 0: any. */
	port?: number;
	/** What it says first. */
	greeting?: string;
};

export function badServer(kind: BadServerKind, options: BadServerOptions = {}): BadServer {
	const { hostname = "127.0.0.1", port = 0, greeting = "" } = options;
	let connections = 0;
	let over = false;
	const say = (socket: Bun.Socket<undefined>) => socket.write(randomBytes(pieceBytes));
	const flood = (socket: Bun.Socket<undefined>) => {
		for (let piece = 0; piece < piecesInTurn; piece++) if (over || say(socket) < pieceBytes) return;
		setTimeout(flood, 1, socket);
	};
	const listener = Bun.listen<undefined>({
		...{ hostname, port },
		socket: {
			open(socket) {
				connections += 1;
				if (greeting !== "") socket.write(Buffer.from(greeting, "latin1"));
				if (kind === "closes") socket.end();
				else if (kind === "resets") socket.terminate();
				else if (kind === "flood") flood(socket);
				else if (kind === "garbage") say(socket);
			},
			data(socket) {
				if (kind === "garbage") say(socket);
			},
			drain(socket) {
				if (kind === "flood") flood(socket);
			},
			error() {},
		},
	});
	return {
		port: listener.port,
		connections: () => connections,
		[Symbol.dispose]() {
			over = true;
			listener.stop(true);
		},
	};
}
