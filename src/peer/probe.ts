/**
 * Is a node reached at an address that somebody has said? Looks who listens there, by the certificate that it shows, and says
 * nothing itself. For words and warnings: what the certificate claims is not checked.
 */
import type { Clock } from "../lib/clock.ts";
import { type Address, formatAddress } from "./address.ts";
import { connectTls, shownChain } from "./tls.ts";
import { claimsOf } from "./trust.ts";
import { cutOffBy, silent, unreached } from "./unreached.ts";

/** An answer comes back in milliseconds, or a firewall swallows what was sent. */
const limitMs = 3_000;

/** Null as soon as the node is found at one of them; else why it is at none, in words that name each. */
export async function probe(
	addresses: readonly Address[],
	nodeId: string,
	clock: Clock,
	timeoutMs = limitMs,
): Promise<string | null> {
	if (addresses.length === 0) return "No address is known.";
	const { promise: found, resolve } = Promise.withResolvers<null>();
	const problems = Promise.all(
		addresses.map(async (address) => {
			const problem = await probeOne(address, nodeId, clock, timeoutMs);
			if (problem === null) resolve(null);
			return problem;
		}),
	);
	return Promise.race([found, problems.then((all) => (all.includes(null) ? null : all.join(" ")))]);
}

function probeOne(address: Address, nodeId: string, clock: Clock, timeoutMs: number): Promise<string | null> {
	return new Promise((resolve) => {
		const socket = connectTls(address, null, () => settle(whoIsThere()));
		const settle = (problem: string | null) => {
			timer.cancel();
			socket.destroy();
			resolve(problem);
		};
		const timer = clock.schedule(timeoutMs, () => settle(silent(address, timeoutMs).message));
		// It stays for errors that come after the answer.
		socket.on("error", (error) => settle(unreached(address, error).message));
		socket.on("close", () => settle(cutOffBy(address).message));

		const whoIsThere = () => {
			const claims = claimsOf(shownChain(socket)[0] ?? null);
			if (claims?.nodeId === nodeId) return null;
			const who = claims === null ? "Something that is no node" : "Another node";
			return `${who} is at ${formatAddress(address)}.`;
		};
	});
}
