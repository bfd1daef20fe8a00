import { expect, test } from "bun:test";
import { localIdentity } from "../auth/identity.ts";
import type { Clock } from "../lib/clock.ts";
import { systemRandom } from "../lib/random.ts";
import { type TicketGrant, TicketTable, ticketLifetimeMs } from "./tickets.ts";

const grant = (credentialId: string): TicketGrant => ({
	vmId: "vm-1",
	type: "vnc",
	kind: "browser",
	viewOnly: false,
	identity: { ...localIdentity, credential: { kind: "session", id: credentialId } },
});

function table() {
	let now = 0;
	const clock: Clock = { nowMs: () => 1_000_000 - now, monotonicMs: () => now, schedule: () => ({ cancel() {} }) };
	return { tickets: new TicketTable(clock, systemRandom), advance: (ms: number) => (now += ms) };
}

test("a ticket is good once", () => {
	const { tickets } = table();
	const { ticket } = tickets.issue(grant("a"));
	expect(ticket.length).toBe(43);
	expect(tickets.redeem(ticket)).toEqual(grant("a"));
	expect(tickets.redeem(ticket)).toBeNull();
	expect(tickets.redeem("made up")).toBeNull();
});

test("a ticket ends after its time, whatever the wall clock does", () => {
	const { tickets, advance } = table();
	const { ticket } = tickets.issue(grant("a"));
	advance(ticketLifetimeMs - 1);
	const second = tickets.issue(grant("a")).ticket;
	advance(1);
	expect(tickets.redeem(ticket)).toBeNull();
	expect(tickets.redeem(second)).not.toBeNull();
});

test("a revoked session takes its tickets along", () => {
	const { tickets } = table();
	const mine = tickets.issue(grant("a")).ticket;
	const other = tickets.issue(grant("b")).ticket;
	tickets.revoke(grant("a").identity);
	expect(tickets.redeem(mine)).toBeNull();
	expect(tickets.redeem(other)).not.toBeNull();
});

test("one session cannot hold more than 32", () => {
	const { tickets, advance } = table();
	for (let i = 0; i < 32; i++) tickets.issue(grant("a"));
	expect(() => tickets.issue(grant("a"))).toThrow("Too many console tickets");
	tickets.issue(grant("b"));
	advance(ticketLifetimeMs);
	tickets.issue(grant("a"));
});
