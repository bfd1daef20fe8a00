/**
 * The leader's housekeeping: once at start and then every hour, what is old leaves the state; and whenever there is more of
 * anything than its bound allows. Small rounds that follow one another hold nobody up; a large one takes a tenth of a second. Ends
 * with `stop`.
 */
import type { Clock, Timer } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { Proposer, StoreReader } from "../store/store.ts";
import { BelievedTime } from "./believed-time.ts";
import { planUpkeep } from "./upkeep-plan.ts";

const periodMs = 3_600_000;
/** Not in the first minute, when nodes have better things to do. */
const firstDelayMs = 60_000;
/** So many rows of a table are worth a round before the hour is over. */
const worthRows = 250;
/** Until the next look whether they are there: when there is nothing, and when there is something. */
const calmMs = 10_000;
const busyMs = 250;

export type UpkeepDeps = {
	/** Of this host. */
	clock: Clock;
	/**
	 * The time by which who may do what is judged (cluster/cluster-time.ts). Where it is earlier, that holds: nothing is over by a clock of
	 * which a majority says that it is ahead, however long it has been.
	 */
	agreed: Pick<Clock, "nowMs">;
	store: Pick<StoreReader, "upkeepTimeMs" | "upkeepDoubts" | "prunable">;
	proposer: Proposer;
	logger: Logger;
	/** False: another node does it. */
	leads: () => boolean;
};

export function startUpkeep(deps: UpkeepDeps): () => void {
	const { clock, agreed, logger, store } = deps;
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
		if (!deps.leads()) return arm(calmMs);
		if (plan === null || nowMs >= dueMs) {
			plan = planUpkeep(Math.min(time.nowMs(), agreed.nowMs()), time.doubts);
			dueMs = nowMs + periodMs;
		} else {
			const rows = store.prunable(plan);
			if (rows < worthRows) return arm(rows > 0 ? busyMs : calmMs);
		}
		deps.proposer.proposeSystem(plan).then(
			() => arm(busyMs),
			(error) => {
				logger.warn("housekeeping was not done; it is tried again in an hour at the latest", { error });
				arm(calmMs);
			},
		);
	};
	arm(firstDelayMs);
	return () => {
		stopped = true;
		timer.cancel();
	};
}
