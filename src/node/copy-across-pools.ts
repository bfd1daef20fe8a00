/**
 * Copies between two pools of this node. A volume that stays as large as it is goes straight there. Anything else is streamed into the
 * upload area of the target pool, which checks what came as it checks any image, and makes the volume from it: that takes
 * the space twice for a while, but formats and sizes may change on the way. An interrupted copy leaves only an upload, under the
 * volume's own id, which the next try replaces.
 */
import type { Provisioning, VolumeFormat } from "../model/storage.ts";
import type { Progress, StorageDriver, VolumeContent, VolumeInfo } from "../storage/driver.ts";

export type CopySource = { kind: "image" | "volume"; id: string; fullCopy: boolean; poolId: string };

export type PoolCopy = {
	from: StorageDriver;
	to: StorageDriver;
	source: CopySource;
	volume: { id: string; format: VolumeFormat; sizeBytes: number; provisioning?: Provisioning };
	signal: AbortSignal;
	progress: Progress;
};

export async function copyAcrossPools(copy: PoolCopy): Promise<VolumeInfo> {
	const { from, to, source, volume, signal, progress } = copy;
	const { id } = volume;
	const origin = source.kind === "volume" ? await from.getVolume(source.id) : null;
	if (origin?.sizeBytes === volume.sizeBytes) {
		const content = await wholeContent(from, origin, volume.format, signal);
		const { provisioning } = volume;
		return to.receiveVolume(id, content, { signal, progress, ...(provisioning === undefined ? {} : { provisioning }) });
	}
	// The first two thirds of the way are the transfer and its check.
	const part = (begin: number, end: number): Progress => {
		return (ratio, message) => progress(ratio === null ? null : begin + ratio * (end - begin), message);
	};
	try {
		const format = await sourceFormat(from, source, volume.format);
		if (!(await to.getImage(id))) {
			const content =
				source.kind === "image"
					? await from.openImage(source.id)
					: await from.exportVolume(source.id, format, { signal });
			await streamToUpload(content, to, id, signal, part(0, 0.5));
			await to.finishImage(id, { format, sha256: null, signal, progress: part(0.5, 0.65) });
		}
		const made = { kind: "image", id, fullCopy: true } as const;
		return await to.createVolume(id, { ...volume, source: made, signal, progress: part(0.65, 1) });
	} finally {
		await to.deleteImage(id, { progress: () => progress(1) });
	}
}

/** As it is where the format stays; else as a file in the other format that stands alone. */
export async function wholeContent(
	from: StorageDriver,
	{ id, format: own }: Pick<VolumeInfo, "id" | "format">,
	format: VolumeFormat,
	signal: AbortSignal,
): Promise<VolumeContent> {
	if (own === format) return from.readVolume(id, { signal });
	return { format, ...(await from.exportVolume(id, format, { signal })) };
}

async function sourceFormat(from: StorageDriver, source: CopySource, wanted: VolumeFormat): Promise<VolumeFormat> {
	if (source.kind === "volume") return wanted;
	const image = await from.getImage(source.id);
	return image?.format === "qcow2" ? "qcow2" : "raw";
}

/** The stream as a complete upload of image `id`; what was there before is replaced. */
export async function streamToUpload(
	content: { sizeBytes: number; stream: ReadableStream<Uint8Array> },
	to: StorageDriver,
	id: string,
	signal: AbortSignal,
	progress: Progress,
): Promise<void> {
	const file = await to.openUpload(id, content.sizeBytes, { restart: true });
	const reader = content.stream.getReader();
	try {
		for (;;) {
			signal.throwIfAborted();
			const { done, value } = await reader.read();
			if (done) break;
			await file.write(value);
			progress(file.receivedBytes / Math.max(1, content.sizeBytes));
		}
	} finally {
		await reader.cancel().catch(() => {});
		await file.close();
	}
}
