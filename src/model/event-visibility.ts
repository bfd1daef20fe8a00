/** Which events a signed-in person may see: accounts of others are for administrators. Pure. */
import type { Role } from "./access.ts";
import type { Event } from "./event.ts";

/** Events of users, sessions and tokens go to administrators, and to those whom they are about; join tokens have no owner. */
export function mayReadEvent(event: Event, viewer: { role: Role; userId: string | null }): boolean {
	if (viewer.role === "admin") return true;
	const { kind, id } = event.target;
	if (kind === "joinToken") return false;
	if (kind === "user") return id === viewer.userId;
	if (kind !== "session" && kind !== "token") return true;
	return ownerOf(event.object) === viewer.userId && viewer.userId !== null;
}

function ownerOf(object: unknown): string | null {
	if (typeof object !== "object" || object === null || !("userId" in object)) return null;
	return typeof object.userId === "string" ? object.userId : null;
}
