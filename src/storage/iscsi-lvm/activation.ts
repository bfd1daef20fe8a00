/**
 * Which logical volumes are active on this node, and for whom: for a VM (`pin`, until its volume is closed), or for as long as an
 * operation takes (`use`). A disk that is written to is active exclusively, what it rests on shared, for other nodes may have disks that
 * rest on it, too. A change waits for the one before it, so nobody takes away what another has just asked for.
 *
 * The disk of a running VM becomes a layer when a snapshot is taken. Its exclusive lock is not lowered with that: until QEMU has gone
 * over to the new disk, it is the disk. `lower` does it, when the caller has seen that it has.
 */
import { isAppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { VolumeGroup } from "./group.ts";

export type Mode = "exclusive" | "shared";
export type Wanted = { lv: string; mode: Mode };

type Group = Pick<VolumeGroup, "activate" | "deactivate" | "hasLocks">;
type Entry = {
	/** Of the lock that this node has; null when that is not known: it was active before this process began. */
	mode: Mode | null;
	/** Operations that use it now. */
	uses: Record<Mode, number>;
	/** Ids of volumes that are open on this node and need it, and how. */
	pins: Map<string, Mode>;
};

const isIdle = ({ uses, pins }: Entry): boolean => uses.exclusive + uses.shared + pins.size === 0;
const isWrittenTo = ({ uses, pins }: Entry): boolean => uses.exclusive > 0 || [...pins.values()].includes("exclusive");

export class Activation {
	readonly #group: Group;
	readonly #log: Logger;
	readonly #entries = new Map<string, Entry>();
	#last: Promise<unknown> = Promise.resolve();

	constructor(group: Group, log: Logger) {
		this.#group = group;
		this.#log = log;
	}

	/** Active before this process began. In which mode is asked for anew when it matters. */
	found(lv: string): void {
		if (!this.#entries.has(lv)) this.#entries.set(lv, newEntry(null));
	}

	/** Nothing is known any more: the group was deactivated. */
	forget(): void {
		this.#entries.clear();
	}

	/**
	 * By what is open here, or is to be, and by operations; `but`: what it is used for by whoever asks, who has it once. `isAway`: the LUN is,
	 * so that nothing can be closed; what is open in truth, only the kernel knows.
	 */
	isUsed(but: string | null, { isAway = false } = {}): "open" | "operation" | null {
		let used: "operation" | null = null;
		for (const [lv, { uses, pins }] of this.#entries) {
			if (pins.size > 0 && !isAway) return "open";
			if (uses.exclusive + uses.shared > (lv === but ? 1 : 0)) used = "operation";
		}
		return used;
	}

	isPinned = (volumeId: string): boolean => [...this.#entries.values()].some(({ pins }) => pins.has(volumeId));
	inUse = (lv: string): boolean => {
		const entry = this.#entries.get(lv);
		return entry !== undefined && !isIdle(entry);
	};
	isUsedByOperation = (lv: string): boolean => {
		const { exclusive, shared } = this.#entries.get(lv)?.uses ?? { exclusive: 0, shared: 0 };
		return exclusive + shared > 0;
	};

	/** What this node has exclusively, or may have, though everybody here only reads it. Nothing where a group has no locks. */
	lowerable(): string[] {
		if (!this.#group.hasLocks) return [];
		const isHigh = (entry: Entry) => entry.mode !== "shared" && !isIdle(entry) && !isWrittenTo(entry);
		return [...this.#entries].filter(([, entry]) => isHigh(entry)).map(([lv]) => lv);
	}

	/** From here on other nodes may read it, too. */
	lower(lv: string): Promise<void> {
		return this.#inTurn(async () => {
			const entry = this.#entries.get(lv);
			if (!entry || !this.lowerable().includes(lv)) return;
			await this.#group.activate(lv, "shared");
			entry.mode = "shared";
		});
	}

	/** Active while `work` runs; as before afterwards. */
	async use<T>(wanted: readonly Wanted[], work: () => Promise<T>): Promise<T> {
		const held: Wanted[] = [];
		try {
			// What is rested upon first: a disk that opens without it would be of no use.
			for (const { lv, mode } of [...wanted].reverse()) {
				await this.#inTurn(() => this.#activate(lv, mode, (entry) => (entry.uses[mode] += 1)));
				held.push({ lv, mode });
			}
			return await work();
		} finally {
			for (const { lv, mode } of held.reverse())
				await this.#inTurn(async () => {
					const entry = this.#entries.get(lv);
					if (!entry) return;
					entry.uses[mode] -= 1;
					await this.#deactivateIfIdle(lv, entry);
				});
		}
	}

	/** For a volume that is opened: all or nothing. Again, when its disks are others by now: as it needs them then. */
	pin(volumeId: string, wanted: readonly Wanted[]): Promise<void> {
		return this.#inTurn(async () => {
			const before = new Map(
				[...this.#entries].flatMap(([lv, { pins }]): [string, Mode][] => {
					const mode = pins.get(volumeId);
					return mode === undefined ? [] : [[lv, mode]];
				}),
			);
			try {
				for (const { lv, mode } of [...wanted].reverse())
					await this.#activate(lv, mode, (entry) => entry.pins.set(volumeId, mode));
			} catch (error) {
				for (const [lv, mode] of before) this.#entries.get(lv)?.pins.set(volumeId, mode);
				await this.#unpin(volumeId, new Set(before.keys())).catch(() => {});
				throw error;
			}
		});
	}

	/** Without asking LVM: it is active already. */
	pinFound(volumeId: string, wanted: readonly Wanted[]): void {
		for (const { lv, mode } of wanted) {
			this.found(lv);
			this.#entries.get(lv)?.pins.set(volumeId, mode);
		}
	}

	/** The volume is closed, but for `keep`. Fails with `in-use` while a process has one of its disks open. */
	unpin(volumeId: string, keep: ReadonlySet<string> = new Set()): Promise<void> {
		return this.#inTurn(() => this.#unpin(volumeId, keep));
	}

	async #unpin(volumeId: string, keep: ReadonlySet<string>): Promise<void> {
		for (const [lv, entry] of [...this.#entries]) {
			const mode = entry.pins.get(volumeId);
			if (mode === undefined || keep.has(lv)) continue;
			entry.pins.delete(volumeId);
			try {
				await this.#deactivateIfIdle(lv, entry, true);
			} catch (error) {
				entry.pins.set(volumeId, mode);
				throw error;
			}
		}
	}

	/** Of what nobody uses: `in-use` when somebody has it open all the same. */
	release(lv: string): Promise<void> {
		return this.#inTurn(async () => {
			const entry = this.#entries.get(lv);
			if (entry) await this.#deactivateIfIdle(lv, entry, true);
		});
	}

	async #activate(lv: string, mode: Mode, then: (entry: Entry) => void): Promise<void> {
		const entry = this.#entries.get(lv);
		const raise = entry !== undefined && entry.mode !== "exclusive" && mode === "exclusive";
		if (raise && isIdle(entry)) await this.#group.deactivate(lv);
		if (!entry || raise) await this.#group.activate(lv, mode);
		const now = entry ?? newEntry(mode);
		if (mode === "exclusive") now.mode = "exclusive";
		this.#entries.set(lv, now);
		then(now);
	}

	async #deactivateIfIdle(lv: string, entry: Entry, strict = false): Promise<void> {
		if (!isIdle(entry)) return;
		try {
			await this.#group.deactivate(lv);
			this.#entries.delete(lv);
		} catch (error) {
			if (isAppError(error, "not-found")) {
				this.#entries.delete(lv);
				return;
			}
			if (strict) throw error;
			this.#log.warn("A logical volume stays active", { lv, error });
		}
	}

	#inTurn<T>(work: () => Promise<T>): Promise<T> {
		const result = this.#last.then(work);
		this.#last = result.catch(() => {});
		return result;
	}
}

const newEntry = (mode: Mode | null): Entry => ({ mode, uses: { exclusive: 0, shared: 0 }, pins: new Map() });
