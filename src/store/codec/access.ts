/** Cluster, nodes, users, sessions, tokens, audit. */
import type { AuditRecord, Role, Session, Token, User } from "../../model/access.ts";
import type { Network } from "../../model/network.ts";
import type { Cluster, Node, NodeStatus } from "../../model/node.ts";
import type { Pool } from "../../model/storage.ts";
import { type BodyCodecs, decodeExpected, encodeExpected, fromJson, onlyId, optional, toJson } from "./values.ts";

export const accessCodecs: BodyCodecs<
	| "clusterInit"
	| "clusterUpdate"
	| "nodeUpdate"
	| "nodeStatus"
	| "userCreate"
	| "userUpdate"
	| "userPasswordSet"
	| "userDelete"
	| "sessionCreate"
	| "sessionDelete"
	| "tokenCreate"
	| "tokenDelete"
	| "auditAppend"
> = {
	clusterInit: {
		encode: (body) => ({
			clusterJson: toJson(body.cluster),
			nodeJson: toJson(body.node),
			poolsJson: body.pools.map(toJson),
			networksJson: body.networks.map(toJson),
			adminJson: toJson(body.admin),
			adminPasswordHash: body.adminPasswordHash,
		}),
		decode: (message) => ({
			cluster: fromJson<Cluster>(message.clusterJson),
			node: fromJson<Node>(message.nodeJson),
			pools: message.poolsJson.map((text) => fromJson<Pool>(text)),
			networks: message.networksJson.map((text) => fromJson<Network>(text)),
			admin: fromJson<User>(message.adminJson),
			adminPasswordHash: message.adminPasswordHash,
		}),
	},
	clusterUpdate: {
		encode: (body) => ({ ...encodeExpected(body), name: body.name }),
		decode: (message) => ({ ...decodeExpected(message), name: message.name }),
	},
	nodeUpdate: {
		encode: (body) => ({ ...encodeExpected(body), name: body.name }),
		decode: (message) => ({ ...decodeExpected(message), name: message.name }),
	},
	nodeStatus: {
		encode: (body) => ({ id: body.id, statusJson: toJson(body.status) }),
		decode: (message) => ({ id: message.id, status: fromJson<NodeStatus>(message.statusJson) }),
	},
	userCreate: {
		encode: (body) => ({ userJson: toJson(body.user), passwordHash: body.passwordHash }),
		decode: (message) => ({ user: fromJson<User>(message.userJson), passwordHash: message.passwordHash }),
	},
	userUpdate: {
		encode: (body) => ({
			...encodeExpected(body),
			displayName: body.displayName,
			role: body.role,
			enabled: body.enabled,
		}),
		decode: (message) => ({
			...decodeExpected(message),
			...optional("displayName", message.displayName),
			...optional("role", message.role as Role | undefined),
			...optional("enabled", message.enabled),
		}),
	},
	userPasswordSet: {
		encode: (body) => ({
			id: body.id,
			passwordHash: body.passwordHash,
			mustChangePassword: body.mustChangePassword,
			keepSessionId: body.keepSessionId,
			endTokens: body.endTokens,
			verifiedHash: body.verifiedHash,
		}),
		decode: (message) => ({
			id: message.id,
			passwordHash: message.passwordHash,
			mustChangePassword: message.mustChangePassword,
			...optional("keepSessionId", message.keepSessionId),
			...optional("endTokens", message.endTokens),
			...optional("verifiedHash", message.verifiedHash),
		}),
	},
	userDelete: onlyId,
	sessionCreate: {
		encode: (body) => ({
			sessionJson: toJson(body.session),
			secretHash: body.secretHash,
			verifiedHash: body.verifiedHash,
		}),
		decode: (message) => ({
			session: fromJson<Session>(message.sessionJson),
			secretHash: message.secretHash,
			...optional("verifiedHash", message.verifiedHash),
		}),
	},
	sessionDelete: onlyId,
	tokenCreate: {
		encode: (body) => ({ tokenJson: toJson(body.token), secretHash: body.secretHash }),
		decode: (message) => ({ token: fromJson<Token>(message.tokenJson), secretHash: message.secretHash }),
	},
	tokenDelete: onlyId,
	auditAppend: {
		encode: (body) => ({ recordJson: toJson(body.record) }),
		decode: (message) => ({ record: fromJson<AuditRecord>(message.recordJson) }),
	},
};
