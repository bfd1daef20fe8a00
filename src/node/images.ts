/**
 * Images on this node: imported from a path, a URL, a volume or an upload; deleted. An image is `ready` only after the
 * driver has checked the file and made it the image. An import that fails or is canceled leaves nothing in the pool;
 * its record stays, in phase error, until a person deletes it.
 */
import { AppError, isAppError, toErrorInfo } from "../lib/errors.ts";
import { listNames } from "../lib/list-names.ts";
import type { Image } from "../model/storage.ts";
import { isBeingMade, needsSource } from "../model/storage-rules.ts";
import type { StorageDriver } from "../storage/driver.ts";
import type { NodeContext } from "./context.ts";
import { streamToUpload } from "./copy-across-pools.ts";
import { copyImage } from "./copy-image.ts";
import { heavyCopy } from "./heavy-copy.ts";
import { deletionIdleOf } from "./limits.ts";
import { type LongStepOptions, longStep } from "./long-step.ts";
import type { Pools } from "./pools.ts";
import { type TaskRun, withPlacement } from "./task-run.ts";
import type { Uploads } from "./uploads.ts";
import type { VolumeUsers } from "./volumes.ts";

export class Images {
	readonly #context: NodeContext;
	readonly #pools: Pools;
	readonly #uploads: Uploads;
	readonly #users: VolumeUsers;

	constructor(context: NodeContext, pools: Pools, uploads: Uploads, users: VolumeUsers) {
		this.#context = context;
		this.#pools = pools;
		this.#uploads = uploads;
		this.#users = users;
	}

