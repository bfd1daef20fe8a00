/** Users, sessions, tokens, audit. */
import type { AuditRecord, Role, Session, Token, User } from "../../model/access.ts";
import { type BodyCodecs, decodeExpected, encodeExpected, fromJson, onlyId, optional, toJson } from "./values.ts";

export const accessCodecs: BodyCodecs<
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
