/** How the fake driver's volumes travel: a qcow2 one as an empty qcow2 file of its size with the content behind it. */
import { AppError } from "../lib/errors.ts";
import type { LongOptions, MakingOptions, VolumeContent } from "./driver.ts";
import { bytesOf, fileOf, SparseBytes } from "./fake-content.ts";
import { type FakePool, type FakeVolume, noSnapshots } from "./fake-pool.ts";
import { checkImageBytes } from "./inspect/image-rules.ts";
import { qcow2Sample } from "./inspect/qcow2-sample.ts";
import { requireId, sectorBytes } from "./names.ts";

const headerBytes = qcow2Sample({ virtualSizeBytes: sectorBytes }).length;

export function contentOf({ format, content }: FakeVolume): VolumeContent {
	const disk = content.copy();
	if (format === "raw") return { format, sizeBytes: disk.length, stream: disk.stream() };
	const file = fileOf(qcow2Sample({ virtualSizeBytes: disk.length }));
	for (let at = 0; at < disk.length; at += 65_536) file.write(headerBytes + at, disk.read(at, 65_536));
	return { format, sizeBytes: file.length, stream: file.stream() };
}

/** Puts what comes into the pool once it is whole. Takes the stream in any case. */
export async function receive(
	pool: FakePool,
	id: string,
	{ format, sizeBytes, stream }: VolumeContent,
	options: MakingOptions,
	entered: Promise<void>,
): Promise<FakeVolume> {
	try {
		await entered;
		requireId(id, "volume");
		if (options.provisioning === "thick") pool.requireThick(sizeBytes);
		if (pool.volumes.has(id)) throw new AppError("already-exists", `Volume ${id} is in this pool already.`);
	} catch (error) {
		await stream.cancel(error).catch(() => {});
		throw error;
	}
	const file = await received(stream, sizeBytes, options);
	let content = file;
	if (format === "qcow2") {
		content = new SparseBytes(checkImageBytes("qcow2", bytesOf(file)));
		for (let at = 0; headerBytes + at < file.length; at += 65_536)
			content.write(at, file.read(headerBytes + at, 65_536));
	} else if (file.length % sectorBytes !== 0) throw new AppError("storage", "What came is no raw disk.");
	const path = `${pool.folder}/volumes/${id}.${format}`;
	const isThick = options.provisioning === "thick";
	const volume: FakeVolume = { format, content, backing: [], path, adopted: false, isThick, ...noSnapshots() };
	pool.volumes.set(id, volume);
	return volume;
}

async function received(
	stream: ReadableStream<Uint8Array>,
	sizeBytes: number,
	{ signal, progress }: LongOptions,
): Promise<SparseBytes> {
	const file = new SparseBytes();
	const reader = stream.getReader();
	try {
		for (;;) {
			if (signal?.aborted) throw new AppError("canceled", "The operation was canceled.");
			const { done, value } = await reader.read();
			if (done) break;
			file.write(file.length, value);
			if (file.length > sizeBytes) throw new AppError("storage", "More of the volume came than was announced.");
			progress?.(file.length / sizeBytes);
		}
	} finally {
		await reader.cancel().catch(() => {});
	}
	if (file.length === sizeBytes) return file;
	throw new AppError("storage", `The volume ended after ${file.length} of ${sizeBytes} bytes.`);
}
