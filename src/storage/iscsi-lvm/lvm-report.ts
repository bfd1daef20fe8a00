/** Reads what `lvs`, `vgs` and `pvs` report with --reportformat json, --units b, --nosuffix and --binary. Pure. */
import { type Static, Type } from "@sinclair/typebox";
import { Value } from "@sinclair/typebox/value";
import { AppError, isAppError } from "../../lib/errors.ts";
import { parseLvName } from "./names.ts";
import { type Lv, parseTags } from "./records.ts";

const Row = Type.Record(Type.String(), Type.String());
const Report = Type.Object({ report: Type.Array(Type.Record(Type.String(), Type.Array(Row))) });

export const lvFields = "lv_name,lv_uuid,lv_size,lv_tags,lv_active_locally,lv_device_open,data_percent";
export const thinUsageFields = "lv_size,data_percent,lv_metadata_size,metadata_percent";
export const vgFields = "vg_name,vg_uuid,vg_size,vg_free,vg_tags,vg_lock_type,vg_systemid,vg_extent_size";
export const pvFields = "pv_name,pv_uuid,vg_name,vg_tags,dev_size,pv_size";

const notUnderstood = (cause?: unknown) =>
	new AppError("storage", "What LVM reports is not understood.", cause === undefined ? {} : { cause });

/** Rows of the kind "lv", "vg" or "pv". */
function rows(json: string, kind: "lv" | "vg" | "pv"): Static<typeof Row>[] {
	let value: unknown;
	try {
		value = JSON.parse(json);
	} catch (cause) {
		throw notUnderstood(cause);
	}
	if (!Value.Check(Report, value)) throw notUnderstood();
	return value.report.flatMap((part) => part[kind] ?? []);
}

/** Of the only row, or of the first one; null when there is none. */
export const firstValue = (json: string, kind: "lv" | "vg" | "pv", field: string): string | null =>
	rows(json, kind)[0]?.[field] ?? null;

function text(row: Static<typeof Row>, field: string): string {
	const value = row[field];
	if (value === undefined) throw notUnderstood();
	return value;
}

function bytes(row: Static<typeof Row>, field: string): number {
	const value = text(row, field);
	const number = Number(value);
	if (!/^[0-9]+$/.test(value) || !Number.isSafeInteger(number)) throw notUnderstood();
	return number;
}

const percent = (value = ""): number | null => (/^[0-9]+(\.[0-9]+)?$/.test(value) ? Number(value) : null);

const list = (value: string): string[] => (value === "" ? [] : value.split(","));

/** Ours only. One whose tags are damaged is in `damaged` instead. */
export function parseLvs(json: string): { lvs: Lv[]; damaged: Map<string, AppError> } {
	const lvs: Lv[] = [];
	const damaged = new Map<string, AppError>();
	for (const row of rows(json, "lv")) {
		const lv = text(row, "lv_name");
		const name = parseLvName(lv);
		if (name === null) continue;
		try {
			const active = text(row, "lv_active_locally");
			lvs.push({
				...{ lv, name, uuid: text(row, "lv_uuid"), lvBytes: bytes(row, "lv_size") },
				dataPercent: percent(row.data_percent),
				record: parseTags(lv, list(text(row, "lv_tags"))),
				active: active === "1" ? true : active === "0" ? false : null,
				open: row.lv_device_open === "1",
			});
		} catch (error) {
			if (!isAppError(error, "corrupt")) throw error;
			damaged.set(lv, error);
		}
	}
	return { lvs, damaged };
}

export type AnyLv = { lv: string; lvBytes: number; dataPercent: number | null };

/** All that take space of the group by themselves, ours or not. */
export const parseAnyLvs = (json: string): AnyLv[] =>
	rows(json, "lv").flatMap((row) => {
		// In brackets is what others consist of; the leases belong to the group itself.
		const name = text(row, "lv_name");
		if (name.startsWith("[") && name !== "[lvmlock]") return [];
		const lv = name.replace(/^\[|\]$/g, "");
		return [{ lv, lvBytes: bytes(row, "lv_size"), dataPercent: percent(row.data_percent) }];
	});

export type ThinUsage = { lvBytes: number; dataPercent: number; metadataBytes: number; metadataPercent: number };

/** Of the thin pool: its sizes and how much of them is taken; null when it has none, or is not active. */
export function parseThinUsage(json: string): ThinUsage | null {
	const row = rows(json, "lv")[0];
	const [dataPercent, metadataPercent] = [percent(row?.data_percent), percent(row?.metadata_percent)];
	if (!row || dataPercent === null || metadataPercent === null) return null;
	return {
		lvBytes: bytes(row, "lv_size"),
		dataPercent,
		metadataBytes: bytes(row, "lv_metadata_size"),
		metadataPercent,
	};
}

export type Group = {
	name: string;
	sizeBytes: number;
	freeBytes: number;
	tags: string[];
	lockType: string;
	systemId: string;
	extentBytes: number;
};

export const parseGroups = (json: string): Group[] =>
	rows(json, "vg").map((row) => ({
		name: text(row, "vg_name"),
		sizeBytes: bytes(row, "vg_size"),
		freeBytes: bytes(row, "vg_free"),
		tags: list(text(row, "vg_tags")),
		lockType: text(row, "vg_lock_type"),
		systemId: text(row, "vg_systemid"),
		extentBytes: bytes(row, "vg_extent_size"),
	}));

export type PhysicalVolume = {
	device: string;
	/** "" for what is not LVM's. */
	uuid: string;
	group: string;
	tags: string[];
	deviceBytes: number;
	pvBytes: number;
};
/** LVM's word where a device says that it is in a group, and not in which. */
export const unknownGroup = "[unknown]";

export const parsePhysicalVolumes = (json: string): PhysicalVolume[] =>
	rows(json, "pv").map((row) => ({
		device: text(row, "pv_name"),
		uuid: text(row, "pv_uuid"),
		group: text(row, "vg_name"),
		tags: list(text(row, "vg_tags")),
		deviceBytes: bytes(row, "dev_size"),
		pvBytes: bytes(row, "pv_size"),
	}));
