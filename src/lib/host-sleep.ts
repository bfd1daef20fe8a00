/**
 * For how long this host slept, as a laptop does, or a server that saves power: the monotonic clock stands still then, and the time
 * since the boot (proc(5), `uptime`) goes on. Only differences mean anything. `procRoot` is another folder only in tests.
 */
import { readFileSync } from "node:fs";
import { type Clock, systemClock } from "./clock.ts";

/** In milliseconds, to a hundredth of a second. Where the host does not say, it never slept. */
export function sleptMs(clock: Pick<Clock, "monotonicMs"> = systemClock, procRoot = "/proc"): number {
	const uptimeSeconds = Number.parseFloat(uptime(procRoot));
	return Number.isFinite(uptimeSeconds) ? uptimeSeconds * 1_000 - clock.monotonicMs() : 0;
}

function uptime(procRoot: string): string {
	try {
		return readFileSync(`${procRoot}/uptime`, "utf8");
	} catch {
		return "";
	}
}
