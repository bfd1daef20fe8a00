/**
 * The LVM-thin pool of a thin layout: one for the group, used by one node. What its volumes have in common is two things that can
 * run out: space for data, which the pool's usage shows, and for metadata, which nobody sees. Snapshots fill the second one faster than LVM
 * reckons with when it makes the pool, and a pool without room for metadata takes no more writes, so that one is made larger in time.
 */
import { MiB } from "../../lib/units.ts";
import type { PoolUsage } from "../driver.ts";
import type { Lvm, LvmCall } from "./lvm.ts";
import { type Group, parseThinUsage, type ThinUsage, thinUsageFields } from "./lvm-report.ts";
import { thinPoolName } from "./names.ts";
import { requireThinPoolWorks, thinHealthField } from "./thin-health.ts";

/** Of the group it keeps so much back, for its metadata to grow and to be mended. */
const reservePercent = 5;
/** What exceeds that by less is not worth a change. */
const worthGrowingBytes = 16 * MiB;
/** Metadata grows by a quarter once so much of it is taken. */
const usualGrowAbovePercent = 70;
const growthOf = (metadataBytes: number): number => Math.max(4 * MiB, Math.ceil(metadataBytes / 4 / MiB) * MiB);
/** Above this the pool is said to be in danger, because it could not be made larger. */
const warnAbovePercent = 85;

export class ThinPool {
	readonly #lvm: Lvm;
	readonly #path: string;
	readonly #group: string;

	readonly #growAbovePercent: number;

	/** `growAbovePercent`: of the metadata; for tests. */
	constructor(options: { lvm: Lvm; group: string; growAbovePercent?: number }) {
		this.#lvm = options.lvm;
		this.#group = options.group;
		this.#growAbovePercent = options.growAbovePercent ?? usualGrowAbovePercent;
		this.#path = `${options.group}/${thinPoolName}`;
	}

	/**
	 * Makes the pool, of all of the group but for what is kept back, or gives it what the group has grown by. A write
	 * that finds no space fails at once (`error_when_full` in lvm.ts): QEMU stops the guest then, which loses nothing. LVM's own way is to keep it waiting for a
	 * minute, and what copies with it, and to fail it as a broken disk afterwards.
	 */
	async ensure(group: Group, call: LvmCall): Promise<void> {
		const there = await this.#lvm.report("lvs", "lv_name", [this.#group], call);
		if (!new RegExp(`"${thinPoolName}"`).test(there)) {
			// No --setautoactivation: LVM does not take it for what is thin. It is off in the group.
			const args = ["--yes", "--type", "thin-pool", "--extents", `${100 - reservePercent}%FREE`, "--zero", "y"];
			await this.#lvm.change(["lvcreate", ...args, "--name", thinPoolName, "--", this.#group], call);
			return;
		}
		const more = beyondReserve(group);
		if (more > 0) await this.#lvm.change(["lvextend", "--size", `+${more}b`, "--", this.#path], call);
	}

	/** Whether its metadata was made larger. Fails with `no-space` when the group has no room for that. */
	async growMetadata(call: LvmCall): Promise<boolean> {
		const found = await this.#look(call);
		if (found === null || found.metadataPercent <= this.#growAbovePercent) return false;
		const more = `+${growthOf(found.metadataBytes)}b`;
		await this.#lvm.change(["lvextend", "--poolmetadatasize", more, "--", this.#path], call);
		return true;
	}

	/** Null when it is not active; fails with `storage` when the kernel has given it up. One command, for a check has little time. */
	async usage(call: LvmCall): Promise<PoolUsage | null> {
		const found = await this.#look(call);
		return found === null ? null : thinPoolUsage(found);
	}

	async #look(call: LvmCall): Promise<ThinUsage | null> {
		const report = await this.#lvm.report("lvs", `${thinUsageFields},${thinHealthField}`, [this.#path], call);
		requireThinPoolWorks(report);
		return parseThinUsage(report);
	}
}

/** What the group has beyond what it keeps back, in whole extents; 0 when that is not worth it. Pure. */
export function beyondReserve({
	freeBytes,
	sizeBytes,
	extentBytes,
}: Pick<Group, "freeBytes" | "sizeBytes" | "extentBytes">): number {
	const bytes = freeBytes - (sizeBytes * reservePercent) / 100;
	return bytes < worthGrowingBytes ? 0 : Math.floor(bytes / extentBytes) * extentBytes;
}

/** Pure. */
export function thinPoolUsage({ lvBytes, dataPercent, metadataPercent }: ThinUsage): PoolUsage {
	const usedBytes = Math.round((lvBytes * dataPercent) / 100);
	const usage = { totalBytes: lvBytes, usedBytes, availableBytes: lvBytes - usedBytes };
	if (metadataPercent <= warnAbovePercent) return usage;
	const warning = `The metadata of the thin pool is ${Math.floor(metadataPercent)} % full. When it is full, nothing can be written: enlarge the LUN, or delete volumes or snapshots.`;
	return { ...usage, warning };
}
