/** The leader's housekeeping: once at start and then every hour, what is old leaves the state. Ends with `stop`. */
import type { Clock, Timer } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { Proposer, StoreReader } from "../store/store.ts";
import { BelievedTime } from "./believed-time.ts";
import { planUpkeep } from "./upkeep-plan.ts";

const periodMs = 3_600_000;
/** Not in the first minute, when nodes have better things to do. */
const firstDelayMs = 60_000;

export type UpkeepDeps = {
	clock: Clock;
	store: Pick<StoreReader, "upkeepTimeMs" | "upkeepDoubts">;
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
	const round = () => {
		if (!deps.leads()) return arm(periodMs);
		deps.proposer
			.proposeSystem(planUpkeep(time.nowMs(), time.doubts))
			.catch((error) => deps.logger.warn("housekeeping was not done; it is tried again in an hour", { error }))
			.finally(() => arm(periodMs));
	};
	arm(firstDelayMs);
	return () => {
		stopped = true;
		timer.cancel();
	};
}
