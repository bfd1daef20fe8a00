/**
 * A scripted peer for tests of the libvirt RPC client: speaks frames on a unix socket, answers the opening calls like
 * libvirt, and leaves everything else to the test, including what libvirt would never do.
 */
import { rmSync } from "node:fs";
import { encodeFrame, encodeStreamFrame, FrameParser } from "../hypervisor/libvirt/rpc/frame.ts";
import {
	keepaliveProgram,
	messageStatus,
	messageType,
	type ProcedureName,
	procedures,
	remoteProgram,
} from "../hypervisor/libvirt/rpc/protocol.ts";
import { XdrReader } from "../hypervisor/libvirt/rpc/xdr-reader.ts";
import type { XdrWriter } from "../hypervisor/libvirt/rpc/xdr-writer.ts";
import { present } from "../lib/assert.ts";
import { waitUntil } from "./lab/wait-until.ts";

export type FakeHandler = (call: FakeCall) => void;
/** What arrived, as the test may look at it later. */
export type ReceivedFrame = { procedure: number; type: number; status: number; serial: number; data: Buffer };

export class FakeLibvirtServer {
	readonly path: string;
	/** Connections that were accepted and still exist, oldest first. */
	peers: FakePeer[] = [];
	/** Number of connections ever accepted. */
	accepted = 0;
	readonly #handlers = new Map<number, FakeHandler>();
	#listener: Bun.UnixSocketListener<FakePeer> | null = null;

	constructor(path: string) {
		this.path = path;
		this.handle("authList", (call) => call.reply((w) => w.array([0], 20, (type) => w.int(type))));
		this.handle("connectOpen", (call) => call.reply());
		this.handle("connectClose", (call) => call.reply());
		this.handle("connectSupportsFeature", (call) => call.reply((w) => w.int(1)));
		this.handle("connectDomainEventCallbackRegisterAny", (call) => call.reply((w) => w.int(call.reader.int())));
		this.listen();
	}

	handle(procedure: ProcedureName, handler: FakeHandler): void {
		this.#handlers.set(procedures[procedure], handler);
	}

	listen(): void {
		const server = this;
		this.#listener = Bun.listen<FakePeer>({
			unix: this.path,
			socket: {
				open(socket) {
					server.accepted += 1;
					const peer = new FakePeer(socket, (call) => server.#handlers.get(call.frame.procedure)?.(call));
					socket.data = peer;
					server.peers.push(peer);
				},
				data: (socket, data) => socket.data.received(data),
				drain: (socket) => socket.data.flush(),
				close(socket) {
					server.peers = server.peers.filter((peer) => peer !== socket.data);
				},
			},
		});
	}

	/** Ends listening and all connections, as when the daemon dies; `listen()` brings it back. */
	stop(): void {
		this.#listener?.stop(true);
		this.#listener = null;
		for (const peer of this.peers) peer.disconnect();
		rmSync(this.path, { force: true });
	}

	/** The call of that procedure that has come as the `nth` (from 1) over all connections that still exist. */
	waitForCall(procedure: ProcedureName, nth = 1): Promise<FakeCall> {
		return waitUntil(`call ${nth} of ${procedure}`, 5_000, () => {
			const calls = this.peers.flatMap((peer) => peer.calls);
			return calls.filter((call) => call.frame.procedure === procedures[procedure])[nth - 1];
		});
	}
}

export class FakePeer {
	/** Calls in the order in which they came. */
	readonly calls: FakeCall[] = [];
	/** Everything else: stream packets and messages. */
	readonly others: ReceivedFrame[] = [];
	bytesReceived = 0;
	readonly #socket: Bun.Socket<FakePeer>;
	readonly #parser: FrameParser;
	#queue: Uint8Array[] = [];

