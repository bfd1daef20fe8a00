/**
 * The leader's housekeeping: once at start and then every hour, what is old leaves the state; and whenever there is more of
 * anything than its bound allows. One round deletes only so much, so they follow one another while there is more. Ends with `stop`.
 */
import type { Clock, Timer } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import { maxPrunedRows } from "../store/limits.ts";
import type { Proposer, StoreReader } from "../store/store.ts";
import { BelievedTime } from "./believed-time.ts";
import { planUpkeep } from "./upkeep-plan.ts";

const periodMs = 3_600_000;
/** Not in the first minute, when nodes have better things to do. */
const firstDelayMs = 60_000;
/** Between looks whether a round's worth is there before the hour is over. */
const lookMs = 30_000;
/** Between rounds that follow one another: each holds the others up for a moment. */
const nextMs = 1_000;

export type UpkeepDeps = {
	clock: Clock;
	store: Pick<StoreReader, "upkeepTimeMs" | "upkeepDoubts" | "prunable">;
	proposer: Proposer;
	logger: Logger;
	/** False: another node does it. */
	leads: () => boolean;
};

export function startUpkeep(deps: UpkeepDeps): () => void {
	const { clock, logger, store } = deps;
	const time = new BelievedTime(clock, logger, store.upkeepTimeMs(), store.upkeepDoubts());
	let timer: Timer;
	let stopped = false;
	const arm = (delayMs: number) => {
		if (!stopped) timer = deps.clock.schedule(delayMs, round);
	};
	let dueMs = clock.monotonicMs() + firstDelayMs;
	/** Of the last round of this node: the clock is asked no more often than every hour. */
	let plan: ReturnType<typeof planUpkeep> | null = null;
	const round = () => {
		const nowMs = clock.monotonicMs();
		if (!deps.leads()) return arm(lookMs);
		if (plan === null || nowMs >= dueMs) plan = planUpkeep(time.nowMs(), time.doubts);
		else if (store.prunable(plan) < maxPrunedRows) return arm(lookMs);
		const { proposer } = deps;
		const planned = plan;
		if (nowMs >= dueMs) dueMs = nowMs + periodMs;
		proposer.proposeSystem(planned).then(
			() => arm(store.prunable(planned) < maxPrunedRows ? lookMs : nextMs),
			(error) => {
				logger.warn("housekeeping was not done; it is tried again in an hour", { error });
				arm(periodMs);
			},
		);
	};
	arm(firstDelayMs);
	return () => {
		stopped = true;
		timer.cancel();
	};
}
