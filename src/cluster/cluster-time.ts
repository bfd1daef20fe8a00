/**
 * The time that most members agree on, as this node hears their clocks. Who may still do what is judged by it, and what this node
 * writes down carries it, so that a node whose clock is off does neither by a wrong one. While no majority agrees (two nodes, one
 * alone) it is this node's own clock, which nobody can say is wrong. Why so: docs/decisions/0049-wrong-clocks.md.
 *
 * A node that is cut off goes on by what was agreed on before, if its own clock was off then and has not been set since.
 *
 * There is one verdict at a time: the log, the status and what time it is go by the same.
 */
import type { Clock, Timer } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import {
	type ClockBasis,
	type ClockReading,
	type ClockVerdict,
	clockRightMs,
	judgeClocks,
} from "../model/clock-rules.ts";
import type { PeerStatus } from "../peer/peer.ts";

type Links = readonly { nodeId: string; link: Pick<PeerStatus["link"], "clock"> }[];
type Peers = { status(): Links };

/** It is asked for with each request, and the answers to pings come four times a second. */
const lookMs = 250;
/** The own clock was set: the verdict was on another one. */
const setByMs = 100;
/** With fewer members there is no majority to be cut off from. */
const fewestOthers = 2;

type HostClock = Pick<Clock, "nowMs" | "monotonicMs">;

export class ClusterTime implements Clock {
	readonly #clock: Clock;
	readonly #logger: Logger;
	#nodeId = "";
	#peers: Peers | null = null;
	#verdict: ClockVerdict = judgeClocks("", []);
	#lookedAtMs = Number.NEGATIVE_INFINITY;
	/** Then: how far this node's own clock was ahead of the monotonic one. */
	#ownAtZeroMs = 0;
	readonly #slept: () => number;
	#sleptMs: number;
	/** By the monotonic clock, which stood still before. */
	#awakeSinceMs = Number.NEGATIVE_INFINITY;
	/** What was agreed on last, by how much it is ahead of the monotonic clock, and how far the own one was; null unless that was off. */
	#kept: { wallAtZeroMs: number; ownAtZeroMs: number } | null = null;
	/** Who is off, and who was when it was last heard. */
	#off: ReadonlySet<string> = new Set();
	#said: { off: string; basis: ClockBasis } = { off: "", basis: "none" };

	/** `clock`: of this host. `slept`: for how many milliseconds it slept since some time or other (lib/host-sleep.ts). */
	constructor(clock: Clock, logger: Logger, slept: () => number = () => 0) {
		this.#clock = clock;
		this.#logger = logger;
		this.#slept = slept;
		this.#sleptMs = slept();
	}

	/** Before there are any, this node's own clock is all there is. */
	usePeers(nodeId: string, peers: Peers): void {
		this.#nodeId = nodeId;
		this.#peers = peers;
		this.#lookedAtMs = Number.NEGATIVE_INFINITY;
	}

