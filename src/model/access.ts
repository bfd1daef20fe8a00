/** Users, sessions, API tokens, the audit. Hashes of secrets live in records of their own and never leave the store. */
import { type Static, Type } from "@sinclair/typebox";
import {
	Id,
	Metadata,
	Nullable,
	NullableTimestamp,
	PageOf,
	ResourceRef,
	Strict,
	StringEnum,
	Timestamp,
} from "./schema.ts";
import { Requester } from "./task.ts";

export const roles = ["admin", "operator", "viewer"] as const;
export const Role = StringEnum(roles, { $id: "Role" });
export type Role = (typeof roles)[number];

export const UserName = Type.String({
	pattern: "^[a-z][a-z0-9._-]{0,31}$",
	description: "Lower case, 32 characters at most",
});
export const Password = Type.String({ minLength: 12, maxLength: 1024, description: "12 characters at least" });

export const User = Strict(
	{
		...Metadata,
		name: UserName,
		displayName: Type.String({ maxLength: 128 }),
		role: Role,
		enabled: Type.Boolean(),
		/** The UI insists on a new password at the next sign-in. */
		mustChangePassword: Type.Boolean(),
	},
	{ $id: "User" },
);
export type User = Static<typeof User>;
export const UserPage = PageOf(Type.Ref(User), "UserPage");
export const UserCreate = Strict(
	{ name: UserName, displayName: Type.Optional(Type.String({ maxLength: 128 })), role: Role, password: Password },
	{ $id: "UserCreate" },
);
export const UserUpdate = Strict(
	{
		displayName: Type.Optional(Type.String({ maxLength: 128 })),
		role: Type.Optional(Role),
		enabled: Type.Optional(Type.Boolean()),
	},
	{ $id: "UserUpdate", minProperties: 1 },
);
export type UserUpdate = Static<typeof UserUpdate>;

export const Session = Strict(
	{
		id: Id,
		userId: Id,
		userName: Type.String(),
		createdAt: Timestamp,
		expiresAt: Timestamp,
		remoteAddress: Nullable(Type.String()),
		userAgent: Nullable(Type.String({ maxLength: 256 })),
	},
	{ $id: "Session" },
);
export type Session = Static<typeof Session>;
export const SessionPage = PageOf(Type.Ref(Session), "SessionPage");
export const SessionCreate = Strict(
	{
		username: Type.String({ minLength: 1, maxLength: 64 }),
		password: Type.String({ minLength: 1, maxLength: 1024 }),
		cookie: Type.Optional(Type.Boolean({ description: "Answer with an HttpOnly cookie and no token" })),
	},
	{ $id: "SessionCreate" },
);
export const SessionCreated = Strict(
	{ session: Type.Ref(Session), user: Type.Ref(User), token: Type.Optional(Type.String()) },
	{ $id: "SessionCreated" },
);
export const PasswordChange = Strict(
	{ currentPassword: Type.Optional(Type.String({ maxLength: 1024 })), newPassword: Password },
	{ $id: "PasswordChange" },
);

export const Token = Strict(
	{
		...Metadata,
		name: Type.String({ minLength: 1, maxLength: 63, pattern: "^[A-Za-z0-9][A-Za-z0-9._ -]{0,62}$" }),
		userId: Id,
		role: Role,
		expiresAt: NullableTimestamp,
	},
	{ $id: "Token" },
);
export type Token = Static<typeof Token>;
export const TokenPage = PageOf(Type.Ref(Token), "TokenPage");
export const TokenCreate = Strict(
	{ name: Token.properties.name, role: Role, expiresAt: Type.Optional(NullableTimestamp) },
	{ $id: "TokenCreate" },
);
export const TokenCreated = Strict({ token: Type.Ref(Token), secret: Type.String() }, { $id: "TokenCreated" });

/** Who is asking, as the API's answer to `GET /v1/me`. */
export const Me = Strict(
	{
		requester: Requester,
		role: Role,
		user: Nullable(Type.Ref(User)),
		/** operationIds that this role may call. */
		permissions: Type.Array(Type.String()),
	},
	{ $id: "Me" },
);
export type Me = Static<typeof Me>;

export const AuditRecord = Strict(
	{
		id: Type.String(),
		time: Timestamp,
		requester: Requester,
		remoteAddress: Nullable(Type.String()),
		/** operationId, or the name of a system command. */
		operation: Type.String(),
		outcome: StringEnum(["accepted", "rejected", "denied"] as const),
		targets: Type.Array(ResourceRef),
		/** For rejected and denied: the error code. */
		errorCode: Nullable(Type.String()),
		confirmation: Type.Optional(Type.String({ description: "What was typed to confirm it, where that is asked for" })),
		count: Type.Optional(
			Type.Integer({ minimum: 1, description: "How many this record stands for, when it is more than one" }),
		),
	},
	{ $id: "AuditRecord" },
);
export type AuditRecord = Static<typeof AuditRecord>;
export const AuditPage = PageOf(Type.Ref(AuditRecord), "AuditPage");
