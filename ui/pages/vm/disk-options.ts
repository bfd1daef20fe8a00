/** How a VM has a disk, as the form shows it and as the API takes it. Rates are MiB in a second in the form, bytes in the API. Pure. */
import { MiB } from "../../../src/lib/units.ts";
import { losesByDiscard } from "../../../src/model/storage-rules.ts";
import { reasonAgainst } from "../../../src/model/told-capabilities.ts";
import type { Pool, Vm, Volume } from "../../api/types.ts";
import type { FieldErrors } from "../../components/form.ts";
import { formatCount, formatRate } from "../../lib/format.ts";
import { devices as t } from "../../strings/devices.ts";

type Disk = Vm["spec"]["disks"][number];
type Limits = NonNullable<Disk["limits"]>;

/** Limits are null where there is none. */
export type DiskOptions = Pick<Disk, "bus" | "cache" | "discard" | "readOnly"> & {
	readIops: number | null;
	writeIops: number | null;
	readRate: number | null;
	writeRate: number | null;
};

const unlimited = { readIops: null, writeIops: null, readRate: null, writeRate: null };
export const usualOptions: DiskOptions = {
	...{ bus: "virtio", cache: "none", discard: true, readOnly: false },
	...unlimited,
};

const rateOf = (bytes: number | undefined): number | null => (bytes === undefined ? null : bytes / MiB);

export const optionsOf = ({ bus, cache, discard, readOnly, limits = {} as Limits }: Disk): DiskOptions => ({
	...{ bus, cache, discard, readOnly },
	readIops: limits.readIops ?? null,
	writeIops: limits.writeIops ?? null,
	readRate: rateOf(limits.readBytesPerSecond),
	writeRate: rateOf(limits.writeBytesPerSecond),
});

/** Without limits there is no such member. */
export function diskOf({ id, volumeId }: Pick<Disk, "id" | "volumeId">, options: DiskOptions): Disk {
	const { bus, cache, discard, readOnly, readIops, writeIops, readRate, writeRate } = options;
	const limits: Limits = {
		...(readRate === null ? {} : { readBytesPerSecond: Math.round(readRate * MiB) }),
		...(writeRate === null ? {} : { writeBytesPerSecond: Math.round(writeRate * MiB) }),
		...(readIops === null ? {} : { readIops }),
		...(writeIops === null ? {} : { writeIops }),
	};
	const disk = { id, volumeId, bus, cache, discard, readOnly };
	return Object.keys(limits).length === 0 ? disk : { ...disk, limits };
}

export function optionErrors(options: DiskOptions): FieldErrors {
	const errors: FieldErrors = {};
	const isCount = (value: number | null) => value === null || (Number.isSafeInteger(value) && value >= 1);
	const isRate = (value: number | null) =>
		value === null || (Math.round(value * MiB) >= 1 && Number.isSafeInteger(Math.round(value * MiB)));
	for (const key of ["readIops", "writeIops"] as const) if (!isCount(options[key])) errors[`/${key}`] = t.limitWhole;
	for (const key of ["readRate", "writeRate"] as const) if (!isRate(options[key])) errors[`/${key}`] = t.limitRate;
	if (options.bus === "sata" && options.readOnly) errors["/readOnly"] = t.readOnlySata;
	return errors;
}

/** Why nothing that the guest discards is freed, whatever the disk's option is; undefined where it is. */
export const whyNotDiscarded = (
	volume: Pick<Volume, "provisioning">,
	pool: Pool | undefined,
	nodeId: string,
): string | undefined =>
	losesByDiscard(volume, pool ?? null) ? t.discardThick : pool && reasonAgainst(pool, "discard", nodeId);

/** "reads 500/s; writes 200/s, 50 MiB/s"; null without any. */
export function limitsText(limits: Disk["limits"]): string | null {
	const side = (ops: number | undefined, bytes: number | undefined, words: (limits: string) => string) => {
		const parts = [ops && t.limitOps(formatCount(ops)), bytes && formatRate(bytes)].filter(Boolean);
		return parts.length === 0 ? null : words(parts.join(", "));
	};
	const reads = side(limits?.readIops, limits?.readBytesPerSecond, t.limitReads);
	const writes = side(limits?.writeIops, limits?.writeBytesPerSecond, t.limitWrites);
	return [reads, writes].filter(Boolean).join("; ") || null;
}
