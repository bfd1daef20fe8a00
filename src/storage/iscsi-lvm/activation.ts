/**
 * Which logical volumes are active on this node, and for whom: for a VM (`pin`, until its volume is closed), or for as long as an
 * operation takes (`use`). A disk that is written to is active exclusively, what it rests on shared. A change waits for the one
 * before it, so nobody takes away what another has just asked for.
 */
import { isAppError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { VolumeGroup } from "./group.ts";

export type Mode = "exclusive" | "shared";
export type Wanted = { lv: string; mode: Mode };

type Entry = {
	mode: Mode;
	/** Operations that use it now. */
	uses: number;
	/** Ids of volumes that are open on this node and need it. */
	pins: Set<string>;
};

export class Activation {
	readonly #group: VolumeGroup;
	readonly #log: Logger;
	readonly #entries = new Map<string, Entry>();
	#last: Promise<unknown> = Promise.resolve();

	constructor(group: VolumeGroup, log: Logger) {
		this.#group = group;
		this.#log = log;
	}

	/** Active before this process began. In which mode is asked for anew when it matters. */
	found(lv: string): void {
		if (!this.#entries.has(lv)) this.#entries.set(lv, { mode: "shared", uses: 0, pins: new Set() });
	}

	/** Nothing is known any more: the group was deactivated. */
	forget(): void {
		this.#entries.clear();
	}

	isPinned = (volumeId: string): boolean => [...this.#entries.values()].some(({ pins }) => pins.has(volumeId));
	inUse = (lv: string): boolean => {
		const entry = this.#entries.get(lv);
		return entry !== undefined && entry.uses + entry.pins.size > 0;
	};
	isUsedByOperation = (lv: string): boolean => (this.#entries.get(lv)?.uses ?? 0) > 0;

	/** Active while `work` runs; as before afterwards. */
	async use<T>(wanted: readonly Wanted[], work: () => Promise<T>): Promise<T> {
		const held: string[] = [];
		try {
			// What is rested upon first: a disk that opens without it would be of no use.
			for (const { lv, mode } of [...wanted].reverse()) {
				await this.#inTurn(() => this.#activate(lv, mode, (entry) => (entry.uses += 1)));
				held.push(lv);
			}
			return await work();
		} finally {
			for (const lv of held.reverse())
				await this.#inTurn(async () => {
					const entry = this.#entries.get(lv);
					if (!entry) return;
					entry.uses -= 1;
					await this.#deactivateIfIdle(lv, entry);
				});
		}
	}

	/** For a volume that is opened: all or nothing. */
	pin(volumeId: string, wanted: readonly Wanted[]): Promise<void> {
		return this.#inTurn(async () => {
			const before = new Set([...this.#entries].filter(([, { pins }]) => pins.has(volumeId)).map(([lv]) => lv));
			try {
				for (const { lv, mode } of [...wanted].reverse())
					await this.#activate(lv, mode, (entry) => entry.pins.add(volumeId));
			} catch (error) {
				await this.#unpin(volumeId, before).catch(() => {});
				throw error;
			}
		});
	}

	/** Without asking LVM: it is active already. */
	pinFound(volumeId: string, lvs: readonly string[]): void {
		for (const lv of lvs) {
			this.found(lv);
			this.#entries.get(lv)?.pins.add(volumeId);
		}
	}

	/** The volume is closed, but for `keep`. Fails with `in-use` while a process has one of its disks open. */
	unpin(volumeId: string, keep: ReadonlySet<string> = new Set()): Promise<void> {
		return this.#inTurn(() => this.#unpin(volumeId, keep));
	}

	async #unpin(volumeId: string, keep: ReadonlySet<string>): Promise<void> {
		for (const [lv, entry] of [...this.#entries]) {
			if (!entry.pins.has(volumeId) || keep.has(lv)) continue;
			entry.pins.delete(volumeId);
			try {
				await this.#deactivateIfIdle(lv, entry, true);
			} catch (error) {
				entry.pins.add(volumeId);
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
		const upgrade = entry?.mode === "shared" && mode === "exclusive";
		// lvmlockd changes no lock that it has given: shared becomes exclusive by way of none.
		if (upgrade && entry.uses + entry.pins.size === 0) await this.#group.deactivate(lv);
		if (!entry || upgrade) await this.#group.activate(lv, mode);
		const now = entry ?? { mode, uses: 0, pins: new Set<string>() };
		if (mode === "exclusive") now.mode = "exclusive";
		this.#entries.set(lv, now);
		then(now);
	}

	async #deactivateIfIdle(lv: string, entry: Entry, strict = false): Promise<void> {
		if (entry.uses + entry.pins.size > 0) return;
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
