/**
 * Whether the disk of this node's log has room, and for what (disk-reserve.ts). A leader asks before it proposes: what is
 * proposed goes to others at once, and cannot be taken back when this disk then refuses it.
 *
 * A disk that does not answer is taken for what it last was: only what is proposed shows the core that it hangs, and that
 * somebody else should lead.
 */
import type { Clock } from "../../lib/clock.ts";
import { KiB } from "../../lib/units.ts";
import { keptFreeBytes, type Urgency } from "../disk-reserve.ts";
import type { RaftDisk } from "./disk.ts";

/** "none" is also what is left for votes. */
export type Room = "growing" | "essential" | "none";

/** What is known of the disk is good for so long, and for so many proposals as take what is between two sorts of them. */
const knownMs = 100;
/** A write that is under way is waited for, but not for ever. */
const patienceMs = 500;
/** What one takes in the log and, with all its pages, beside the database. */
const proposalBytes = 64 * KiB;

export class Space {
	readonly #disk: RaftDisk;
	readonly #clock: Clock;
	#asking: Promise<Room> | null = null;
	#known: Room = "none";
	#last: Room = "growing";
	#knownUntilMs = Number.NEGATIVE_INFINITY;
	readonly #knownProposals: number;
	#proposalsLeft = 0;

	constructor(disk: RaftDisk, clock: Clock) {
		this.#disk = disk;
		this.#clock = clock;
		const { reserveBytes } = disk;
		const between = keptFreeBytes("growing", reserveBytes) - keptFreeBytes("essential", reserveBytes);
		this.#knownProposals = between > 0 ? Math.ceil(between / proposalBytes) : Number.POSITIVE_INFINITY;
	}

	/** There was enough a moment ago, for one more. */
	knownFor(urgency: Urgency): boolean {
		if (!isEnough(this.#known, urgency) || this.#clock.monotonicMs() >= this.#knownUntilMs) return false;
		this.#proposalsLeft -= 1;
		return this.#proposalsLeft >= 0;
	}

	/** Who asks meanwhile gets the same answer, at once if that took too long. */
	async askFor(urgency: Urgency): Promise<boolean> {
		this.#asking ??= this.#ask();
		return isEnough(await this.#asking, urgency);
	}

	/** What was known is not true any more. */
	forget(): void {
		this.#known = "none";
	}

	#ask(): Promise<Room> {
		const { promise, resolve, reject } = Promise.withResolvers<Room>();
		const patience = this.#clock.schedule(patienceMs, () => resolve(this.#last));
		const done = (): void => {
			patience.cancel();
			this.#asking = null;
		};
		this.#disk.room().then(
			(room) => {
				done();
				this.#last = room;
				this.#known = room;
				this.#knownUntilMs = this.#clock.monotonicMs() + knownMs;
				this.#proposalsLeft = this.#knownProposals;
				resolve(room);
			},
			(error) => {
				done();
				reject(error);
			},
		);
		return promise;
	}
}

const isEnough = (room: Room, urgency: Urgency): boolean =>
	room === "growing" || (room === "essential" && urgency === "essential");
