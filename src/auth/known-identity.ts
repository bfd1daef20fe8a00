/**
 * The identity behind a session or token that another node has authenticated, by its id: what this copy of the state says of
 * it now. Role and user are never taken from who asks.
 */
import { roleAtLeast } from "../model/permissions.ts";
import type { StoreReader } from "../store/store.ts";
import type { Credential, Identity } from "./identity.ts";

/** Null when it is not there, has ended, or its user may not sign in. */
export function knownIdentity(store: StoreReader, { kind, id }: Credential, nowMs: number): Identity | null {
	const session = kind === "session" ? store.get("session", id) : null;
	const token = kind === "token" ? store.get("token", id) : null;
	const found = session ?? token;
	const user = found === null ? null : store.get("user", found.userId);
	if (found === null || !user?.enabled) return null;
	const expiresAtMs = found.expiresAt === null ? null : Date.parse(found.expiresAt);
	if (expiresAtMs !== null && !(expiresAtMs > nowMs)) return null;
	const common = { user, credential: { kind, id }, session, via: "bearer", expiresAtMs } as const;
	if (token === null) return { ...common, requester: { kind: "user", id: user.id, name: user.name }, role: user.role };
	const role = roleAtLeast(user.role, token.role) ? token.role : user.role;
	return { ...common, requester: { kind: "token", id, name: `${user.name}/${token.name}` }, role };
}
