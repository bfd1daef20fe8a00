/**
 * One-use console tickets: good for 30 s, once, and on this node only. Kept in memory as hashes; bounded in total and
 * for each credential, so that nobody can fill the table.
 */
import type { Identity } from "../auth/identity.ts";
import type { Clock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { type Random, randomSecret } from "../lib/random.ts";

export const ticketLifetimeMs = 30_000;
const maxTickets = 1024;
const maxTicketsPerOwner = 32;

export type ConsoleType = "vnc" | "serial";
/** `browser` tickets need our own Origin at the upgrade; `native` ones (CLI, qvmrc) send none. */
export type TicketKind = "browser" | "native";

export type TicketGrant = {
	vmId: string;
	type: ConsoleType;
	kind: TicketKind;
	viewOnly: boolean;
	/** Who asked. The console closes when the credential is revoked. */
	identity: Identity;
};

type Entry = TicketGrant & { expiresAtMonotonicMs: number };

export class TicketTable {
	readonly #entries = new Map<string, Entry>();
	readonly #clock: Clock;
	readonly #random: Random;

	constructor(clock: Clock, random: Random) {
		this.#clock = clock;
		this.#random = random;
	}

	/** @throws AppError `too-many-requests` when this owner, or everybody together, holds too many. */
	issue(grant: TicketGrant): { ticket: string; expiresAtMs: number } {
		this.#dropExpired();
		const owned = [...this.#entries.values()].filter(
			(entry) => entry.identity.credential?.id === grant.identity.credential?.id,
		).length;
		if (owned >= maxTicketsPerOwner || this.#entries.size >= maxTickets)
			throw new AppError("too-many-requests", "Too many console tickets are waiting to be used.", {
				retryAfterMs: ticketLifetimeMs,
			});
		const ticket = randomSecret(this.#random);
		this.#entries.set(digest(ticket), { ...grant, expiresAtMonotonicMs: this.#clock.monotonicMs() + ticketLifetimeMs });
		return { ticket, expiresAtMs: this.#clock.nowMs() + ticketLifetimeMs };
	}

	/** What the ticket grants, taking it out of the table; null when it is unknown, used or too old. */
	redeem(ticket: string): TicketGrant | null {
		this.#dropExpired();
		const key = digest(ticket);
		const entry = this.#entries.get(key);
		if (!entry) return null;
		this.#entries.delete(key);
		const { expiresAtMonotonicMs: _, ...grant } = entry;
		return grant;
	}

	/** Drops what was issued with this identity's credential. */
	revoke(identity: Identity): void {
		for (const [key, entry] of this.#entries)
			if (entry.identity.credential?.id === identity.credential?.id) this.#entries.delete(key);
	}

	#dropExpired(): void {
		const now = this.#clock.monotonicMs();
		for (const [key, entry] of this.#entries) if (entry.expiresAtMonotonicMs <= now) this.#entries.delete(key);
	}
}

const digest = (ticket: string): string => new Bun.CryptoHasher("sha256").update(ticket).digest("hex");
