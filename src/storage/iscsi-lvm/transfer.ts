/** Volumes on their way out and in, by way of a file of this node: one moment's content, of a known length, checked before it counts. */
import { AppError } from "../../lib/errors.ts";
import type { VolumeFormat } from "../../model/storage.ts";
import type { LongOptions, VolumeContent, VolumeDamage, VolumeInfo } from "../driver.ts";
import { receiveVolume as receiveInto } from "../local/transfer.ts";
import { requireId } from "../names.ts";
import { checkDisk } from "../qemu-img.ts";
import { requireHeadersMatch, wantedFor } from "./chain.ts";
import { type IscsiContext, pathOf, readIndex } from "./context.ts";
import { canceledOr } from "./device-io.ts";
import { copyVolume } from "./images.ts";
import type { IscsiVolumes } from "./volumes.ts";

export function exportVolume(context: IscsiContext, id: string, format: VolumeFormat, options: LongOptions) {
	return context.staging.stream((path) => copyVolume(context, id, { path, format }, options), null, options.signal);
}

export async function readVolume(context: IscsiContext, id: string, options: LongOptions): Promise<VolumeContent> {
	requireId(id, "volume");
	const volume = (await readIndex(context)).volume(id);
	if (volume === null) throw new AppError("not-found", `Volume ${id} is not in this pool.`);
	const format = volume.active.record.format === "qcow2" ? "qcow2" : "raw";
	return { format, ...(await exportVolume(context, id, format, options)) };
}

/** Received and checked as a volume of the folder for what is on its way, which then is copied. */
export async function receiveVolume(
	context: IscsiContext,
	volumes: IscsiVolumes,
	id: string,
	content: VolumeContent,
	options: LongOptions,
): Promise<VolumeInfo> {
	const { staging } = context;
	let taken = false;
	try {
		requireId(id, "volume");
		if ((await volumes.get(id)) !== null) throw new AppError("already-exists", `Volume ${id} is in this pool already.`);
		taken = true;
		const received = await receiveInto(staging.context, id, content, options);
		try {
			const { source } = await staging.volumes.attachInfo(id);
			if (source.kind !== "file") throw new AppError("internal", "A received volume is a file.");
			const { format, sizeBytes } = received;
			return await volumes.fromFile(id, { path: source.path, format, sizeBytes }, options);
		} finally {
			await staging.volumes.delete(id);
		}
	} catch (error) {
		if (!taken) await content.stream.cancel(error).catch(() => {});
		throw canceledOr(error, options.signal, "Receiving the volume");
	}
}

/** The volume's own disks. Layers are read-only and never repaired; a raw disk has no structure that could be damaged. */
export async function checkVolume(
	context: IscsiContext,
	id: string,
	options: LongOptions & { repair: boolean },
): Promise<VolumeDamage> {
	requireId(id, "volume");
	using _own = await context.locks.exclusive(`volume:${id}`, `Volume ${id} is busy with another operation.`);
	const index = await readIndex(context);
	const volume = index.volume(id);
	if (volume === null) throw new AppError("not-found", `Volume ${id} is not in this pool.`);
	const chain = index.chain(volume.active);
	return context.activation.use(wantedFor(chain), async () => {
		await requireHeadersMatch(context, chain);
		const found: VolumeDamage = { errors: 0, leakedBytes: 0, repaired: 0 };
		for (const disk of chain) {
			if (disk.record.format !== "qcow2" || disk.name.kind !== "volume" || disk.name.id !== id) continue;
			const repair = options.repair && disk === chain[0];
			const of = await checkDisk(pathOf(context, disk.lv), { ...options, repair });
			found.errors += of.errors;
			found.leakedBytes += of.leakedBytes;
			found.repaired += of.repaired;
		}
		return found;
	});
}
