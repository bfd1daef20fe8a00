/**
 * Whether the disk has room for what makes the cluster larger (disk-reserve.ts). A leader asks before it proposes: what is
 * proposed goes to others at once, and cannot be taken back when this disk then refuses it.
 */
import type { Clock } from "../../lib/clock.ts";
import type { RaftDisk } from "./disk.ts";

/** The disk does not fill up faster than the rest of the reserve allows. */
const knownMs = 100;

export class SpaceToGrow {
	readonly #disk: RaftDisk;
	readonly #clock: Clock;
	#asking: Promise<boolean> | null = null;
	#knownUntilMs = Number.NEGATIVE_INFINITY;

	constructor(disk: RaftDisk, clock: Clock) {
		this.#disk = disk;
		this.#clock = clock;
	}

	/** There was enough a moment ago. */
	get known(): boolean {
		return this.#clock.monotonicMs() < this.#knownUntilMs;
	}

	/** Who asks meanwhile gets the same answer. */
	ask(): Promise<boolean> {
		this.#asking ??= this.#ask();
		return this.#asking;
	}

	async #ask(): Promise<boolean> {
		try {
			const space = await this.#disk.hasSpaceToGrow();
			if (space) this.#knownUntilMs = this.#clock.monotonicMs() + knownMs;
			return space;
		} finally {
			this.#asking = null;
		}
	}
}
