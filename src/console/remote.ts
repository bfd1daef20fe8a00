/**
 * A console of a VM on another node. The node that gave the ticket has the WebSocket and asks the VM's node for the guest's end;
 * both run a ConsoleBridge, joined by a stream of bytes. So both apply the view-only filter and the limits, and each closes
 * when the credential ends in its own copy of the state.
 */
import type { Identity } from "../auth/identity.ts";
import type { ByteStream } from "../lib/byte-stream.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { AppError, isAppError } from "../lib/errors.ts";
import {
	type ConsoleClient,
	closeCode,
	type GuestStream,
	type GuestStreamHandlers,
	type OpenGuestStream,
} from "./bridge.ts";
import type { ConsoleType } from "./tickets.ts";

export type RemoteConsoleRequest = { vmId: string; type: ConsoleType; viewOnly: boolean; identity: Identity };

export interface RemoteConsoles {
	/** The other node that has this VM; null when it is on this one. */
	nodeOf(vmId: string): string | null;
	/** Opening fails with the refusal of that node, or with `unavailable`, naming it. */
	open(nodeId: string, request: RemoteConsoleRequest): OpenGuestStream;
}

/** For last words to arrive. */
const farewellMs = 5000;
const notEnded = () => new AppError("timeout", "The console did not end.");

/** The guest's end, as the node with the WebSocket sees it. */
export function guestOver(stream: ByteStream, handlers: GuestStreamHandlers, clock: Clock): GuestStream {
	let paused: PromiseWithResolvers<void> | null = null;
	let writing: Promise<void> | null = null;
	let ended = false;
	let farewell: Timer | null = null;
	const pump = async () => {
		for (;;) {
			if (paused) await paused.promise;
			const chunk = await stream.read();
			if (ended && chunk !== null) continue;
			if (chunk === null) return;
			handlers.onData(chunk);
		}
	};
	const over = (reason: string | null) => {
		farewell?.cancel();
		if (!ended) handlers.onEnd(reason);
		stream.end();
	};
	pump().then(
		() => over(null),
		(error: unknown) => over(isAppError(error) ? error.message : null),
	);
	return {
		write(data) {
			if (writing || ended) return 0;
			writing = stream.write(data).then(
				() => {
					writing = null;
					if (!ended) handlers.onWritable();
				},
				// Then reading fails too, and says so.
				() => {},
			);
			return data.length;
		},
		pause() {
			paused ??= Promise.withResolvers();
		},
		resume() {
			paused?.resolve();
			paused = null;
		},
		end() {
			if (ended) return;
			ended = true;
			this.resume();
			farewell = clock.schedule(farewellMs, () => stream.abort(notEnded()));
			void (writing ?? Promise.resolve()).then(() => stream.end());
		},
	};
}

/** The client's end, as the VM's node sees it. `onDrained`: it has room again; `onGone`: nobody is there any more. */
export function clientOver(stream: ByteStream, on: { drained(): void; gone(): void }, clock: Clock): ConsoleClient {
	const queue: Uint8Array[] = [];
	let writing = false;
	let closing = false;
	const write = async () => {
		writing = true;
		for (let chunk = queue.shift(); chunk; chunk = queue.shift()) await stream.write(chunk);
		writing = false;
		if (closing) stream.end();
		else on.drained();
	};
	return {
		sendBinary(data) {
			if (closing) return 0;
			// It is the socket's buffer, and may be used again.
			queue.push(data.slice());
			if (!writing) write().catch(() => on.gone());
			return queue.length > 0 ? -1 : data.length;
		},
		close(code, reason) {
			if (closing) return;
			closing = true;
			if (code !== closeCode.normal) stream.abort(new AppError("canceled", reason));
			else {
				clock.schedule(farewellMs, () => stream.abort(notEnded()));
				if (!writing) stream.end();
			}
		},
	};
}
