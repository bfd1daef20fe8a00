/**
 * What the wall clock of another node says, from its answers to pings: what it said in the middle of a round trip, give or take
 * half of that (RFC 5905, 8 and 10). Held against this node's monotonic clock: this node's own wall clock may be set meanwhile. Pure.
 */

export type PeerClock = {
	/** What it said when this node's monotonic clock was 0. */
	wallAtZeroMs: number;
	/** By how much that may be wrong. */
	errorMs: number;
	/** When it was asked, by the monotonic clock. */
	sentAtMs: number;
};
export type PingTimes = { sentAtMs: number; answeredAtMs: number; wallMs: number };

/** Of the last of these the quickest answer counts: what was slow waited somewhere, and nobody knows on which way. */
const kept = 8;
/** Clocks that are kept right are slowed down and hurried by up to 500 ppm. */
const driftMs = 20;
const roundingMs = 1;

export class ClockFilter {
	#samples: PeerClock[] = [];

	add({ sentAtMs, answeredAtMs, wallMs }: PingTimes): void {
		const halfMs = Math.max(0, answeredAtMs - sentAtMs) / 2;
		const sample = { wallAtZeroMs: wallMs - (sentAtMs + halfMs), errorMs: halfMs + roundingMs, sentAtMs };
		// The clock there was set: what it said before is of no use.
		const before = this.#samples.filter((other) => agrees(sample, other));
		this.#samples = [...before, sample].slice(-kept);
	}

	/** Null before there was an answer that said the time. */
	get best(): PeerClock | null {
		const [first, ...others] = this.#samples;
		if (first === undefined) return null;
		return others.reduce((best, sample) => (sample.errorMs <= best.errorMs ? sample : best), first);
	}
}

const agrees = (a: PeerClock, b: PeerClock): boolean =>
	Math.abs(a.wallAtZeroMs - b.wallAtZeroMs) <= a.errorMs + b.errorMs + driftMs;