	nowMs(): number {
		const { agreedMs, off } = this.verdict();
		if (agreedMs === null || !off.includes(this.#nodeId)) return this.#clock.nowMs();
		return this.#ownAtZeroMs + agreedMs + this.#clock.monotonicMs();
	}

	monotonicMs(): number {
		return this.#clock.monotonicMs();
	}

	schedule(delayMs: number, callback: () => void): Timer {
		return this.#clock.schedule(delayMs, callback);
	}

	verdict(): ClockVerdict {
		const atMs = this.#clock.monotonicMs();
		const isSet = Math.abs(this.#clock.nowMs() - atMs - this.#ownAtZeroMs) > setByMs;
		if (isSet) this.#wakeUp(atMs);
		if (isSet || atMs - this.#lookedAtMs >= lookMs) this.#look(atMs);
		return this.#verdict;
	}

	/** A host that slept seems to have been set ahead: what was heard before, by a monotonic clock that stood still since, is of no use. */
	#wakeUp(atMs: number): void {
		const sleptMs = this.#slept() - this.#sleptMs;
		if (sleptMs < clockRightMs) return;
		this.#sleptMs += sleptMs;
		this.#awakeSinceMs = atMs;
		if (this.#kept === null) return;
		const { wallAtZeroMs, ownAtZeroMs } = this.#kept;
		this.#kept = { wallAtZeroMs: wallAtZeroMs + sleptMs, ownAtZeroMs: ownAtZeroMs + sleptMs };
	}

	/** Whose clock is off, in the log: once, and when it is another, or nobody's any more. `nameOf`: a node's. */
	sayWhatIsOff(nameOf: (nodeId: string) => string): void {
		const { off, aheadMs, basis } = this.verdict();
		// Who is not heard now has not been set right for that.
		const ids = [...this.#off].sort().join();
		const before = this.#said;
		const isKept = basis === "kept";
		if (ids === before.off && isKept === (before.basis === "kept")) return;
		this.#said = { off: ids, basis };
		const aheadBySeconds = Object.fromEntries(off.map((id) => [nameOf(id), Math.round(aheadMs.get(id) ?? 0) / 1_000]));
		if (ids === "") this.#logger.info(aheadMs.size > 1 ? "the clocks of all members agree again" : goesByOwn, {});
		else if (off.length > 0)
			this.#logger.warn(`${found[basis]}: let an NTP client keep them right`, { aheadBySeconds });
	}

	#look(atMs: number): void {
		this.#lookedAtMs = atMs;
		const links = this.#peers?.status() ?? [];
		const ownAtZeroMs = wallAtZeroMs(this.#clock);
		this.#ownAtZeroMs = ownAtZeroMs;
		const kept = this.#kept;
		const mayKeep =
			kept !== null && links.length >= fewestOthers && Math.abs(ownAtZeroMs - kept.ownAtZeroMs) < clockRightMs;
		const verdict = judgeClocks(this.#nodeId, readingsOf(links, ownAtZeroMs, this.#awakeSinceMs), {
			off: this.#off,
			keptMs: mayKeep ? kept.wallAtZeroMs - ownAtZeroMs : null,
		});
		const { agreedMs, off, basis, aheadMs } = verdict;
		this.#verdict = verdict;
		const unheard = links.flatMap(({ nodeId }) => (aheadMs.has(nodeId) || !this.#off.has(nodeId) ? [] : [nodeId]));
		this.#off = new Set([...off, ...unheard]);
		if (agreedMs === null || !off.includes(this.#nodeId)) this.#kept = null;
		else if (basis === "majority") this.#kept = { wallAtZeroMs: ownAtZeroMs + agreedMs, ownAtZeroMs };
	}
}

const found: Readonly<Record<ClockBasis, string>> = {
	majority: "clocks of members are off",
	kept: "no majority is heard any more, and this node goes on by the time of then, since its own clock was off",
	none: "clocks of members differ, and which is right is not known here",
};

const goesByOwn = "this node goes by its own clock again, and hears none that it could be held against";

/** What the clock said when the monotonic one was 0. What comes between the two readings is no difference of theirs. */
function wallAtZeroMs(clock: HostClock): number {
	let best = { tookMs: Number.POSITIVE_INFINITY, atZeroMs: 0 };
	for (let reading = 0; reading < 3 && best.tookMs > 1; reading++) {
		const beforeMs = clock.monotonicMs();
		const wallMs = clock.nowMs();
		const tookMs = clock.monotonicMs() - beforeMs;
		if (tookMs < best.tookMs) best = { tookMs, atZeroMs: wallMs - (beforeMs + tookMs / 2) };
	}
	return best.atZeroMs;
}

/** How far the clocks of the others are ahead of this node's. */
const readingsOf = (links: Links, ownAtZeroMs: number, sinceMs: number): ClockReading[] =>
	links.flatMap(({ nodeId, link: { clock } }) =>
		clock && clock.sentAtMs > sinceMs
			? [{ nodeId, offsetMs: clock.wallAtZeroMs - ownAtZeroMs, errorMs: clock.errorMs }]
			: [],
	);
