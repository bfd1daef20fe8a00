/** Times for people: relative in the text, exact on hover. Pure; the ticking clock is in components/relative-time. */
import { formatDuration } from "../../src/lib/units.ts";

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

/** "just now", "5 min ago", "3 h ago", "yesterday", "6 d ago", then the date. Times ahead: "in 5 min". */
export function relativeTime(iso: string, nowMs: number): string {
	const time = Date.parse(iso);
	if (Number.isNaN(time)) return iso;
	const past = nowMs - time;
	const distance = Math.abs(past);
	if (distance < 45_000) return past >= -5000 ? "just now" : "in less than a minute";
	const text =
		distance < hour
			? `${Math.round(distance / minute)} min`
			: distance < day
				? `${Math.round(distance / hour)} h`
				: distance < 30 * day
					? `${Math.round(distance / day)} d`
					: null;
	if (text === null) return new Date(time).toLocaleDateString(undefined, { dateStyle: "medium" });
	return past >= 0 ? `${text} ago` : `in ${text}`;
}

/** The exact local time with its zone, for tooltips: "2026-01-31 14:05:09 (UTC+01:00)". */
export function exactTime(iso: string): string {
	const date = new Date(iso);
	if (Number.isNaN(date.getTime())) return iso;
	const two = (value: number) => String(value).padStart(2, "0");
	const offset = -date.getTimezoneOffset();
	const zone = `UTC${offset < 0 ? "-" : "+"}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
	const days = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
	return `${days} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} (${zone})`;
}

/** How long a task or a VM has been at it: from `startIso` to `endIso`, or to now. */
export function elapsed(startIso: string, endIso: string | null, nowMs: number): string {
	const end = endIso === null ? nowMs : Date.parse(endIso);
	return formatDuration(Math.max(0, end - Date.parse(startIso)));
}
