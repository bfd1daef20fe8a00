/** Who may see which event. Users, sessions and tokens are shown to administrators and to the person they belong to. */
import type { Identity } from "../../auth/identity.ts";
import type { Event } from "../../model/event.ts";
import { mayReadEvent } from "../../model/event-visibility.ts";
import type { StoreReader } from "../../store/store.ts";

/** Remembers whose session or token an id is, for the event that says only that it is gone. */
export class Ownership {
	readonly #owners = new Map<string, string>();

	constructor(store: Pick<StoreReader, "all">) {
		for (const { id, userId } of [...store.all("session"), ...store.all("token")]) this.#owners.set(id, userId);
	}

	/** Learns from events as they happen; call with each batch, before asking. Deleted ids are forgotten with `forget`. */
	learn(events: readonly Event[]): void {
		for (const { target, object } of events) {
			if ((target.kind !== "session" && target.kind !== "token") || object === null) continue;
			if (typeof object === "object" && "userId" in object && typeof object.userId === "string")
				this.#owners.set(target.id, object.userId);
		}
	}

	forget(events: readonly Event[]): void {
		for (const { target, type } of events) if (type === "deleted") this.#owners.delete(target.id);
	}

	ownerOf(id: string): string | null {
		return this.#owners.get(id) ?? null;
	}
}

/** As the model says; and whoever could see a session or token also learns that it is gone. */
export function isVisible(event: Event, identity: Identity, owners: Ownership): boolean {
	const userId = identity.user?.id ?? null;
	if (mayReadEvent(event, { role: identity.role, userId })) return true;
	return event.type === "deleted" && userId !== null && owners.ownerOf(event.target.id) === userId;
}
