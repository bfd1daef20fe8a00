/**
 * Whose clock is wrong, of those that this node hears, and by how much. One clock alone says nothing; of two that differ nobody knows which
 * is right; of three or more, those that most agree with are. Why these limits: docs/decisions/0049-wrong-clocks.md. Pure.
 */

/** More than any clock that a time server keeps is off, and less than does harm. */
export const clockLimitMs = 1_000;
/** One that was off is right again within this: the verdict on a clock that is just at the limit does not come and go. */
export const clockRightMs = 500;
/** With a clock that is off by more, a node is not taken into a cluster. */
export const joinClockLimitMs = 5 * 60_000;

/** How far a node's clock is ahead of that of the node that judges (behind, when negative), give or take `errorMs`. */
export type ClockReading = { nodeId: string; offsetMs: number; errorMs: number };

/** By what they are judged: most agree; none do now, and it is what they agreed on before; nothing. */
export const clockBases = ["majority", "kept", "none"] as const;
export type ClockBasis = (typeof clockBases)[number];

export type ClockVerdict = {
	basis: ClockBasis;
	/** How far the time that they are judged by is ahead of the clock of the node that judges; null when there is none. */
	agreedMs: number | null;
	/** How far each is ahead of that time; without one, of the node that judges. By node. */
	aheadMs: ReadonlyMap<string, number>;
	/** Those that are off; when nobody knows which are, all that differ. */
	off: readonly string[];
};

/** What the node that judges knows of before. */
export type JudgedBefore = {
	/** Who was off, or differed. */
	off: ReadonlySet<string>;
	/** By that time its own clock was off, and has not been set since: how far that time is ahead of it; null without one. */
	keptMs: number | null;
};
const nothingBefore: JudgedBefore = { off: new Set(), keptMs: null };

/** `others`: without the node that judges itself, `ownId`. What is not known well enough is left out. */
export function judgeClocks(
	ownId: string,
	others: readonly ClockReading[],
	{ off: wasOff, keptMs }: JudgedBefore = nothingBefore,
): ClockVerdict {
	const own: ClockReading = { nodeId: ownId, offsetMs: 0, errorMs: 0 };
	const heard = others.filter(({ errorMs }) => errorMs <= clockLimitMs);
	const readings = [own, ...heard];
	const sorted = readings.toSorted((a, b) => a.offsetMs - b.offsetMs);
	// Where more than half agree, the one in the middle is among them.
	const middle = sorted[Math.floor((sorted.length - 1) / 2)] ?? own;
	const near = readings.filter((one) => one === middle || agree(one, middle, wasOff.has(one.nodeId)));
	const verdict = (basis: ClockBasis, agreedMs: number | null, off: readonly ClockReading[]): ClockVerdict => ({
		...{ basis, agreedMs, off: off.map(({ nodeId }) => nodeId) },
		aheadMs: new Map(readings.map(({ nodeId, offsetMs }) => [nodeId, offsetMs - (agreedMs ?? 0)])),
	});
	if (readings.length > 2 && 2 * near.length > readings.length)
		return verdict(
			"majority",
			middle.offsetMs,
			readings.filter((one) => !near.includes(one)),
		);
	const kept = keptMs === null ? null : { offsetMs: keptMs, errorMs: 0 };
	if (kept !== null && isBorneOut(kept, { own, heard }))
		return verdict(
			"kept",
			keptMs,
			readings.filter((one) => one === own || !agree(one, kept, wasOff.has(one.nodeId))),
		);
	const differ = (one: ClockReading, two: ClockReading) =>
		one !== two && !agree(one, two, wasOff.has(one.nodeId) || wasOff.has(two.nodeId));
	return verdict(
		"none",
		null,
		readings.filter((one) => readings.some((two) => differ(one, two))),
	);
}

type Measured = Pick<ClockReading, "offsetMs" | "errorMs">;

/** What may be the error of the measurement is no difference; but they have to be surely near each other to agree again. */
function agree(one: Measured, two: Measured, didNot: boolean): boolean {
	const apartMs = Math.abs(one.offsetMs - two.offsetMs);
	const errorMs = one.errorMs + two.errorMs;
	return didNot ? apartMs <= clockRightMs && apartMs + errorMs <= clockLimitMs : apartMs - errorMs <= clockLimitMs;
}

/** Nobody is heard, or who is still says that time, and not that of the node that judges. */
const isBorneOut = (kept: Measured, { own, heard }: { own: ClockReading; heard: readonly ClockReading[] }): boolean =>
	heard.length === 0 || (heard.some((one) => agree(one, kept, false)) && !heard.some((one) => agree(one, own, false)));

const units = [
	[86_400_000, "d"],
	[3_600_000, "h"],
	[60_000, "min"],
	[1_000, "s"],
] as const;

/** "12.3 s", "5 min 3 s", "3 h 5 min", "400 d 3 h": without its sign. */
export function formatClockDifference(ms: number): string {
	const size = Math.abs(ms);
	// What rounds up to the unit above is said in that.
	if (size < 999.5) return `${Math.round(size)} ms`;
	if (size < 59_950) return `${(size / 1_000).toFixed(1)} s`;
	if (size < 60_000) return formatClockDifference(60_000);
	const at = units.findIndex(([unitMs]) => size >= unitMs);
	const [large, small] = [units[at] ?? units[0], units[at + 1] ?? units[3]];
	const roundedMs = Math.round(size / small[0]) * small[0];
	// Which may make it one of the unit above.
	if (roundedMs >= (units[at - 1]?.[0] ?? Number.POSITIVE_INFINITY)) return formatClockDifference(roundedMs);
	const rest = Math.round((roundedMs % large[0]) / small[0]);
	return `${Math.floor(roundedMs / large[0])} ${large[1]}${rest > 0 ? ` ${rest} ${small[1]}` : ""}`;
}

export const aheadOrBehind = (ms: number): string => `${formatClockDifference(ms)} ${ms < 0 ? "behind" : "ahead of"}`;

/** Of some: how far the last is ahead of the first. */
export const apartMs = (all: readonly number[]): number => (all.length === 0 ? 0 : Math.max(...all) - Math.min(...all));

/** What a node that joins is held against. `name`: of the member that was asked; null when it does not say. */
export const timeOfMember = (name: string | null): string =>
	name === null ? "that of the member that was asked" : `the time that ${name}, the member that was asked, goes by`;

/** What to do about a clock. */
export const setClockRight =
	"let chrony, or another NTP client, set it and keep it right (`chronyc tracking` says how it is)";
