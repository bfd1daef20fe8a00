/** Makes commands of this process: gives them an id and the time, which apply itself may not choose. */
import type { Clock } from "../lib/clock.ts";
import type { IdSource } from "../lib/ids.ts";
import type { Proposer, Store } from "./store.ts";

export const systemRequester = { kind: "system", id: null, name: "system" } as const;

export function proposer(store: Pick<Store, "propose">, clock: Pick<Clock, "nowMs">, ids: IdSource): Proposer {
	const timeMs = () => Math.floor(clock.nowMs());
	return {
		propose: (body, meta) => store.propose({ ...meta, id: ids.newId(), timeMs: timeMs(), body }),
		proposeSystem: (body) =>
			store.propose({
				id: ids.newId(),
				timeMs: timeMs(),
				requester: systemRequester,
				remoteAddress: null,
				operation: "system",
				idempotencyKey: null,
				credential: null,
				body,
			}),
	};
}
