/** A time in words that stays true while it is shown; the exact one on hover. */
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { elapsed, exactTime, relativeTime } from "../lib/time.ts";

/** The current time in steps of 15 s, for everything that counts from or to now. */
export const nowMs = signal(Date.now());

const stepMs = 15_000;
export function startClock(): void {
	const tick = () => {
		if (!document.hidden) nowMs.value = Date.now();
	};
	setInterval(tick, stepMs);
	document.addEventListener("visibilitychange", tick);
}

export function RelativeTime({ time, fallback }: { time: string | null | undefined; fallback?: string }) {
	if (!time) return <span class="muted">{fallback ?? "–"}</span>;
	return (
		<time dateTime={time} title={exactTime(time)}>
			{relativeTime(time, Math.max(nowMs.value, Date.now()))}
		</time>
	);
}

/** How long something has been at it, second by second. */
export function Elapsed({ since }: { since: string }) {
	const [now, setNow] = useState(() => Date.now());
	useEffect(() => {
		const timer = setInterval(() => setNow(Date.now()), 1000);
		return () => clearInterval(timer);
	}, []);
	return <span title={exactTime(since)}>{elapsed(since, null, Math.max(now, Date.parse(since) + 1000))}</span>;
}
