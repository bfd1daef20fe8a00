/**
 * A member's half of a join (join.ts): takes the request, has the token redeemed and the node admitted, signs. Any member does
 * it; what changes the cluster goes through the two callbacks.
 */
import { JoinAcceptedSchema, JoinRequestSchema } from "../gen/peer_pb.ts";
import type { Clock } from "../lib/clock.ts";
import { type AppError, isAppError } from "../lib/errors.ts";
import { passing } from "../lib/halting.ts";
import type { Logger } from "../lib/log.ts";
import { type Address, parseAddress } from "./address.ts";
import { checkRequest } from "./ca.ts";
import { hashSecret } from "./join-token.ts";
import type { Accepted } from "./listener.ts";
import type { Close, CloseCode } from "./peer-error.ts";
import type { RefusalLog } from "./refusal-log.ts";
import { asBytes } from "./requests.ts";
import { decoded, encoded } from "./wire.ts";

export type Redeemed = "ok" | "expired" | "used" | "unknown";

export type Joining = {
	tokenId: string;
	/** Of the token's secret, which was found good. */
	secretHash: string;
	/** SHA-256 of its public key, hex. The same one again is the same node, that lost the answer. */
	keyFingerprint: string;
	csr: Uint8Array;
	nodeName: string;
	addresses: Address[];
	remoteAddress: string;
	build: string;
	features: readonly string[];
	facts: Uint8Array;
};
export type Admitted = {
	nodeId: string;
	certificatePem: string;
	authoritiesPem: string;
	/** Members, addresses and what else a new node must know; opaque here, ≤ 900 KiB. */
	configuration: Uint8Array;
};

export type JoinHandler = {
	/**
	 * Compares with `secretMatches`. A token that was used by the same key is "ok". Whatever counts uses must be decided in
	 * one place (a command), as two nodes may come with one token at the same time.
	 */
	redeem(tokenId: string, secret: Uint8Array, keyFingerprint: string): Promise<Redeemed>;
	/**
	 * Makes it a member, and its certificate (signNode). Called again for the same key it gives the same node id. Fails with an
	 * AppError: `unavailable` when another member, or a later attempt, may do better; anything else is final.
	 */
	admit(joining: Joining): Promise<Admitted>;
};

export type JoinServerOptions = { handler: JoinHandler; clock: Clock; logger: Logger; refusals: RefusalLog };

const handleLimitMs = 60_000;
const maxNameLength = 128;
const maxAddresses = 16;
const closeFor: Readonly<Record<Exclude<Redeemed, "ok">, Close>> = {
	expired: { code: "token-expired", message: "The token has expired. Make a new one on a member." },
	used: { code: "token-used", message: "The token was used by another node. Make a new one on a member." },
	unknown: { code: "token-unknown", message: "The cluster does not know this token. Make a new one on a member." },
};

export function serveJoin(accepted: Accepted, { handler, clock, logger, refusals }: JoinServerOptions): void {
	const { connection, known } = accepted;
	const remoteAddress = connection.remoteAddress;
	const refuse = (close: Close) => {
		refusals.refused("a join was refused", remoteAddress, close);
		connection.end(close);
	};

	const onRequest = async (payload: Uint8Array) => {
		const request = decoded(JoinRequestSchema, payload, (message) => message);
		if (request === null) return refuse(badRequest);
		const { tokenId, secret, csr, nodeName, addresses, build, features, facts } = request;
		const parsed = addresses.map(parseAddress).filter((address) => address !== null);
		const fits = [nodeName, build, ...features].every((text) => text.length <= maxNameLength);
		if (!fits || features.length > 256 || addresses.length > maxAddresses || parsed.length !== addresses.length)
			return refuse(badRequest);
		const { keyFingerprint } = await checkRequest(csr);
		const redeemed = await handler.redeem(tokenId, secret, keyFingerprint);
		if (redeemed !== "ok") return refuse(closeFor[redeemed]);
		known();
		const joining = {
			tokenId,
			secretHash: hashSecret(secret),
			keyFingerprint,
			csr,
			nodeName,
			addresses: parsed,
			remoteAddress,
			build,
			features,
			facts,
		};
		const admitted = await handler.admit(joining);
		logger.info("a node was admitted", { address: remoteAddress, nodeId: admitted.nodeId, nodeName });
		const { nodeId, certificatePem, authoritiesPem, configuration } = admitted;
		connection.send(
			"joinAccepted",
			encoded(JoinAcceptedSchema, { nodeId, certificatePem, authoritiesPem, configuration: asBytes(configuration) }),
		);
		passing(nodeId === "" ? "preview sent" : "admission sent");
		// The other side closes when it has it.
	};

	const timer = clock.schedule(handleLimitMs, () =>
		refuse({ code: "timeout", message: "Joining took too long. It can be repeated with the same token." }),
	);
	connection.handle(["joinRequest"], {
		onFrame({ payload }) {
			connection.handle([], { onFrame() {}, onClose: () => timer.cancel() });
			onRequest(payload).catch((error) => {
				if (!isAppError(error)) logger.error("a join failed", { error });
				refuse({
					code: closeCodeOf(error),
					message: isAppError(error) ? error.message : "Joining failed inside the cluster.",
				});
			});
		},
		onClose: () => timer.cancel(),
	});
}

const badRequest: Close = { code: "bad-hello", message: "The request to join cannot be read." };

/** What is worth another attempt, and what is not. */
function closeCodeOf(error: AppError | unknown): CloseCode {
	if (!isAppError(error) || error.code === "internal") return "internal";
	return ["unavailable", "timeout", "too-many-requests", "no-space"].includes(error.code)
		? "unavailable"
		: "not-admitted";
}
