/** How a volume's first disk comes to hold what it is made of. The logical volume is there already, unfinished and inactive. */
import { AppError, isAppError } from "../../lib/errors.ts";
import { formatBytes } from "../../lib/units.ts";
import type { VolumeFormat } from "../../model/storage.ts";
import type { CreateSource, LongOptions } from "../driver.ts";
import { createDisk } from "../qemu-img.ts";
import { requireHeadersMatch, wantedFor } from "./chain.ts";
import { type IscsiContext, pathOf, readIndex } from "./context.ts";
import { part, zeroDevice } from "./device-io.ts";
import { copyInto, makeOverlay, qcow2Bytes } from "./disk-copy.ts";
import { freezeVolume, unfreezeVolume } from "./freeze.ts";
import { roundUp } from "./group.ts";
import { sizeOf, volumeFormat } from "./pool-index.ts";
import type { Lv } from "./records.ts";

export type DiskPlan = { lv: string; format: VolumeFormat; sizeBytes: number };

/** Of the logical volume. */
export const bytesFor = (format: VolumeFormat, sizeBytes: number): Promise<number> =>
	format === "qcow2" ? qcow2Bytes(sizeBytes) : Promise.resolve(roundUp(sizeBytes));

/** What a volume is made of, checked. */
export type Source = {
	/** Fails before anything is made. */
	requireFits(plan: DiskPlan): void;
	/** Makes the logical volume unfinished, and fills it. */
	make(plan: DiskPlan, options: LongOptions): Promise<void>;
};

/** The caller holds its lock until the volume is made. */
export async function openSource(context: IscsiContext, source: CreateSource): Promise<Source> {
	if (source.kind === "empty") return { requireFits() {}, make: (plan, options) => makeEmpty(context, plan, options) };
	const from = await sourceDisk(context, source);
	return {
		requireFits({ sizeBytes, format }) {
			if (sizeBytes < sizeOf(from))
				throw new AppError(
					"invalid",
					`The volume would be smaller (${formatBytes(sizeBytes)}) than what it is made of (${formatBytes(sizeOf(from))}).`,
				);
			if (source.fullCopy || context.layout === "thin") return;
			if (format === "raw")
				throw new AppError("invalid", "A copy-on-write copy is always qcow2. Ask for qcow2 or for a full copy.");
			if (source.kind === "volume" && volumeFormat(from) === "raw")
				throw new AppError("invalid", "A raw volume cannot be copied copy-on-write. Ask for a full copy.");
		},
		make(plan, options) {
			if (source.fullCopy) return makeCopy(context, from, plan, options);
			if (context.layout === "thin") return makeThinCopy(context, from, plan);
			return makeClone(context, from, source, plan);
		},
	};
}

async function sourceDisk(context: IscsiContext, source: Exclude<CreateSource, { kind: "empty" }>): Promise<Lv> {
	const index = await readIndex(context);
	if (source.kind === "image") {
		const image = index.image(source.id);
		if (image === null) throw new AppError("not-found", `Image ${source.id} is not in this pool.`);
		if (image.info.format === "iso") throw new AppError("invalid", "A CD image is no source of a volume.");
		return image.lv;
	}
	const volume = index.volume(source.id);
	if (volume === null) throw new AppError("not-found", `Volume ${source.id} is not in this pool.`);
	if (source.kind === "volume") return volume.active;
	const snapshot = index.snapshots(volume).find(({ id }) => id === source.snapshotId);
	if (!snapshot) throw new AppError("not-found", `Volume ${source.id} has no snapshot ${source.snapshotId}.`);
	return snapshot.disk;
}

async function makeLv({ group, nodeId, step }: IscsiContext, plan: DiskPlan, on: string | null): Promise<void> {
	await step("make a logical volume");
	const { lv, format, sizeBytes } = plan;
	await group.create(lv, await bytesFor(format, sizeBytes), { half: nodeId, format, sizeBytes, on });
}

async function makeEmpty(context: IscsiContext, plan: DiskPlan, options: LongOptions): Promise<void> {
	const path = pathOf(context, plan.lv);
	await makeLv(context, plan, null);
	// What a thin pool gives out reads as zeroes.
	if (context.layout === "thin") return;
	await context.activation.use([{ lv: plan.lv, mode: "exclusive" }], async () => {
		await context.step("fill a disk");
		if (plan.format === "qcow2") await createDisk(path, "qcow2", plan.sizeBytes);
		// The space may hold what others left there.
		else await zeroDevice(path, 0, roundUp(plan.sizeBytes), options);
	});
}

async function makeCopy(context: IscsiContext, from: Lv, plan: DiskPlan, options: LongOptions): Promise<void> {
	const path = pathOf(context, plan.lv);
	const chain = (await readIndex(context)).chain(from);
	const zeroes = plan.format === "raw" && context.layout === "thick";
	const copied = zeroes ? sizeOf(from) / roundUp(plan.sizeBytes) : 1;
	await makeLv(context, plan, null);
	await context.activation.use([{ lv: plan.lv, mode: "exclusive" }, ...readOf(context, chain)], async () => {
		await requireHeadersMatch(context, chain);
		await context.step("fill a disk");
		if (plan.format === "qcow2") await createDisk(path, "qcow2", plan.sizeBytes);
		await copyInto(
			{ path: pathOf(context, from.lv), format: volumeFormat(from), device: true },
			{ path, format: plan.format, device: true, isZero: !zeroes },
			part(options, 0, copied),
		);
		if (zeroes) await zeroDevice(path, sizeOf(from), roundUp(plan.sizeBytes), part(options, copied, 1));
	});
}

/** For reading. A running VM of another node has its disk exclusively; one of this node is told by QEMU's own lock. */
const readOf = (_context: IscsiContext, chain: readonly Lv[]) => wantedFor(chain, "shared");

async function makeClone(
	context: IscsiContext,
	from: Lv,
	source: Exclude<CreateSource, { kind: "empty" }>,
	plan: DiskPlan,
): Promise<void> {
	// A layer below has a format of its own: raw, where a snapshot was taken of a raw volume.
	const layer = source.kind === "volume" ? await freezeVolume(context, source.id) : from;
	const on = layer.lv;
	try {
		await makeLv(context, plan, on);
	} catch (error) {
		// The volume's new disk may have as much space as the copy would: it goes again.
		if (source.kind === "volume" && isAppError(error, "no-space"))
			await unfreezeVolume(context, source.id, on).catch((failure) =>
				context.log.warn("A new disk stays on a layer that no copy rests on", { volumeId: source.id, error: failure }),
			);
		throw error;
	}
	const wanted = [{ lv: plan.lv, mode: "exclusive" as const }];
	await context.activation.use(wanted, async () => {
		await context.step("fill a disk");
		const backing = { path: pathOf(context, on), format: volumeFormat(layer) };
		await makeOverlay(pathOf(context, plan.lv), backing, plan.sizeBytes);
	});
}

/** Shares the space of what it is made of, and depends on nothing. */
async function makeThinCopy({ group, nodeId, step }: IscsiContext, from: Lv, plan: DiskPlan): Promise<void> {
	if (from.open) throw new AppError("in-use", "A running VM has this disk open.");
	await step("make a logical volume");
	await group.snapshot(from.lv, plan.lv, { half: nodeId, format: "raw", sizeBytes: plan.sizeBytes });
	if (roundUp(plan.sizeBytes) <= from.lvBytes) return;
	await step("extend a disk");
	await group.extend(plan.lv, plan.sizeBytes);
}
