/**
 * The permission check, repeated where the command applies: between the request and now the session may have ended,
 * the user may have been disabled or lost the role. Roles come from model/permissions.ts; `leastRole` is a second
 * line, by kind of command, so that no operation can be used to carry a command that is not its own.
 */
import { AppError } from "../../lib/errors.ts";
import type { Role, Token, User } from "../../model/access.ts";
import { isAllowed, type OperationId, permissions, roleAtLeast } from "../../model/permissions.ts";
import type { Command, CommandKind } from "../command.ts";
import type { StateDatabase } from "../sqlite/state-database.ts";
import type { Actor } from "./context.ts";

/** `system`: only LimiQuantix itself. `public`: also without being signed in (signing in itself). */
const leastRole: Record<CommandKind, Role | "system" | "public"> = {
	clusterInit: "system",
	clusterUpdate: "admin",
	nodeUpdate: "admin",
	nodeStatus: "system",
	authoritySet: "system",
	joinTokenCreate: "admin",
	joinTokenDelete: "admin",
	nodeAdmit: "system",
	nodeAddresses: "system",
	nodeLost: "system",
	nodeImport: "system",
	nodeRemove: "admin",
	nodeGone: "system",
	userCreate: "admin",
	userUpdate: "admin",
	userPasswordSet: "viewer", // one's own; others' needs admin, see users.ts
	userDelete: "admin",
	sessionCreate: "public",
	sessionDelete: "viewer", // one's own
	tokenCreate: "viewer",
	tokenDelete: "viewer", // one's own
	auditAppend: "public",
	vmCreate: "operator",
	vmUpdate: "operator",
	vmAction: "operator",
	vmDelete: "operator",
	vmStatus: "system",
	vmGone: "system",
	vmAdopt: "admin",
	vmUnadopt: "system",
	vmMove: "operator",
	vmMoved: "system",
	vmElsewhere: "system",
	poolCreate: "admin",
	poolUpdate: "admin",
	poolDelete: "admin",
	poolNodeStatus: "system",
	poolGone: "system",
	poolOrphanDelete: "admin",
	secretsKeySet: "system",
	volumeCreate: "operator",
	volumeUpdate: "operator",
	volumeResize: "operator",
	volumeDelete: "operator",
	volumeStatus: "system",
	volumeGone: "system",
	volumeUnadopt: "system",
	snapshotCreate: "operator",
	snapshotUpdate: "operator",
	snapshotStatus: "system",
	snapshotRevert: "operator",
	snapshotReverted: "system",
	snapshotDelete: "operator",
	snapshotGone: "system",
	volumeMove: "operator",
	volumeMoved: "system",
	volumeCheck: "operator",
	volumeFlatten: "operator",
	volumeFlattened: "system",
	volumeUsage: "system",
	imageCreate: "operator",
	imageUpdate: "operator",
	imageDelete: "operator",
	imageStatus: "system",
	imageGone: "system",
	networkCreate: "admin",
	networkUpdate: "admin",
	networkDelete: "admin",
	networkNodeStatus: "system",
	networkGone: "system",
	taskUpdate: "system",
	taskCancel: "operator",
	prune: "system",
};

const ourselves: Actor = { user: null, role: "admin" };

/** Who acts with which role; `forbidden` or `unauthenticated` when the command may not apply. */
export function authorize(state: StateDatabase, command: Command): Actor {
	const { requester, credential, operation } = command;
	if (requester.kind === "system" || requester.kind === "local") {
		if (credential !== null) throw new AppError("forbidden", "This requester acts without a credential.");
		return ourselves;
	}
	const needed = leastRole[command.body.kind];
	// A denial is recorded in the name of the one who was denied, whatever the role.
	if (command.body.kind === "auditAppend") return { user: null, role: "viewer" };
	if (credential === null) {
		if (needed === "public" && isOperation(operation) && isAllowed(operation, null))
			return { user: null, role: "viewer" };
		throw new AppError("unauthenticated", "You are not signed in.");
	}
	const actor = holderOf(state, command, credential);
	if (!isOperation(operation) || !isAllowed(operation, actor.role))
		throw new AppError("forbidden", `Your role, ${actor.role}, does not allow this.`);
	if (needed === "system" || (needed !== "public" && !roleAtLeast(actor.role, needed)))
		throw new AppError("forbidden", `Your role, ${actor.role}, does not allow this.`);
	return actor;
}

const isOperation = (operation: string): operation is OperationId => Object.hasOwn(permissions, operation);

function holderOf(state: StateDatabase, command: Command, credential: NonNullable<Command["credential"]>): Actor {
	const holder =
		credential.kind === "session"
			? sessionHolder(state, command, credential.id)
			: tokenHolder(state, command, credential.id);
	if (holder === null) throw new AppError("unauthenticated", "Your session or token has ended. Sign in again.");
	if (!holder.user.enabled) throw new AppError("unauthenticated", "Your account is disabled.");
	return holder;
}

type Holder = Actor & { user: User };

function sessionHolder(state: StateDatabase, command: Command, id: string): Holder | null {
	const session = state.known("session", id);
	if (command.requester.kind !== "user" || session === null || hasExpired(session.expiresAt, command)) return null;
	const user = state.known("user", session.userId);
	return user === null || command.requester.id !== user.id ? null : { user, role: user.role };
}

function tokenHolder(state: StateDatabase, command: Command, id: string): Holder | null {
	const token = state.known("token", id);
	if (command.requester.kind !== "token" || token === null) return null;
	if (token.expiresAt !== null && hasExpired(token.expiresAt, command)) return null;
	const user = state.known("user", token.userId);
	return user === null ? null : { user, role: tokenRole(token, user) };
}

const hasExpired = (expiresAt: string, command: Command): boolean => Date.parse(expiresAt) <= command.timeMs;

/** A token never has more rights than its user has now. */
export const tokenRole = (token: Pick<Token, "role">, user: Pick<User, "role">): Role =>
	roleAtLeast(token.role, user.role) ? user.role : token.role;