	constructor(socket: Bun.Socket<FakePeer>, onCall: FakeHandler) {
		this.#socket = socket;
		this.#parser = new FrameParser((frame) => {
			const { procedure, type, status, serial } = frame;
			const received = { procedure, type, status, serial, data: Buffer.from(frame.payload) };
			if (frame.type !== messageType.call) {
				this.others.push(received);
				return;
			}
			const call = new FakeCall(this, received);
			this.calls.push(call);
			onCall(call);
		});
	}

	received(data: Uint8Array): void {
		this.bytesReceived += data.length;
		this.#parser.push(data);
	}

	/** Bytes as they are, whole frames or not. */
	send(data: Uint8Array): void {
		this.#queue.push(Uint8Array.from(data));
		this.flush();
	}

	flush(): void {
		while (this.#queue.length > 0) {
			const next = present(this.#queue[0], "data to send");
			const written = this.#socket.write(next);
			if (written < next.length) {
				this.#queue[0] = next.subarray(Math.max(0, written));
				return;
			}
			this.#queue.shift();
		}
	}

	/** Bytes that the other side has not taken yet. */
	get unsentBytes(): number {
		return this.#queue.reduce((sum, part) => sum + part.length, 0);
	}

	event(procedure: number, write: (writer: XdrWriter) => void): void {
		const header = { program: remoteProgram, type: messageType.message, serial: 0, status: messageStatus.ok };
		this.send(encodeFrame({ ...header, procedure }, write));
	}

	keepalive(procedure: number): void {
		const header = { program: keepaliveProgram, type: messageType.message, serial: 0, status: messageStatus.ok };
		this.send(encodeFrame({ ...header, procedure }));
	}

	/** Stops reading, so that the other side's writes pile up; `resume` goes on. */
	pause(): void {
		this.#socket.pause();
	}

	resume(): void {
		this.#socket.resume();
	}

	disconnect(): void {
		this.#socket.terminate();
	}
}

export class FakeCall {
	readonly peer: FakePeer;
	readonly frame: ReceivedFrame;

	constructor(peer: FakePeer, frame: ReceivedFrame) {
		this.peer = peer;
		this.frame = frame;
	}

	/** The arguments, from their start. */
	get reader(): XdrReader {
		return new XdrReader(this.frame.data);
	}

	reply(write?: (writer: XdrWriter) => void): void {
		this.peer.send(this.encodeReply(write));
	}

	encodeReply(write?: (writer: XdrWriter) => void): Uint8Array {
		return encodeFrame({ ...this.#header, type: messageType.reply, status: messageStatus.ok }, write);
	}

	fail(code: number, message: string): void {
		const header = { ...this.#header, type: messageType.reply, status: messageStatus.error };
		this.peer.send(encodeFrame(header, (w) => writeRemoteError(w, code, message)));
	}

	streamData(data: Uint8Array): void {
		this.peer.send(encodeStreamFrame({ ...this.#header, type: messageType.stream, status: 2 }, data));
	}

	streamEnd(): void {
		this.peer.send(encodeFrame({ ...this.#header, type: messageType.stream, status: messageStatus.ok }));
	}

	streamFail(code: number, message: string): void {
		const header = { ...this.#header, type: messageType.stream, status: messageStatus.error };
		this.peer.send(encodeFrame(header, (w) => writeRemoteError(w, code, message)));
	}

	get #header() {
		return { program: remoteProgram, procedure: this.frame.procedure, serial: this.frame.serial };
	}
}

/** struct virNetMessageError with a domain and a network in it, as libvirt sends it now and then. */
export function writeRemoteError(writer: XdrWriter, code: number, message: string): void {
	writer.int(code);
	writer.int(10);
	writer.optionalString(message);
	writer.int(2);
	writer.bool(true);
	writer.string("vm");
	writer.fixedOpaque(new Uint8Array(16));
	writer.int(7);
	writer.optionalString("detail");
	writer.optionalString(null);
	writer.optionalString(null);
	writer.int(-1);
	writer.int(3);
	writer.bool(true);
	writer.string("net");
	writer.fixedOpaque(new Uint8Array(16));
}
