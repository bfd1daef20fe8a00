/**
 * What a new VM gets when nothing is said. UEFI is the default firmware: every current operating system boots with it,
 * Secure Boot and TPM build on it, and a disk that needs a BIOS says so by not booting, not by losing data.
 */
import { GiB, MiB, TiB } from "../../lib/units.ts";

export const defaultDiskBytes = 20 * GiB;

/** Room for hot-plug: four times what it starts with, and at least 8; a CPU that is not plugged costs next to nothing. */
export const defaultMaxVcpus = (vcpus: number): number => Math.max(vcpus, Math.min(512, Math.max(8, vcpus * 4)));

/**
 * Four times the memory, but no more than the host has (`hostBytes` 0: not known), rounded down to whole memory
 * blocks of 128 MiB, the unit of hot-plug.
 */
export function defaultMaxMemoryBytes(memoryBytes: number, hostBytes: number): number {
	const ceiling = Math.min(16 * TiB, hostBytes > 0 ? hostBytes : Number.MAX_SAFE_INTEGER, memoryBytes * 4);
	return Math.max(memoryBytes, Math.floor(ceiling / (128 * MiB)) * 128 * MiB);
}

export const defaultAutostart = { enabled: false, order: 100, delayMs: 0 };
