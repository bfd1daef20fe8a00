/**
 * MAC addresses of NICs: `52:4c`, locally administered (IEEE 802 bit U/L set) and unicast, and four random octets.
 * 32 random bits keep clusters that share a segment apart as well; within the cluster the store is asked.
 */
import { AppError } from "../../lib/errors.ts";
import type { Random } from "../../lib/random.ts";

const attempts = 64;

/** A free address; `taken` says which are in use. Fails with `unavailable` after 64 collisions. */
export function allocateMac(random: Random, taken: (mac: string) => boolean): string {
	for (let attempt = 0; attempt < attempts; attempt++) {
		const octets = [0x52, 0x4c, ...random.bytes(4)];
		const mac = octets.map((octet) => octet.toString(16).padStart(2, "0")).join(":");
		if (!taken(mac)) return mac;
	}
	throw new AppError("unavailable", "No free MAC address was found.", { retryAfterMs: 1000 });
}
