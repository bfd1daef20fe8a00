/**
 * A folder of this node for what is on its way: uploads grow there, images and received volumes are checked there as files, and
 * exports are copied there before they are sent. It is laid out as a local pool, whose parts do that work.
 */
import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/log.ts";
import type { Random } from "../../lib/random.ts";
import { withFileErrors } from "../file-errors.ts";
import { streamFile } from "../file-stream.ts";
import { inspectLimits } from "../inspect/inspect-image.ts";
import type { LocalContext } from "../local/context.ts";
import { LocalImages } from "../local/images.ts";
import { PoolFolder } from "../local/pool-folder.ts";
import { LocalUploads } from "../local/uploads.ts";
import { LocalVolumes } from "../local/volumes.ts";
import { OperationLocks } from "../operation-locks.ts";

export type StagingOptions = {
	folder: string;
	poolId: string;
	random: Random;
	log: Logger;
	clock: Clock;
	protectedPaths: readonly string[];
	lockWaitMs: number | undefined;
};

export class Staging {
	readonly context: LocalContext;
	readonly volumes: LocalVolumes;
	readonly uploads: LocalUploads;
	readonly images: LocalImages;

	constructor({ folder, poolId, random, log, clock, protectedPaths, lockWaitMs }: StagingOptions) {
		// Its own: an image is held here while its file is looked at there.
		const locks = new OperationLocks(lockWaitMs, clock);
		this.context = {
			folder: new PoolFolder(join(folder, poolId), random),
			...{ locks, log, inspectLimits, protectedPaths: [...protectedPaths], otherPools: () => [] },
			sharesBlocks: () => false,
			allocates: () => false,
		};
		this.volumes = new LocalVolumes(this.context);
		this.uploads = new LocalUploads(this.context);
		this.images = new LocalImages(this.context, this.uploads, this.volumes);
	}

	/** Makes the folder; with `tidy`, what was received only to become a volume goes. */
	async prepare(tidy: boolean): Promise<void> {
		const { folder } = this.context;
		await withFileErrors("preparing the folder for what is on its way", async () => {
			for (const part of ["volumes", "images", "uploads"] as const)
				await mkdir(folder.part(part), { recursive: true, mode: 0o700 });
			if (!tidy) return;
			await folder.removeLeftovers();
			await this.uploads.removeLeftovers();
			for (const id of await folder.ids("volumes")) await folder.discard("volumes", folder.volume(id));
		});
	}

	async remove(): Promise<void> {
		await withFileErrors("removing the folder for what is on its way", () =>
			rm(this.context.folder.root, { recursive: true, force: true }),
		);
	}

	/** `copy` makes the file; it has no name any more when it is read, so its space is free whatever happens. */
	stream(
		copy: (path: string) => Promise<void>,
		lengthBytes: number | null,
		signal: AbortSignal | undefined,
	): Promise<{ sizeBytes: number; stream: ReadableStream<Uint8Array> }> {
		const { folder } = this.context;
		return withFileErrors("copying what is to be sent", () =>
			folder.withTemporary("uploads", async (path) => {
				await copy(path);
				const file = await open(path, "r");
				await rm(path);
				const sizeBytes = lengthBytes ?? (await file.stat()).size;
				return { sizeBytes, stream: streamFile(file, sizeBytes, signal) };
			}),
		);
	}
}
