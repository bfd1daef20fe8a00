/** The leader's housekeeping: once at start and then every hour, what is old leaves the state. Ends with `stop`. */
import type { Clock, Timer } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import type { Proposer } from "../store/store.ts";
import { planUpkeep } from "./upkeep-plan.ts";

const periodMs = 3_600_000;
/** Not in the first minute, when nodes have better things to do. */
const firstDelayMs = 60_000;

export function startUpkeep(deps: { clock: Clock; proposer: Proposer; logger: Logger }): () => void {
	let timer: Timer;
	let stopped = false;
	const arm = (delayMs: number) => {
		if (!stopped) timer = deps.clock.schedule(delayMs, round);
	};
	const round = () => {
		deps.proposer
			.proposeSystem(planUpkeep(deps.clock.nowMs()))
			.catch((error) => deps.logger.warn("housekeeping was not done; it is tried again in an hour", { error }))
			.finally(() => arm(periodMs));
	};
	arm(firstDelayMs);
	return () => {
		stopped = true;
		timer.cancel();
	};
}
