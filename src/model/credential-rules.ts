/** Who may end which session or API token: one rule for the API, which asks first, and for apply, which asks again. */
import type { Role } from "./access.ts";
import { roleAtLeast } from "./permissions.ts";

type Kind = "session" | "token";
/** Who asks. `userId` null: the system, or root on the node. `role` is the one that counts, of a token the lower. */
export type Ender = { role: Role; userId: string | null; credential: { kind: Kind; id: string } | null };
/** What is to be ended. `role`: a token's own, a session's is its user's. */
export type Endable = { kind: Kind; id: string; userId: string; role: Role };

/**
 * Null when it may be ended. `hidden`: somebody else's, which to anybody but an administrator does not exist.
 * `forbidden`: it can do more than the token that asks. A token may be in more hands than its owner's: of the owner's
 * credentials it ends itself, and those that can do no more than it can.
 */
export function endingObstacle(who: Ender, target: Endable): "hidden" | "forbidden" | null {
	if (who.role === "admin") return null;
	if (who.userId !== target.userId) return "hidden";
	if (who.credential?.kind !== "token") return null;
	const itself = target.kind === "token" && target.id === who.credential.id;
	return itself || roleAtLeast(who.role, target.role) ? null : "forbidden";
}

export const tooMuchToEnd = (kind: Kind): string =>
	`An API token ends itself and what has no more rights than it has, not this ${kind}.`;
