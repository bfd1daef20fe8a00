/**
 * What the pool knows of its logical volumes is in their LVM tags: written in one commit with what they describe, seen alike
 * by all nodes, and not in reach of any guest. Tags take [A-Za-z0-9_+.-/=!:&#] and each has at most 1024 characters.
 *
 *   lqx.half=NODE     not finished; only that node takes it away
 *   lqx.gone=NODE     of the disk that is written to: the volume is deleted, and that node takes its disks away
 *   lqx.format=F      qcow2, raw, iso
 *   lqx.size=BYTES    of the disk as the guest sees it
 *   lqx.on=LV         the next one in the chain of backing disks
 *   lqx.freezes=ID    what it rests on is the snapshot ID of the same volume
 *   lqx.snap=ID       it is the snapshot ID
 *   lqx.parent=ID     of a snapshot: the one before it. Of the disk that is written to: the snapshot that the volume went back to
 *   lqx.opened=N      how often it was opened for writing; QEMU's writes leave no time on a block device
 *   lqx.rebase=NODE:LV, NODE:-    that node moves it to rest on this one, or on nothing; its header says whether it does already
 *   lqx.zero=BYTES    of a raw disk that grew: from here on it holds what others left, and this is its size until that is gone
 *   lqx.wiped=MIB     so much of it is overwritten already
 *   lqx.file=BYTES, lqx.sha256=HEX    of an image, as it came
 *
 * Of a volume, the disk that is written to is the finished one with the highest number that is no snapshot.
 */
import { AppError } from "../../lib/errors.ts";
import { isUuid } from "../../lib/ids.ts";
import { type LvName, parseLvName } from "./names.ts";

export type LvFormat = "qcow2" | "raw" | "iso";

export type LvRecord = {
	half: string | null;
	gone: string | null;
	format: LvFormat | null;
	sizeBytes: number | null;
	on: string | null;
	freezes: string | null;
	snap: string | null;
	parent: string | null;
	opened: number;
	/** Null: no move is on its way; `to` null: to rest on nothing. */
	rebase: { node: string; to: string | null } | null;
	zeroFrom: number | null;
	wipedMiB: number;
	fileSizeBytes: number | null;
	sha256: string | null;
};

/** A logical volume of ours. */
export type Lv = {
	lv: string;
	name: LvName;
	uuid: string;
	lvBytes: number;
	/** Of a thin one: how much of it is taken, in percent. */
	dataPercent: number | null;
	record: LvRecord;
	/** Active on this node; null when that is not known. */
	active: boolean | null;
	/** Somebody on this node has it open. */
	open: boolean;
};

const emptyRecord: LvRecord = {
	...{ half: null, gone: null, format: null, sizeBytes: null, on: null, freezes: null, snap: null, parent: null },
	...{ opened: 0, rebase: null, zeroFrom: null, wipedMiB: 0, fileSizeBytes: null, sha256: null },
};

export function tagsOf(record: Partial<LvRecord>): string[] {
	const tags: string[] = [];
	const add = (key: string, value: string | number | null | undefined) => {
		if (value !== null && value !== undefined) tags.push(`lqx.${key}=${value}`);
	};
	add("half", record.half);
	add("gone", record.gone);
	add("format", record.format);
	add("size", record.sizeBytes);
	add("on", record.on);
	add("freezes", record.freezes);
	add("snap", record.snap);
	add("parent", record.parent);
	add("opened", record.opened === 0 ? null : record.opened);
	if (record.rebase) add("rebase", `${record.rebase.node}:${record.rebase.to ?? "-"}`);
	add("zero", record.zeroFrom);
	add("wiped", record.wipedMiB === 0 ? null : record.wipedMiB);
	add("file", record.fileSizeBytes);
	add("sha256", record.sha256);
	return tags;
}

/**
 * `corrupt` when a tag of ours says something that we never write. Where a change was cut short and both the old and the new
 * number are there, the higher one counts.
 */
export function parseTags(lv: string, tags: readonly string[]): LvRecord {
	const record: LvRecord = { ...emptyRecord };
	for (const tag of tags) {
		const match = /^lqx\.([a-z0-9]+)=(.*)$/.exec(tag);
		if (!match?.[1]) continue;
		const value = match[2] ?? "";
		const bad = () => new AppError("corrupt", `What is recorded of ${lv} is damaged. It is not touched.`);
		const id = () => {
			if (!isUuid(value)) throw bad();
			return value;
		};
		const count = () => {
			const number = Number(value);
			if (!/^[0-9]{1,16}$/.test(value) || !Number.isSafeInteger(number)) throw bad();
			return number;
		};
		const ours = () => {
			if (parseLvName(value) === null) throw bad();
			return value;
		};
		switch (match[1]) {
			case "half":
				record.half = id();
				break;
			case "gone":
				record.gone = id();
				break;
			case "format":
				if (value !== "qcow2" && value !== "raw" && value !== "iso") throw bad();
				record.format = value;
				break;
			case "size":
				record.sizeBytes = Math.max(record.sizeBytes ?? 0, count());
				break;
			case "on":
				record.on = ours();
				break;
			case "freezes":
				record.freezes = id();
				break;
			case "snap":
				record.snap = id();
				break;
			case "parent":
				record.parent = id();
				break;
			case "opened":
				record.opened = Math.max(record.opened, count());
				break;
			case "rebase":
				record.rebase = rebaseOf(value) ?? fail(bad());
				break;
			case "zero":
				record.zeroFrom = Math.min(record.zeroFrom ?? Number.MAX_SAFE_INTEGER, count());
				break;
			case "wiped":
				record.wipedMiB = Math.max(record.wipedMiB, count());
				break;
			case "file":
				record.fileSizeBytes = count();
				break;
			case "sha256":
				if (!/^[0-9a-f]{64}$/.test(value)) throw bad();
				record.sha256 = value;
				break;
			default:
			// Of a later version: left alone.
		}
	}
	return record;
}

function rebaseOf(value: string): LvRecord["rebase"] {
	const node = value.slice(0, 36);
	const to = value.slice(37);
	if (!isUuid(node) || value[36] !== ":" || (to !== "-" && parseLvName(to) === null)) return null;
	return { node, to: to === "-" ? null : to };
}

function fail(error: AppError): never {
	throw error;
}

/** The tags to add and to take away so that `record` is changed by `change`; null takes away. */
export function tagChanges(record: LvRecord, change: Partial<LvRecord>): { add: string[]; remove: string[] } {
	const before = tagsOf(record);
	const after = tagsOf({ ...record, ...change });
	return {
		add: after.filter((tag) => !before.includes(tag)),
		remove: before.filter((tag) => !after.includes(tag)),
	};
}
