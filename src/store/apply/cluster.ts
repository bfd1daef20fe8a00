/** The cluster: its beginning, its name, its authority, and the tokens with which nodes join. */
import { AppError } from "../../lib/errors.ts";
import { User } from "../../model/access.ts";
import { JoinToken, joinTokenMaxMs } from "../../model/cluster.ts";
import { Network } from "../../model/network.ts";
import { Cluster, ClusterUpdate, Node } from "../../model/node.ts";
import { Pool } from "../../model/storage.ts";
import { validated } from "../../model/validate.ts";
import { maxJoinTokens } from "../limits.ts";
import { asCreated, canonicalTime, checkGeneration } from "./checks.ts";
import type { ApplyContext } from "./context.ts";
import type { Handlers } from "./handler.ts";
import { checkNetwork } from "./network.ts";
import { checkPool } from "./pool.ts";
import { checkedSecretHash } from "./sessions.ts";

export const clusterHandlers: Handlers<
	"clusterInit" | "clusterUpdate" | "authoritySet" | "joinTokenCreate" | "joinTokenDelete"
> = {
	clusterInit(context, body) {
		if (context.state.row("SELECT id FROM cluster LIMIT 1") !== null)
			throw new AppError("already-exists", "This cluster was set up before.");
		context.insert("cluster", asCreated(context, validated(Cluster, body.cluster, "The cluster")));
		// Logs from before clusters of several nodes do without these; schema-3.ts adds them in the same way.
		const withDefaults = {
			...body.node,
			peerAddresses: body.node.peerAddresses ?? [],
			witness: body.node.witness ?? false,
		};
		context.insert("node", asCreated(context, validated(Node, withDefaults, "The node")));
		for (const given of body.pools) {
			const pool = validated(Pool, given, "The storage pool");
			checkPool(context, pool);
			context.insert("pool", { ...asCreated(context, pool), phase: "pending", nodes: [] });
		}
		for (const given of body.networks) {
			const network = validated(Network, given, "The network");
			checkNetwork(context, network);
			context.insert("network", { ...asCreated(context, network), nodes: [], deleting: false });
		}
		const admin = validated(User, body.admin, "The first user");
		if (admin.role !== "admin" || !admin.enabled)
			throw new AppError("invalid", "The first user is an administrator, and enabled.");
		context.insert("user", asCreated(context, admin));
		context.state.setPasswordHash(admin.id, body.adminPasswordHash);
		return null;
	},

	clusterUpdate(context, body) {
		const cluster = context.need("cluster", body.id);
		checkGeneration(cluster, body.expectedGeneration, "cluster");
		validated(ClusterUpdate, { name: body.name }, "The cluster");
		context.updateSpec("cluster", cluster, { name: body.name });
		return null;
	},

	authoritySet(context, { certificatePem, keyPem }) {
		if (context.state.authority() !== null)
			throw new AppError("already-exists", "The cluster has its authority already.");
		for (const pem of [certificatePem, keyPem])
			if (!pem.startsWith("-----BEGIN ") || pem.length > maxPemLength)
				throw new AppError("invalid", "The certificate and the key of the authority are PEM.");
		context.state.setAuthority({ certificatePem, keyPem });
		return null;
	},

	joinTokenCreate(context, body) {
		const given = validated(JoinToken, body.token, "The join token");
		const expiresAt = canonicalTime(given.expiresAt);
		const lifetimeMs = Date.parse(expiresAt) - context.command.timeMs;
		if (given.usesLeft < 1 || given.admitted.length > 0 || lifetimeMs <= 0 || lifetimeMs > joinTokenMaxMs)
			throw new AppError("invalid", "A join token is good for one node at least, and for 24 hours at most.");
		makeRoom(context);
		context.insert("joinToken", asCreated(context, { ...given, expiresAt }));
		context.state.setSecretHash("joinToken", given.id, checkedSecretHash(context, "joinToken", body.secretHash));
		return null;
	},

	joinTokenDelete(context, body) {
		removeJoinToken(context, context.need("joinToken", body.id));
		return null;
	},
};

const maxPemLength = 16_384;

/** It admits nobody new: no use is left, or its time is over. */
export const isSpent = ({ usesLeft, expiresAt }: JoinToken, now: string): boolean => usesLeft === 0 || expiresAt <= now;

function makeRoom(context: ApplyContext): void {
	const tokens = context.state.all("joinToken");
	if (tokens.length < maxJoinTokens) return;
	const spent = tokens.filter((token) => isSpent(token, context.time));
	for (const token of spent) removeJoinToken(context, token);
	if (spent.length > 0) return;
	throw new AppError(
		"wrong-state",
		`There are ${maxJoinTokens} join tokens already. Delete those that are not needed.`,
	);
}

export function removeJoinToken(context: ApplyContext, token: JoinToken): void {
	context.state.deleteSecretHash("joinToken", token.id);
	context.remove("joinToken", token);
}
