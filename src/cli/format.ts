/** Values for people: times relative to now, sizes, shares. */
import { formatBytes, formatDuration } from "../lib/units.ts";

/** "3 min ago", "in 2 h"; null stays null. Small differences of clocks are "now". */
export function relativeTime(rfc3339: string | null | undefined, nowMs: number): string | null {
	if (rfc3339 === null || rfc3339 === undefined) return null;
	const at = Date.parse(rfc3339);
	if (Number.isNaN(at)) return rfc3339;
	const ms = nowMs - at;
	if (Math.abs(ms) < 1000) return "now";
	const shown = firstUnit(Math.abs(ms));
	return ms > 0 ? `${shown} ago` : `in ${shown}`;
}

const firstUnit = (ms: number): string => formatDuration(ms).split(" ").slice(0, 2).join(" ");

/** "2030-01-01T00:00:00.000Z (3 min ago)" */
export function fullTime(rfc3339: string | null | undefined, nowMs: number): string | null {
	const relative = relativeTime(rfc3339, nowMs);
	return rfc3339 && relative ? `${rfc3339} (${relative})` : null;
}

export const bytes = (count: number | null | undefined): string | null =>
	count === null || count === undefined ? null : formatBytes(count);

export const percent = (ratio: number): string => `${Math.round(ratio * 100)} %`;

/** "1.5 GiB of 4 GiB (38 %)" */
export const share = (used: number | null | undefined, total: number | null | undefined): string | null =>
	used === null || used === undefined || !total
		? null
		: `${formatBytes(used)} of ${formatBytes(total)} (${percent(used / total)})`;
