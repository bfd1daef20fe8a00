/**
 * Carries bytes between one client (a WebSocket, or the node that has it: remote.ts) and one guest stream (VNC socket, serial
 * console, or the node that has it), with back-pressure both ways: towards the client reading from the guest stops while the
 * client's end is full; towards the guest a bounded queue waits for the stream, and a client that overruns it is cut off (a
 * WebSocket has no way to ask it to wait).
 */
import { isAppError } from "../lib/errors.ts";

/** Bytes from the client that may wait for the guest. */
export const maxQueuedToGuestBytes = 1024 * 1024;

/** WebSocket close codes (RFC 6455, 7.4). */
export const closeCode = { normal: 1000, goingAway: 1001, policy: 1008, tooBig: 1009, internal: 1011 } as const;

/** The client's end: a WebSocket of Bun is one. */
export interface ConsoleClient {
	/** −1: taken, and full for now; 0: dropped. */
	sendBinary(data: Uint8Array): number;
	close(code: number, reason: string): void;
}

export interface GuestStream {
	/** Bytes that it took now; the rest must be offered again after `onWritable`. */
	write(data: Uint8Array): number;
	pause(): void;
	resume(): void;
	end(): void;
}

export type GuestStreamHandlers = {
	onData(data: Uint8Array): void;
	onWritable(): void;
	onEnd(reason: string | null): void;
};

export type OpenGuestStream = (handlers: GuestStreamHandlers) => Promise<GuestStream>;

/** What may happen to the client's bytes on their way: the view-only filter. */
export type ClientFilter = { feed(chunk: Uint8Array): { forward: Uint8Array; error: string | null } };

export class ConsoleBridge {
	readonly #client: ConsoleClient;
	readonly #filter: ClientFilter;
	#stream: GuestStream | null = null;
	#closed = false;
	#queue: Uint8Array[] = [];
	#queuedBytes = 0;
	#onRoom = (): void => {};
	#toBrowserBytes = 0;
	#toGuestBytes = 0;

	constructor(client: ConsoleClient, filter: ClientFilter) {
		this.#client = client;
		this.#filter = filter;
	}

	get transferred(): { toBrowserBytes: number; toGuestBytes: number } {
		return { toBrowserBytes: this.#toBrowserBytes, toGuestBytes: this.#toGuestBytes };
	}

	/** Connects the guest's end. What the client sent in between waits in the queue. */
	async open(openStream: OpenGuestStream): Promise<void> {
		let stream: GuestStream;
		try {
			stream = await openStream({
				onData: (data) => this.#toBrowser(data),
				onWritable: () => this.#flush(),
				onEnd: (reason) => this.close(closeCode.normal, reason ?? "The console of the VM ended."),
			});
		} catch (error) {
			const known = isAppError(error) && error.code !== "internal";
			this.close(closeCode.internal, known ? error.message : "The console of the VM cannot be reached.");
			return;
		}
		if (this.#closed) {
			stream.end();
			return;
		}
		this.#stream = stream;
		this.#flush();
	}

	fromClient(chunk: Uint8Array): void {
		if (this.#closed) return;
		const { forward, error } = this.#filter.feed(chunk);
		if (forward.length > 0) {
			this.#toGuestBytes += forward.length;
			this.#queuedBytes += forward.length;
			this.#queue.push(forward.slice());
			this.#flush();
		}
		if (error) this.close(closeCode.policy, error);
		else if (this.#queuedBytes > maxQueuedToGuestBytes)
			this.close(closeCode.tooBig, "The guest does not take input this fast.");
	}

	/** Resolves when little waits for the guest: whoever can make the client wait reads on then. */
	async room(): Promise<void> {
		while (!this.#closed && this.#queuedBytes > maxQueuedToGuestBytes / 4)
			await new Promise<void>((resolve) => {
				this.#onRoom = resolve;
			});
	}

	/** The client has room again. */
	drained(): void {
		if (!this.#closed) this.#stream?.resume();
	}

	close(code: number, reason: string): void {
		if (this.#closed) return;
		this.#closed = true;
		this.#queue = [];
		this.#queuedBytes = 0;
		this.#onRoom();
		this.#stream?.end();
		// A close frame carries 123 bytes of reason at most.
		this.#client.close(
			code,
			Buffer.from(reason)
				.subarray(0, 120)
				.toString()
				.replace(/\uFFFD$/, ""),
		);
	}

	#toBrowser(data: Uint8Array): void {
		if (this.#closed) return;
		this.#toBrowserBytes += data.length;
		// −1: queued, and full for now; 0: dropped, the stream would have a hole.
		const sent = this.#client.sendBinary(data);
		if (sent === -1) this.#stream?.pause();
		else if (sent === 0 && data.length > 0) this.close(closeCode.internal, "The connection is too slow.");
	}

	#flush(): void {
		const stream = this.#stream;
		if (!stream) return;
		for (let head = this.#queue[0]; head; head = this.#queue[0]) {
			const taken = stream.write(head);
			this.#queuedBytes -= taken;
			this.#onRoom();
			if (taken < head.length) {
				this.#queue[0] = head.subarray(taken);
				return;
			}
			this.#queue.shift();
		}
	}
}
