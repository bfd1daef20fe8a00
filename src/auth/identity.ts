/** Who is asking: the result of authentication, and the only thing that authorization looks at. */
import type { Role, Session, User } from "../model/access.ts";
import type { Requester } from "../model/task.ts";

export type Credential = { kind: "session" | "token"; id: string };

export type Identity = {
	requester: Requester;
	/** Effective role: of a token, the lower of the token's own and its user's. */
	role: Role;
	/** Null for the local socket. */
	user: User | null;
	/** Null for the local socket, whose credential is the right to open it. */
	credential: Credential | null;
	session: Session | null;
	/** A cookie is sent by the browser unasked and therefore needs the CSRF defence; a bearer does not. */
	via: "cookie" | "bearer" | "local";
	/** When the credential ends by itself; null for never. */
	expiresAtMs: number | null;
	/** A session made without a quorum, known on this node only: it reads, and opens consoles. */
	unrecorded?: boolean;
	/**
	 * Such a session of another node, which vouches for it: good while the user's password is the one of this fingerprint
	 * (password-fingerprint.ts), or, once the state has it, as the state says.
	 */
	vouchedFor?: { passwordFingerprint: string };
};

/** Root on the unix socket: the file's mode is the check. */
export const localIdentity: Identity = Object.freeze({
	requester: { kind: "local", id: null, name: "local" },
	role: "admin",
	user: null,
	credential: null,
	session: null,
	via: "local",
	expiresAtMs: null,
} as const);
