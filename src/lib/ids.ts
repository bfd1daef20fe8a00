/** Ids of all objects are UUID version 7 (RFC 9562): sortable by creation, and a VM's id is its libvirt UUID. */
import type { Clock } from "./clock.ts";
import type { Random } from "./random.ts";

export type IdSource = { newId(): string };

export const idSource = (clock: Clock, random: Random): IdSource => ({
	newId: () => idAt(clock.nowMs(), random.bytes(16)),
});

/** Of this time, milliseconds since 1970. `random`: 16 bytes, of which the last ten are in it, but for six bits. */
export function idAt(timeMs: number, random: Uint8Array): string {
	const bytes = Uint8Array.from(random);
	let ms = timeMs;
	for (let i = 5; i >= 0; i--) {
		bytes[i] = ms % 256;
		ms = Math.floor(ms / 256);
	}
	bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x70;
	bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
	const hex = Buffer.from(bytes).toString("hex");
	return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

export const uuidPattern = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";
const uuidRegExp = new RegExp(uuidPattern);
export const isUuid = (text: string): boolean => uuidRegExp.test(text);