	/** The task image.import. */
	async import(imageId: string, run: TaskRun): Promise<string | null> {
		try {
			await this.#import(imageId, run);
			return withPlacement(run.task, null);
		} catch (error) {
			if (!this.#context.stopping.aborted) await this.#undo(imageId, error);
			throw error;
		}
	}

	async #import(imageId: string, run: TaskRun): Promise<void> {
		const image = this.#context.store.get("image", imageId);
		if (!image) throw new AppError("not-found", "The image does not exist any more.");
		if (image.phase === "ready") return;
		const { format } = image;
		if (format !== "qcow2" && format !== "raw" && format !== "iso")
			throw new AppError("unsupported", `Images of format ${format} cannot be imported in this version.`);
		const driver = await this.#pools.driver(image.poolId);
		// A run before this one came as far as the image itself: then only the record is behind.
		const sent = (await driver.getImage(imageId)) ? null : await this.#receive(image, driver, run);
		run.signal.throwIfAborted();
		const { phase } = this.#context.store.get("image", imageId) ?? image;
		if (phase !== "importing") await this.#context.propose({ kind: "imageStatus", id: imageId, phase: "importing" });
		const info = await heavyCopy(this.#context, run, "Checking the image", (signal, progress) =>
			driver.finishImage(imageId, { format, sha256: image.expectedSha256 ?? sent, signal, progress }),
		);
		await this.#context.propose({
			kind: "imageStatus",
			id: imageId,
			phase: "ready",
			receivedBytes: info.fileSizeBytes,
			fileSizeBytes: info.fileSizeBytes,
			virtualSizeBytes: info.virtualSizeBytes,
			sha256: info.sha256,
			// A pool may keep it otherwise than it came.
			...(info.format === format ? {} : { format: info.format }),
			error: null,
		});
	}

	/** Gets the file into the pool's upload area; its checksum, when it is known already. What an earlier run got there is used or replaced. */
	async #receive(image: Image, driver: StorageDriver, run: TaskRun): Promise<string | null> {
		const { source } = image;
		if (source.kind === "image")
			return copyImage({ context: this.#context, pools: this.#pools }, { image, driver }, source.imageId, run);
		await this.#receiveFile({ ...image, source }, driver, run);
		return null;
	}

	async #receiveFile(
		image: Image & { source: Exclude<Image["source"], { kind: "image" }> },
		driver: StorageDriver,
		run: TaskRun,
	): Promise<void> {
		const { source } = image;
		const { id } = image;
		switch (source.kind) {
			case "upload":
				if (image.phase !== "uploading") return;
				await run.setCancelable(true);
				run.say("Waits for the upload");
				return this.#uploads.waitUntilComplete(image, driver, run.signal, (receivedBytes) =>
					run.progress(image.fileSizeBytes ? receivedBytes / image.fileSizeBytes : null),
				);
			case "path":
				return heavyCopy(this.#context, run, "Copying the file", (signal, progress) =>
					driver.importFile(id, source.path, { signal, progress }),
				);
			case "url":
				return heavyCopy(this.#context, run, "Downloading", (signal, progress) =>
					this.#context.fetchUrl({ url: source.url, imageId: id, driver, signal, progress }),
				);
			case "volume":
				return this.#fromVolume(image, source.volumeId, driver, run);
		}
	}

	async #fromVolume(image: Image, volumeId: string, driver: StorageDriver, run: TaskRun): Promise<void> {
		const volume = this.#context.store.get("volume", volumeId);
		if (!volume) throw new AppError("not-found", "The volume that the image is made from does not exist any more.");
		if (image.format === "iso") throw new AppError("invalid", "A volume cannot become an ISO image.");
		const format = image.format === "raw" ? "raw" : "qcow2";
		const from = await this.#pools.driver(volume.poolId);
		const copy = () =>
			heavyCopy(this.#context, run, `Copying volume "${volume.name}"`, async (signal, progress) => {
				if (volume.poolId === image.poolId)
					return driver.imageFromVolume(image.id, volumeId, { format, signal, progress });
				await streamToUpload(await from.exportVolume(volumeId, format, { signal }), driver, image.id, signal, progress);
			});
		if (volume.vmId === null) return copy();
		run.say(`Waits until nothing happens to the VM that has "${volume.name}"`);
		await run.setCancelable(true);
		const work = (active: boolean) => {
			if (!active) return copy();
			throw new AppError("wrong-state", `Volume "${volume.name}" belongs to a running VM: stop it to copy the volume.`);
		};
		// Other copies of it may come first, each of which takes hours.
		return this.#users.whileStill(volume.vmId, run.signal, work, null);
	}

	async #undo(imageId: string, error: unknown): Promise<void> {
		const image = this.#context.store.get("image", imageId);
		if (!image || image.phase === "ready" || image.phase === "deleting") return;
		try {
			await this.#deleteInPool(image, { signal: this.#context.stopping });
		} catch (undoError) {
			this.#context.logger.warn("an image that failed was not cleaned up", { imageId, error: undoError });
		}
		await this.#context.propose({ kind: "imageStatus", id: imageId, phase: "error", error: toErrorInfo(error) });
	}

	/** The task image.delete. Refused while something uses it; then the image is as before. */
	async delete(imageId: string, run: TaskRun): Promise<string | null> {
		const { store } = this.#context;
		const image = store.get("image", imageId);
		if (!image) return null;
		try {
			const copies = store.all("image", { sourceImageId: imageId }).filter(isBeingMade);
			requireNone(copies, (names) => `Being made of image "${image.name}": ${names}.`);
			const users = store.all("volume", { sourceImageId: imageId }).filter(needsSource);
			requireNone(users, (names) => `Copies of image "${image.name}": ${names}.`);
			const reader = store.all("vm", { imageId })[0];
			if (reader) throw new AppError("in-use", `VM "${reader.name}" has image "${image.name}" in a CD-ROM drive.`);
			await this.#deleteInPool(image, run);
		} catch (error) {
			if (this.#context.stopping.aborted) throw error;
			await this.#context.propose({ kind: "imageStatus", id: imageId, phase: "error", error: toErrorInfo(error) });
			// Refused, not failed: nothing happened to it.
			if (isAppError(error, "in-use") && image.sha256 !== null)
				await this.#context.propose({ kind: "imageStatus", id: imageId, phase: "ready", error: null });
			throw error;
		}
		await this.#context.propose({ kind: "imageGone", id: imageId });
		return null;
	}

	#deleteInPool(image: Image, run: NonNullable<LongStepOptions["run"]>): Promise<void> {
		return this.#context.locks.run(`image:${image.id}`, async () => {
			const driver = await this.#pools.driver(image.poolId);
			await longStep(
				this.#context,
				`Deleting image "${image.name}"`,
				{ run, idleMs: deletionIdleOf(driver) },
				(options) => driver.deleteImage(image.id, options),
			);
		});
	}
}

function requireNone(users: readonly { name: string }[], what: (names: string) => string): void {
	if (users.length > 0) throw new AppError("in-use", what(listNames(users.map(({ name }) => name).sort())));
}
