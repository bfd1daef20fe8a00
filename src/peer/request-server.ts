/**
 * Answers the calls of one other node: so many at a time, each with the caller's time limit. The handler is told by its signal
 * when the caller has given up or is gone; what it returns then goes nowhere.
 */
import { AnswerSchema, CallSchema, CancelCallSchema } from "../gen/peer_pb.ts";
import type { Clock } from "../lib/clock.ts";
import { AppError, toAppError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import { MiB } from "../lib/units.ts";
import type { Frame } from "./frame.ts";
import type { Peer } from "./hello.ts";
import type { Accepted } from "./listener.ts";
import { asBytes, maxCallBytes, maxCallMs } from "./requests.ts";
import { decoded, encoded, encodeError, fromUint64 } from "./wire.ts";

export type PeerRequest = { peer: Peer; method: string; payload: Uint8Array; timeoutMs: number; signal: AbortSignal };
/** Fails with an AppError that is passed on to the caller; `unsupported` for a method that it does not know. */
export type RequestHandler = (request: PeerRequest) => Promise<Uint8Array>;

/** As many as proposals may wait (store/limits.ts): each of them may be one. */
const maxInFlight = 4096;
/** Answers that the caller has not taken yet; beyond that it gets errors, which are short. */
const maxWaitingBytes = 32 * MiB;
const maxMethodLength = 64;

export type RequestServerOptions = { handler: RequestHandler; clock: Clock; logger: Logger };

export function serveRequests({ connection, peer }: Accepted, { handler, clock, logger }: RequestServerOptions): void {
	const running = new Map<number, AbortController>();

	const answer = (id: number, result: Uint8Array | AppError) => {
		const tooLarge = result instanceof Uint8Array && result.length > maxCallBytes;
		const slow = result instanceof Uint8Array && connection.queuedBytes + result.length > maxWaitingBytes;
		const given = tooLarge ? answerTooLarge() : slow ? notTaken() : result;
		connection.send(
			"answer",
			encoded(AnswerSchema, {
				id: BigInt(id),
				result:
					given instanceof Uint8Array
						? { case: "payload", value: asBytes(given) }
						: { case: "errorJson", value: encodeError(given) },
			}),
		);
	};

	const onCall = ({ payload: bytes }: Frame) => {
		const call = decoded(CallSchema, bytes, ({ id, method, timeoutMs, payload }) => {
			if (method.length === 0 || method.length > maxMethodLength) throw new Error("no method");
			if (timeoutMs < 1 || timeoutMs > maxCallMs) throw new Error("no time");
			return { id: fromUint64(id), method, timeoutMs, payload };
		});
		if (call === null || running.has(call.id)) {
			connection.end({ code: "protocol", message: "A call cannot be read, or its number is in use." });
			return;
		}
		const { id, method, timeoutMs, payload } = call;
		if (running.size >= maxInFlight) return answer(id, busy());
		const controller = new AbortController();
		running.set(id, controller);
		const timer = clock.schedule(timeoutMs, () =>
			controller.abort(new AppError("timeout", "The caller's time is over.")),
		);
		run({ peer, method, payload, timeoutMs, signal: controller.signal }).then((result) => {
			timer.cancel();
			running.delete(id);
			if (!controller.signal.aborted) answer(id, result);
		});
	};

	const run = async (request: PeerRequest): Promise<Uint8Array | AppError> => {
		try {
			return await handler(request);
		} catch (error) {
			const known = toAppError(error);
			if (known.code === "internal")
				logger.error("a request of a peer failed", { peer: peer.nodeId, method: request.method, error });
			return known;
		}
	};

	const onCancel = ({ payload }: Frame) => {
		const id = decoded(CancelCallSchema, payload, (message) => fromUint64(message.id));
		if (id !== null) running.get(id)?.abort(new AppError("canceled", "The caller has given up."));
	};

	connection.handle(["call", "cancel"], {
		onFrame: (frame) => (frame.name === "call" ? onCall(frame) : onCancel(frame)),
		onClose: () => {
			for (const controller of running.values()) controller.abort(new AppError("canceled", "The caller is gone."));
		},
	});
}

const busy = (): AppError =>
	new AppError("too-many-requests", "That node has too many requests of this one.", { retryAfterMs: 1000 });
/** The request was carried out: to the caller that is as if the answer was lost. */
const notTaken = (): AppError =>
	new AppError("unavailable", "The answer could not be sent: too many wait for this node to take them.");
const answerTooLarge = (): AppError => new AppError("too-large", "The answer is too large to be passed on.");
