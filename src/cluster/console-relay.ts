/**
 * Consoles of VMs on other nodes, over streams of the peer link (stream kind "console"). The node that gave the ticket says which
 * VM, which console and whose credential; the VM's node looks all of it up in its own copy of the state: the VM is here and
 * runs, the credential is good, its role suffices. Local sessions (those that one node made without a quorum) are known
 * nowhere else: while there is none, the user is looked up instead.
 */

import { type Static, Type } from "@sinclair/typebox";
import { type Identity, localIdentity } from "../auth/identity.ts";
import { knownIdentity } from "../auth/known-identity.ts";
import { sessionLifetimeMs } from "../auth/service.ts";
import type { Consoles } from "../console/console.ts";
import { guestOver, type RemoteConsoleRequest, type RemoteConsoles } from "../console/remote.ts";
import type { Clock } from "../lib/clock.ts";
import { AppError, isAppError } from "../lib/errors.ts";
import { vmActionObstacle } from "../model/actions.ts";
import { roleAtLeast } from "../model/permissions.ts";
import { Id, Nullable, Strict, StringEnum } from "../model/schema.ts";
import { validated } from "../model/validate.ts";
import type { PeerNode } from "../peer/peer.ts";
import { isPeerError } from "../peer/peer-error.ts";
import type { StreamHandler } from "../peer/stream-open.ts";
import { passwordFingerprint } from "../store/password-fingerprint.ts";
import type { Store } from "../store/store.ts";

export const consoleStreamKind = "console";

const ConsoleHead = Strict({
	vmId: Id,
	type: StringEnum(["vnc", "serial"] as const),
	viewOnly: Type.Boolean(),
	/** Null with `local` only. */
	credential: Nullable(Strict({ kind: StringEnum(["session", "token"] as const), id: Id })),
	userId: Nullable(Id),
	/** Root on the node that asks. */
	local: Type.Boolean(),
});
type ConsoleHead = Static<typeof ConsoleHead>;

type Deps = { store: Store; nodeId: string; clock: Clock };

/** For `createConsoles`. */
export function createRemoteConsoles(
	peers: Pick<PeerNode, "openStream">,
	{ store, nodeId: here, clock }: Deps,
): RemoteConsoles {
	return {
		nodeOf(vmId) {
			const nodeId = store.get("vm", vmId)?.nodeId ?? here;
			return nodeId === here ? null : nodeId;
		},
		open: (nodeId, request) => async (handlers) => {
			try {
				const metadata = new TextEncoder().encode(JSON.stringify(headOf(request)));
				const stream = await peers.openStream(nodeId, { kind: consoleStreamKind, metadata });
				return guestOver(stream, handlers, clock);
			} catch (error) {
				if (!isPeerError(error)) throw error;
				const name = store.get("node", nodeId)?.name ?? nodeId;
				throw new AppError("unavailable", `The node ${name} cannot be reached from here.`, { cause: error });
			}
		},
	};
}

function headOf({ vmId, type, viewOnly, identity }: RemoteConsoleRequest): ConsoleHead {
	const { credential, user, via } = identity;
	return { vmId, type, viewOnly, credential, userId: user?.id ?? null, local: via === "local" };
}

/** The handler of such streams. */
export const serveConsoles =
	(consoles: Pick<Consoles, "serve">, deps: Deps): StreamHandler =>
	async ({ metadata, accept }) => {
		const head = decode(metadata);
		// A session may have been made on the other node a moment ago.
		const stale = await isStale(deps.store);
		const { vmId, type } = head;
		const vm = deps.store.get("vm", vmId);
		if (vm?.nodeId !== deps.nodeId) throw new AppError("wrong-state", "The VM is not on this node.");
		const obstacle = vmActionObstacle("console", vm);
		if (obstacle) throw new AppError("wrong-state", obstacle);
		const identity = identityOf(deps, head, stale);
		if (type === "serial" && !roleAtLeast(identity.role, "operator"))
			throw new AppError("forbidden", "The serial console needs the role operator.");
		const viewOnly = head.viewOnly || identity.role === "viewer";
		await consoles.serve({ vmId, type, viewOnly, identity }, () => accept());
	};

function decode(metadata: Uint8Array): ConsoleHead {
	try {
		const text = new TextDecoder("utf-8", { fatal: true }).decode(metadata);
		const head = validated(ConsoleHead, JSON.parse(text), "The request");
		// Root is never what is left when a credential is missing.
		if (head.local === (head.credential === null)) return head;
	} catch {
		// Below.
	}
	throw new AppError("malformed", "The request of the other node cannot be read.");
}

async function isStale(store: Store): Promise<boolean> {
	try {
		await store.readIndex();
		return false;
	} catch (error) {
		if (isAppError(error, "unavailable")) return true;
		throw error;
	}
}

function identityOf({ store, clock }: Deps, { credential, userId }: ConsoleHead, stale: boolean): Identity {
	if (credential === null) return localIdentity;
	const known = knownIdentity(store, credential, clock.nowMs());
	if (known) return known;
	const gone = store.get(credential.kind, credential.id) !== null;
	const user = stale && !gone && credential.kind === "session" && userId !== null ? store.get("user", userId) : null;
	const stored = user?.enabled ? store.userSecret(user.id) : null;
	if (!user || stored === null)
		throw new AppError("unauthenticated", "The VM's node does not know your session or token.");
	const requester = { kind: "user", id: user.id, name: user.name } as const;
	// The node that made the session ends it; this one, when it hears that the user or the password has changed.
	const vouchedFor = { passwordFingerprint: passwordFingerprint(stored.passwordHash) };
	const expiresAtMs = clock.nowMs() + sessionLifetimeMs;
	return { requester, role: user.role, user, credential, session: null, via: "bearer", expiresAtMs, vouchedFor };
}
