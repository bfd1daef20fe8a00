/**
 * The time that most members agree on, as this node hears their clocks. Who may still do what is judged by it, and what this node
 * writes down carries it, so that a node whose clock is off does neither by a wrong one. While no majority agrees (two nodes, one
 * alone) it is this node's own clock, which nobody can say is wrong. Why so: docs/decisions/0049-wrong-clocks.md.
 *
 * A node that is cut off goes on by what was agreed on before, where its own clock is behind that.
 */
import type { Clock, Timer } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import { type ClockReading, type ClockVerdict, clockLimitMs, judgeClocks } from "../model/clock-rules.ts";
import type { PeerStatus } from "../peer/peer.ts";

type Links = readonly { nodeId: string; link: Pick<PeerStatus["link"], "clock"> }[];
type Peers = { status(): Links };

/** It is asked for with each request, and the answers to pings come four times a second. */
const lookMs = 250;

export class ClusterTime implements Clock {
	readonly #clock: Clock;
	readonly #logger: Logger;
	#nodeId = "";
	#peers: Peers | null = null;
	/** What was agreed on last: by how much that time is ahead of the monotonic clock. */
	#agreed: { wallAtZeroMs: number; fresh: boolean } | null = null;
	#lookedAtMs = Number.NEGATIVE_INFINITY;
	#saidOff: string | null = null;

	/** `clock`: of this host. */
	constructor(clock: Clock, logger: Logger) {
		this.#clock = clock;
		this.#logger = logger;
	}

	/** Before there are any, this node's own clock is all there is. */
	usePeers(nodeId: string, peers: Peers): void {
		this.#nodeId = nodeId;
		this.#peers = peers;
		this.#lookedAtMs = Number.NEGATIVE_INFINITY;
	}

	nowMs(): number {
		const ownMs = this.#clock.nowMs();
		const atMs = this.#clock.monotonicMs();
		if (atMs - this.#lookedAtMs >= lookMs) this.#look(atMs);
		if (this.#agreed === null) return ownMs;
		const { wallAtZeroMs, fresh } = this.#agreed;
		const agreedMs = wallAtZeroMs + atMs;
		if (!fresh) return Math.max(ownMs, agreedMs);
		return Math.abs(ownMs - agreedMs) > clockLimitMs ? agreedMs : ownMs;
	}

	monotonicMs(): number {
		return this.#clock.monotonicMs();
	}

	schedule(delayMs: number, callback: () => void): Timer {
		return this.#clock.schedule(delayMs, callback);
	}

	verdict(): ClockVerdict {
		return judgeClocks(this.#nodeId, readingsOf(this.#peers?.status() ?? [], this.#clock));
	}

	/** Whose clock is off, in the log: once, and when it is another, or nobody's any more. `nameOf`: a node's. */
	sayWhatIsOff(nameOf: (nodeId: string) => string): void {
		const { off, aheadMs } = this.verdict();
		const ids = [...off].sort().join();
		const before = this.#saidOff;
		if (ids === (before ?? "")) return;
		this.#saidOff = ids;
		const aheadBySeconds = Object.fromEntries(off.map((id) => [nameOf(id), Math.round(aheadMs.get(id) ?? 0) / 1_000]));
		if (ids === "") this.#logger.info("the clocks of all members agree again", {});
		else this.#logger.warn("clocks of members are off: let an NTP client keep them right", { aheadBySeconds });
	}

	#look(atMs: number): void {
		this.#lookedAtMs = atMs;
		const { agreedMs } = this.verdict();
		if (agreedMs !== null) {
			const wallAtZeroMs = this.#clock.nowMs() - this.#clock.monotonicMs() + agreedMs;
			this.#agreed = { wallAtZeroMs, fresh: true };
		} else if (this.#agreed !== null) this.#agreed = { ...this.#agreed, fresh: false };
	}
}

/** How far the clocks of the others are ahead of `clock` now. */
function readingsOf(links: Links, clock: Pick<Clock, "nowMs" | "monotonicMs">): ClockReading[] {
	const ownAtZeroMs = clock.nowMs() - clock.monotonicMs();
	return links.flatMap(({ nodeId, link }) => {
		if (!link.clock) return [];
		const { wallAtZeroMs, errorMs } = link.clock;
		return [{ nodeId, offsetMs: wallAtZeroMs - ownAtZeroMs, errorMs }];
	});
}
