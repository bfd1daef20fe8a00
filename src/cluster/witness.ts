/** What a witness says of itself: that it is there, when nobody recorded it or the others thought otherwise. */
import { type Clock, toRfc3339 } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import { features } from "../store/command-features.ts";
import type { StoreIdentity } from "../store/open-store.ts";
import type { Proposer, Store } from "../store/store.ts";

export type WitnessDeps = {
	store: Pick<Store, "get">;
	proposer: Pick<Proposer, "proposeSystem">;
	node: Pick<StoreIdentity, "nodeId">;
	version: string;
	clock: Pick<Clock, "nowMs">;
	logger: Logger;
};

export function reportWitness({ store, node: { nodeId }, proposer, clock, version, logger }: WitnessDeps): void {
	const known = store.get("node", nodeId)?.status;
	if (known === undefined || (known.phase === "ready" && known.version === version)) return;
	const { lost: _, ...status } = known;
	proposer
		.proposeSystem({
			kind: "nodeStatus",
			id: nodeId,
			status: {
				...status,
				phase: "ready",
				reason: "A witness: it votes, and runs no VMs.",
				...{ version, features: [...features], hypervisor: "disconnected", updatedAt: toRfc3339(clock.nowMs()) },
			},
		})
		.catch((error) => logger.warn("the status of this witness was not recorded", { error }));
}
