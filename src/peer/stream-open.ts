/** How a stream begins: the one that connects says what it wants, the other takes it or refuses with an error. */
import { StreamAbortSchema, StreamAcceptSchema, StreamOpenSchema } from "../gen/peer_pb.ts";
import { assert } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import { AppError, toAppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import type { Dialled } from "./dial.ts";
import type { Peer } from "./hello.ts";
import type { Accepted } from "./listener.ts";
import { PeerError } from "./peer-error.ts";
import { asBytes } from "./requests.ts";
import { done, PeerStream, windowBytes } from "./stream.ts";
import { decoded, decodeError, encoded, encodeError } from "./wire.ts";

export type StreamRequest = { kind: string; metadata: Uint8Array };
export type IncomingStream = StreamRequest & {
	peer: Peer;
	/** Once: takes it, with an answer for whoever asked. */
	accept(metadata?: Uint8Array): PeerStream;
};
/** To refuse, fail before `accept`. What it throws afterwards aborts the stream. When it resolves, the stream is ended. */
export type StreamHandler = (incoming: IncomingStream) => Promise<void>;

const openLimitMs = 5000;
const acceptLimitMs = 30_000;
const maxKindLength = 64;

/** Rejects with the error of the refusal, or a PeerError. */
export function openStream(
	{ connection, peer }: Dialled,
	{ kind, metadata }: StreamRequest,
	{ clock, timeoutMs = acceptLimitMs }: { clock: Clock; timeoutMs?: number },
): Promise<PeerStream> {
	return new Promise((resolve, reject) => {
		const fail = (error: Error) => {
			timer.cancel();
			reject(error);
			connection.end(done);
		};
		const timer = clock.schedule(timeoutMs, () => fail(new AppError("timeout", "The other node did not answer.")));
		connection.handle(["streamAccept", "streamAbort"], {
			onFrame({ name, payload }) {
				if (name === "streamAbort") {
					const error = decoded(StreamAbortSchema, payload, ({ errorJson }) => decodeError(errorJson));
					return fail(error ?? decodeError(""));
				}
				const accepted = decoded(StreamAcceptSchema, payload, (message) => message);
				if (accepted === null) return connection.end({ code: "protocol", message: "The answer cannot be read." });
				timer.cancel();
				const { metadata: answer, windowBytes: sendWindowBytes } = accepted;
				resolve(new PeerStream({ connection, peer, clock, metadata: answer, sendWindowBytes }));
			},
			onClose: (close) => fail(new PeerError(close)),
		});
		connection.send("streamOpen", encoded(StreamOpenSchema, { kind, metadata: asBytes(metadata), windowBytes }));
	});
}

export type StreamServerOptions = { handler: StreamHandler; clock: Clock; logger: Logger };

export function serveStream({ connection, peer }: Accepted, { handler, clock, logger }: StreamServerOptions): void {
	const refuse = (error: AppError) => {
		connection.send("streamAbort", encoded(StreamAbortSchema, { errorJson: encodeError(error) }));
		connection.end(done);
	};
	let timer = clock.schedule(openLimitMs, () => connection.end({ code: "timeout", message: "No stream was opened." }));
	connection.handle(["streamOpen"], {
		onFrame({ payload }) {
			timer.cancel();
			const opened = decoded(StreamOpenSchema, payload, (message) => message);
			if (opened === null || opened.kind.length === 0 || opened.kind.length > maxKindLength)
				return connection.end({ code: "protocol", message: "What stream is wanted cannot be read." });
			// Nothing may come before it was accepted.
			connection.handle([], { onFrame() {}, onClose: () => timer.cancel() });
			timer = clock.schedule(acceptLimitMs, () => refuse(new AppError("timeout", "The node was too busy.")));
			let stream: PeerStream | null = null;
			const accept = (answer: Uint8Array = new Uint8Array(0)): PeerStream => {
				assert(stream === null, "a stream is accepted once");
				timer.cancel();
				const { metadata, windowBytes: sendWindowBytes } = opened;
				connection.send("streamAccept", encoded(StreamAcceptSchema, { metadata: asBytes(answer), windowBytes }));
				stream = new PeerStream({ connection, peer, clock, metadata, sendWindowBytes });
				return stream;
			};
			const finish = (error: AppError | null) => {
				timer.cancel();
				if (stream === null) refuse(error ?? new AppError("unsupported", "The node does not take this stream."));
				else if (error === null) {
					stream.end();
					void stream.discard();
				} else stream.abort(error);
			};
			handler({ peer, kind: opened.kind, metadata: opened.metadata, accept }).then(
				() => finish(null),
				(thrown) => {
					const error = toAppError(thrown);
					if (error.code === "internal")
						logger.error("a stream of a peer failed", { peer: peer.nodeId, error: thrown });
					finish(error);
				},
			);
		},
		onClose: () => timer.cancel(),
	});
}
