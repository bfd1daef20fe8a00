/** Numbers for people. Sizes and durations come from src/lib/units.ts. */
import { formatBytes } from "../../src/lib/units.ts";

export { formatBytes, formatDuration } from "../../src/lib/units.ts";

/** 0.256 → "26 %"; below one percent one decimal. */
export function formatRatio(ratio: number): string {
	const percent = ratio * 100;
	return `${percent > 0 && percent < 0.95 ? percent.toFixed(1) : Math.round(percent)} %`;
}

/** Null: not known now. */
export const formatRate = (bytesPerSecond: number | null): string =>
	bytesPerSecond === null ? "–" : `${formatBytes(Math.round(bytesPerSecond))}/s`;

/** 12345 → "12,345" in the browser's own manner. */
export const formatCount = (count: number): string => count.toLocaleString();

/** (2, "VM", "VMs") → "2 VMs". */
export const counted = (count: number, one: string, many: string): string =>
	`${formatCount(count)} ${count === 1 ? one : many}`;
