/**
 * Whose clock is wrong, of those that this node hears, and by how much. One clock alone says nothing; of two that differ nobody knows which
 * is right; of three or more, those that most agree with are. Why these limits: docs/decisions/0049-wrong-clocks.md. Pure.
 */

/** More than any clock that a time server keeps is off, and less than does harm. */
export const clockLimitMs = 1_000;
/** With a clock that is off by more, a node is not taken into a cluster. */
export const joinClockLimitMs = 5 * 60_000;

/** How far a node's clock is ahead of that of the node that judges (behind, when negative), give or take `errorMs`. */
export type ClockReading = { nodeId: string; offsetMs: number; errorMs: number };

export type ClockVerdict = {
	/** How far the time that most of them agree on is ahead of the clock of the node that judges; null when no majority agrees. */
	agreedMs: number | null;
	/** How far each is ahead of that time; without one, of the node that judges. By node. */
	aheadMs: ReadonlyMap<string, number>;
	/** Those that are off; when nobody knows which are, all that differ. */
	off: readonly string[];
};

/** `others`: without the node that judges itself, `ownId`. What is not known well enough is left out. */
export function judgeClocks(ownId: string, others: readonly ClockReading[]): ClockVerdict {
	const own: ClockReading = { nodeId: ownId, offsetMs: 0, errorMs: 0 };
	const readings = [own, ...others.filter(({ errorMs }) => errorMs <= clockLimitMs)];
	const sorted = readings.map(({ offsetMs }) => offsetMs).sort((a, b) => a - b);
	// Where more than half agree, the ones in the middle are among them.
	const middleMs = sorted[Math.floor((sorted.length - 1) / 2)] ?? 0;
	const isNear = ({ offsetMs, errorMs }: ClockReading) => Math.abs(offsetMs - middleMs) - errorMs <= clockLimitMs;
	const near = readings.filter(isNear);
	const agree = readings.length > 2 && 2 * near.length > readings.length;
	const agreedMs = agree ? middleMs : null;
	const differs = readings.filter((one) =>
		readings.some((two) => Math.abs(one.offsetMs - two.offsetMs) - one.errorMs - two.errorMs > clockLimitMs),
	);
	const off = agree ? readings.filter((reading) => !isNear(reading)) : differs;
	return {
		agreedMs,
		aheadMs: new Map(readings.map(({ nodeId, offsetMs }) => [nodeId, offsetMs - (agreedMs ?? 0)])),
		off: off.map(({ nodeId }) => nodeId),
	};
}

const units = [
	[86_400_000, "d"],
	[3_600_000, "h"],
	[60_000, "min"],
	[1_000, "s"],
] as const;

/** "12.3 s", "5 min 3 s", "3 h 5 min", "400 d 3 h": without its sign. */
export function formatClockDifference(ms: number): string {
	const size = Math.abs(ms);
	if (size < 1_000) return `${Math.round(size)} ms`;
	if (size < 60_000) return `${(size / 1_000).toFixed(1)} s`;
	const at = units.findIndex(([unitMs]) => size >= unitMs);
	const [large, small] = [units[at] ?? units[0], units[at + 1] ?? units[3]];
	const roundedMs = Math.round(size / small[0]) * small[0];
	// Which may make it one of the unit above.
	if (roundedMs >= (units[at - 1]?.[0] ?? Number.POSITIVE_INFINITY)) return formatClockDifference(roundedMs);
	const rest = Math.round((roundedMs % large[0]) / small[0]);
	return `${Math.floor(roundedMs / large[0])} ${large[1]}${rest > 0 ? ` ${rest} ${small[1]}` : ""}`;
}

export const aheadOrBehind = (ms: number): string => `${formatClockDifference(ms)} ${ms < 0 ? "behind" : "ahead of"}`;

/** What to do about a clock. */
export const setClockRight =
	"let chrony, or another NTP client, set it and keep it right (`chronyc tracking` says how it is)";
