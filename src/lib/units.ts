/** Bytes and durations, for people and from people. */
import { AppError } from "./errors.ts";

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
export const TiB = 1024 * GiB;

const byteUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** 1610612736 → "1.5 GiB". One decimal at most, none for whole numbers. */
export function formatBytes(bytes: number): string {
	let value = bytes;
	let unit = 0;
	while (Math.abs(value) >= 1024 && unit < byteUnits.length - 1) {
		value /= 1024;
		unit += 1;
	}
	const rounded = unit === 0 ? value : Math.round(value * 10) / 10;
	return `${rounded} ${byteUnits[unit]}`;
}

/** "10GiB", "10G", "512 MiB", "1024" (bytes) → bytes. K, M, G, T, P are powers of 1024, with or without "iB"/"B". */
export function parseBytes(text: string): number {
	const match = /^\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?\s*$/i.exec(text);
	if (!match) throw new AppError("invalid", `"${text}" is not a size. Write for example 10GiB or 512M.`);
	const power = "kmgtp".indexOf((match[2] ?? "").toLowerCase()) + 1;
	const factor = match[2] ? 1024 ** power : 1;
	const bytes = Math.round(Number(match[1]) * factor);
	if (!Number.isSafeInteger(bytes)) throw new AppError("invalid", `"${text}" is too large.`);
	return bytes;
}

/** 90500 → "1 min 30 s"; two units at most. */
export function formatDuration(ms: number): string {
	if (ms < 1000) return `${Math.round(ms)} ms`;
	const seconds = Math.round(ms / 1000);
	const parts: [number, string][] = [
		[Math.floor(seconds / 86400), "d"],
		[Math.floor((seconds % 86400) / 3600), "h"],
		[Math.floor((seconds % 3600) / 60), "min"],
		[seconds % 60, "s"],
	];
	const first = parts.findIndex(([count]) => count > 0);
	return parts
		.slice(first, first + 2)
		.filter(([count]) => count > 0)
		.map(([count, unit]) => `${count} ${unit}`)
		.join(" ");
}

/** "30s", "5m", "2h", "500ms", "1d" → milliseconds. */
export function parseDuration(text: string): number {
	const match = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|min|h|d)\s*$/i.exec(text);
	if (!match) throw new AppError("invalid", `"${text}" is not a duration. Write for example 30s, 5m or 2h.`);
	const factors: Record<string, number> = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 };
	return Math.round(Number(match[1]) * (factors[(match[2] ?? "").toLowerCase()] ?? 1));
}
