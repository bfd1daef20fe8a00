/** Makes one connection to another node: TCP, TLS, its certificate checked, hello and welcome, all within a limit. */
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import { type Address, formatAddress } from "./address.ts";
import { Connection, type Pace } from "./connection.ts";
import { encodeHello, isClose, judgeWelcome, type Peer, type Purpose, type Self } from "./hello.ts";
import type { Identity } from "./identity.ts";
import { type Close, PeerError } from "./peer-error.ts";
import { connectTls, judgeCertificate, shownChain } from "./tls.ts";
import { type CertificateFault, claimsOf, faultText } from "./trust.ts";
import { cutOffBy, mostTelling, silent, unreached } from "./unreached.ts";

export type DialOptions = {
	address: Address;
	self: Self;
	clock: Clock;
	logger: Logger;
	timeoutMs: number;
	maxQueuedBytes: number;
	signal?: AbortSignal;
} & (
	| { purpose: Exclude<Purpose, "join">; identity: Identity; toNodeId: string; pace: Pace }
	/** `judge` says whether the chain that the server shows (DER, its own first) is the one to talk to. */
	| { purpose: "join"; judge: (chain: readonly Uint8Array[]) => Close | null; pace: Pace }
);

export type Linked = { connection: Connection; peer: Peer };
export type Dialled = Linked & { address: Address };

/** Nothing may come on it until the caller has called `connection.handle`. Rejects with a PeerError. */
export function dial(options: DialOptions): Promise<Dialled> {
	const { address, self, clock, logger, timeoutMs, maxQueuedBytes, signal } = options;
	const toNodeId = options.purpose === "join" ? null : options.toNodeId;
	return new Promise((resolve, reject) => {
		if (signal?.aborted) return reject(new PeerError(stopped));
		let connection: Connection | null = null;
		let certificateNotAfterMs: number | undefined;
		const socket = connectTls(address, options.purpose === "join" ? null : options.identity, () => onSecure());
		const settle = (result: Dialled | Close) => {
			timer.cancel();
			signal?.removeEventListener("abort", onAbort);
			if (!isClose(result)) return resolve(result);
			if (connection === null) socket.destroy();
			else if (connection.closed === null) connection.fail(result);
			reject(new PeerError(result));
		};
		const onAbort = () => settle(stopped);
		const timer = clock.schedule(timeoutMs, () => settle(silent(address, timeoutMs)));
		signal?.addEventListener("abort", onAbort, { once: true });
		socket.on("error", (error) => settle(unreached(address, error)));
		socket.on("close", () => settle(cutOffBy(address)));

		function onSecure(): void {
			const fault = judgeServer();
			if (fault !== null && fault.code !== "wrong-cluster") {
				settle(fault);
				return;
			}
			connection = new Connection({ socket, clock, logger, maxQueuedBytes });
			if (fault !== null) {
				// That this node comes is news for the other one's log.
				connection.end(fault);
				settle(fault);
				return;
			}
			connection.handle(["welcome"], {
				onFrame: ({ payload }) => onWelcome(payload),
				onClose: (close) => settle(close.code === "unreachable" ? cutOffBy(address) : close),
			});
			connection.send("hello", encodeHello(self, options.purpose, toNodeId ?? ""));
		}

		function judgeServer(): Close | null {
			if (options.purpose === "join") return options.judge(shownChain(socket));
			const nowMs = clock.nowMs();
			const certificate = judgeCertificate(socket, options.identity.trust, nowMs);
			if (typeof certificate === "string") return refusal(certificate, options.identity.trust.clusterId, nowMs);
			certificateNotAfterMs = certificate.notAfterMs;
			if (certificate.nodeId === toNodeId) return null;
			return { code: "other-node", message: `Another node is at ${formatAddress(address)} now.` };
		}

		/** The node that is wanted, with an authority of its own: it was recovered, or restored, without the others. */
		function refusal(fault: CertificateFault, ownClusterId: string, nowMs: number): Close {
			const [der = null] = shownChain(socket);
			const claims = claimsOf(der);
			const isAnother = claims?.nodeId === toNodeId && claims.clusterId !== ownClusterId;
			if (fault !== "not-ours" || claims === null || !isAnother)
				return {
					code: "bad-certificate",
					message: `The node at ${formatAddress(address)} cannot be trusted. ${faultText(fault, der, nowMs)}`,
				};
			return {
				code: "wrong-cluster",
				message: `The node says that it is a member of another cluster now, ${claims.clusterId}, which was made by a recovery or of a backup.`,
			};
		}

		function onWelcome(payload: Uint8Array): void {
			if (connection === null || connection.closed !== null) return;
			const peer = judgeWelcome(payload, self, toNodeId);
			if (isClose(peer)) {
				settle(peer);
				return;
			}
			// The other side speaks when it is spoken to.
			connection.handle([], { onFrame() {}, onClose() {} });
			connection.startPings(options.pace);
			settle({
				connection,
				address,
				peer: certificateNotAfterMs === undefined ? peer : { ...peer, certificateNotAfterMs },
			});
		}
	});
}

const stopped: Close = { code: "closing", message: "This node does not want it any more." };

/** The first of a node's addresses that answers, until one refuses for good. Rejects with what says most of those that did not. */
export async function dialAny<Result>(
	addresses: readonly Address[],
	dialOne: (address: Address) => Promise<Result>,
	goOn: (error: unknown) => boolean,
): Promise<Result> {
	const failures: unknown[] = [];
	for (const address of addresses) {
		try {
			return await dialOne(address);
		} catch (error) {
			failures.push(error);
			if (!goOn(error)) throw error;
		}
	}
	throw mostTelling(failures) ?? new PeerError({ code: "unreachable", message: "No address of that node is known." });
}
