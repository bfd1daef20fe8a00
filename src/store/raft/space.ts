/**
 * Whether the disk of this node's log has room, and for what (disk-reserve.ts). A leader asks before it proposes: what is
 * proposed goes to others at once, and cannot be taken back when this disk then refuses it.
 */
import type { Clock } from "../../lib/clock.ts";
import type { Urgency } from "../disk-reserve.ts";
import type { RaftDisk } from "./disk.ts";

/** "none" is also what is left for votes. */
export type Room = "growing" | "essential" | "none";

/** The disk does not fill up faster than the reserve allows. */
const knownMs = 100;

export class Space {
	readonly #disk: RaftDisk;
	readonly #clock: Clock;
	#asking: Promise<Room> | null = null;
	#known: Room = "none";
	#knownUntilMs = Number.NEGATIVE_INFINITY;

	constructor(disk: RaftDisk, clock: Clock) {
		this.#disk = disk;
		this.#clock = clock;
	}

	/** There was enough a moment ago. */
	knownFor(urgency: Urgency): boolean {
		return isEnough(this.#known, urgency) && this.#clock.monotonicMs() < this.#knownUntilMs;
	}

	/** Who asks meanwhile gets the same answer. */
	async askFor(urgency: Urgency): Promise<boolean> {
		this.#asking ??= this.#ask();
		return isEnough(await this.#asking, urgency);
	}

	/** What was known is not true any more. */
	forget(): void {
		this.#known = "none";
	}

	async #ask(): Promise<Room> {
		try {
			this.#known = await this.#disk.room();
			this.#knownUntilMs = this.#clock.monotonicMs() + knownMs;
			return this.#known;
		} finally {
			this.#asking = null;
		}
	}
}

const isEnough = (room: Room, urgency: Urgency): boolean =>
	room === "growing" || (room === "essential" && urgency === "essential");
