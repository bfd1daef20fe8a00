/** Users. The last enabled administrator cannot be removed, disabled or demoted: nobody could undo it. */
import { AppError } from "../../lib/errors.ts";
import { User, UserUpdate } from "../../model/access.ts";
import { validated } from "../../model/validate.ts";
import { asCreated, checkGeneration, checkNameFree } from "./checks.ts";
import type { ApplyContext } from "./context.ts";
import type { Handlers } from "./handler.ts";
import { endSessions, endTokens, isVerified } from "./sessions.ts";

export const userHandlers: Handlers<"userCreate" | "userUpdate" | "userPasswordSet" | "userDelete"> = {
	userCreate(context, body) {
		const user = validated(User, body.user, "The user");
		checkNameFree(context, "user", user.name, null);
		context.insert("user", asCreated(context, user));
		context.state.setPasswordHash(user.id, checkedHash(body.passwordHash));
		return null;
	},

	userUpdate(context, { kind: _kind, id, expectedGeneration, ...changes }) {
		const user = context.need("user", id);
		checkGeneration(user, expectedGeneration, "user");
		validated(UserUpdate, changes, "The change");
		const after = { ...user, ...changes };
		if (!isActiveAdmin(after)) checkNotLastAdmin(context, user);
		context.updateSpec("user", user, changes);
		// Another role is another person to the API: no session outlives the rights that it began with.
		if (!after.enabled || after.role !== user.role) endSessions(context, id, null);
		return null;
	},

	userPasswordSet(context, body) {
		const user = context.need("user", body.id);
		checkMayChange(context, user, body.verifiedHash);
		context.state.setPasswordHash(user.id, checkedHash(body.passwordHash));
		// A new password is a change of the user, also when nothing that is shown differs.
		const after = { ...user, mustChangePassword: body.mustChangePassword, generation: user.generation + 1 };
		context.update("user", user, after);
		const { credential } = context.command;
		const keep = credential?.kind === "session" && credential.id === body.keepSessionId ? credential.id : null;
		endSessions(context, user.id, keep);
		if (body.endTokens) endTokens(context, user.id);
		return null;
	},

	userDelete(context, body) {
		const user = context.need("user", body.id);
		checkNotLastAdmin(context, user);
		endSessions(context, user.id, null);
		endTokens(context, user.id);
		context.state.deletePasswordHash(user.id);
		context.remove("user", user);
		return null;
	},
};

const isActiveAdmin = (user: User): boolean => user.role === "admin" && user.enabled;

function checkNotLastAdmin(context: ApplyContext, user: User): void {
	if (!isActiveAdmin(user)) return;
	const others = context.state.row(
		"SELECT id FROM user WHERE role = 'admin' AND enabled = 1 AND id <> ? LIMIT 1",
		user.id,
	);
	if (others === null)
		throw new AppError("wrong-state", `${user.name} is the last enabled administrator. Make another one first.`);
}

/**
 * One's own password for who is signed in with it and knows it, anybody's for an administrator who resets it. An API
 * token is not signed in: with the password it would take over the person it belongs to.
 */
function checkMayChange(context: ApplyContext, user: User, verifiedHash: string | undefined): void {
	const { actor, command } = context;
	if (command.operation !== "mePasswordChange") {
		if (actor.role === "admin") return;
		throw new AppError("forbidden", "Only an administrator may set the password of somebody else.");
	}
	if (command.credential?.kind !== "session" || actor.user?.id !== user.id)
		throw new AppError("forbidden", "Only somebody signed in with a password has one to change.");
	if (isVerified(context, user.id, verifiedHash)) return;
	const message = "This is not the current password.";
	throw new AppError("invalid", `The password was not changed: ${message}`, {
		fields: [{ path: "/currentPassword", message }],
	});
}

function checkedHash(hash: string): string {
	if (!hash.startsWith("$") || hash.length > 1024)
		throw new AppError("invalid", "A password is kept as a hash, not as it is.");
	return hash;
}
