/**
 * Makes commands of this process: gives them an id and the time, which apply itself may not choose; and makes none that a
 * member of the cluster does not know yet.
 */
import type { Clock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { passing } from "../lib/halting.ts";
import type { IdSource } from "../lib/ids.ts";
import type { CommandBody } from "./command.ts";
import { type Feature, featureOf } from "./command-features.ts";
import type { Proposer, Store } from "./store.ts";

export const systemRequester = { kind: "system", id: null, name: "system" } as const;

/** The members without a feature, by name. */
export type Lacking = (feature: Feature) => readonly string[];

/** `lacking`: without one, nobody but this process is asked. `propose` rejects with `unsupported`, and nothing is proposed then. */
export function proposer(
	store: Pick<Store, "propose">,
	clock: Pick<Clock, "nowMs">,
	ids: IdSource,
	lacking: Lacking = () => [],
): Proposer {
	const timeMs = () => Math.floor(clock.nowMs());
	return {
		async propose(body, meta) {
			checkKnown(body, lacking);
			passing("proposing");
			return store.propose({ ...meta, id: ids.newId(), timeMs: timeMs(), body });
		},
		async proposeSystem(body, as) {
			checkKnown(body, lacking);
			return store.propose({
				id: as?.id ?? ids.newId(),
				timeMs: as?.timeMs ?? timeMs(),
				requester: systemRequester,
				remoteAddress: null,
				operation: "system",
				idempotencyKey: null,
				credential: null,
				body,
			});
		},
	};
}

function checkKnown({ kind }: CommandBody, lacking: Lacking): void {
	const feature = featureOf[kind];
	if (feature === null) return;
	const names = lacking(feature);
	if (names.length > 0) throw tooOld(names);
}

/** Also for what else waits for a feature. `names`: of the nodes that lack it. */
export const tooOld = (names: readonly string[]): AppError =>
	new AppError(
		"unsupported",
		`Not every node knows how to do this yet. Install this node's version of LimiQuantix on: ${[...names].sort().join(", ")}.`,
	);
