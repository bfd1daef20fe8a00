/**
 * A volume as a stream of one file that stands alone. It is copied first, so that what goes out is one moment's
 * content, its length is known, and the VM may start again as soon as the copy is made. The copy has no name: whatever
 * happens, its space is free when the stream ends.
 */
import { open, rm } from "node:fs/promises";
import { AppError } from "../../lib/errors.ts";
import type { VolumeFormat } from "../../model/storage.ts";
import type { LongOptions } from "../driver.ts";
import { withFileErrors } from "../file-errors.ts";
import { streamFile } from "../file-stream.ts";
import { requireId } from "../names.ts";
import { chainOf, requireHeadersMatch } from "./chain.ts";
import type { LocalContext } from "./context.ts";
import { copyWhole, wholeSource } from "./copy-whole.ts";

/** Fails with `not-found`, `in-use` (a running VM has it open), `no-space`, `canceled`, `storage`. */
export async function exportVolume(
	context: LocalContext,
	id: string,
	format: VolumeFormat,
	options: LongOptions,
): Promise<{ sizeBytes: number; stream: ReadableStream<Uint8Array> }> {
	requireId(id, "volume");
	const { folder, locks } = context;
	using _volume = await locks.shared(`volume:${id}`, `Volume ${id} is busy with another operation.`);
	const record = await folder.readVolume(id);
	if (record === null) throw new AppError("not-found", `Volume ${id} is not in this pool.`);
	const chain = await chainOf(folder, record);
	await requireHeadersMatch(folder, chain);
	return withFileErrors("exporting the volume", () =>
		folder.withTemporary("uploads", async (path) => {
			await copyWhole(context, wholeSource(record, chain), { path, format }, options);
			const file = await open(path, "r");
			await rm(path);
			const { size } = await file.stat();
			return { sizeBytes: size, stream: streamFile(file, size, options.signal) };
		}),
	);
}
