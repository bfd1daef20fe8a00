/**
 * Uploads of images: parts come by HTTP in any number of requests and grow one file in the pool; the import task waits
 * for the whole. How much is there is known by the driver, also after a restart; the record follows, for people.
 */
import { AppError, isAppError } from "../lib/errors.ts";
import type { Image } from "../model/storage.ts";
import type { StorageDriver, UploadFile } from "../storage/driver.ts";
import type { NodeContext } from "./context.ts";
import { intervals, limits } from "./limits.ts";
import type { Pools } from "./pools.ts";
import { Bell, withLimit } from "./wait.ts";

export class Uploads {
	readonly #context: NodeContext;
	readonly #pools: Pools;
	/** Rung when something was received, by image id. */
	readonly #bells = new Map<string, Bell>();
	readonly #writing = new Set<string>();

	constructor(context: NodeContext, pools: Pools) {
		this.#context = context;
		this.#pools = pools;
	}

	/** Appends the body. `wrong-state` when `offset` is not what is there, or another request is writing. */
	async write(imageId: string, offset: number, body: ReadableStream<Uint8Array>): Promise<{ receivedBytes: number }> {
		const image = this.#uploading(imageId);
		if (this.#writing.has(imageId)) {
			await body.cancel().catch(() => {});
			throw new AppError("wrong-state", "Another request is uploading this image right now.");
		}
		this.#writing.add(imageId);
		try {
			return { receivedBytes: await this.#append(image, offset, body) };
		} catch (error) {
			await body.cancel().catch(() => {});
			throw error;
		} finally {
			this.#writing.delete(imageId);
			this.#bells.get(imageId)?.ring();
		}
	}

	async offset(imageId: string): Promise<number> {
		const image = this.#context.store.get("image", imageId);
		if (!image) throw new AppError("not-found", "There is no such image.");
		if (image.source.kind !== "upload") throw new AppError("wrong-state", "This image is not uploaded.");
		if (image.phase !== "uploading") return image.receivedBytes;
		return received(await this.#pools.driver(image.poolId), imageId);
	}

	/** Waits until all of the file is there; fails with `timeout` when nothing comes for a day. */
	async waitUntilComplete(
		image: Image,
		driver: StorageDriver,
		signal: AbortSignal,
		onProgress: (receivedBytes: number) => void,
	): Promise<void> {
		const bell = this.#bells.get(image.id) ?? new Bell();
		this.#bells.set(image.id, bell);
		try {
			for (;;) {
				const receivedBytes = await received(driver, image.id);
				onProgress(receivedBytes);
				if (receivedBytes >= (image.fileSizeBytes ?? Number.POSITIVE_INFINITY) && !this.#writing.has(image.id)) return;
				if ((await bell.wait(this.#context.clock, limits.uploadIdleMs, signal)) === "time")
					throw new AppError("timeout", "The upload was given up: nothing was received for a day.");
			}
		} finally {
			this.#bells.delete(image.id);
		}
	}

	#uploading(imageId: string): Image {
		const image = this.#context.store.get("image", imageId);
		if (!image) throw new AppError("not-found", "There is no such image.");
		if (image.source.kind !== "upload" || image.phase !== "uploading")
			throw new AppError("wrong-state", `The image is ${image.phase} and takes no upload.`);
		return image;
	}

	async #append(image: Image, offset: number, body: ReadableStream<Uint8Array>): Promise<number> {
		const driver = await this.#pools.driver(image.poolId);
		const file = await driver.openUpload(image.id, image.fileSizeBytes);
		try {
			if (file.receivedBytes !== offset)
				throw new AppError(
					"wrong-state",
					`The upload continues at ${file.receivedBytes}, not at ${offset} (receivedBytes: ${file.receivedBytes}).`,
					{ context: { receivedBytes: file.receivedBytes } },
				);
			await this.#copy(image, body, file);
			return file.receivedBytes;
		} finally {
			// Whatever came before an error is kept: the sender goes on from there.
			await file.close();
			await this.#record(image, file.receivedBytes);
		}
	}

	async #copy(image: Image, body: ReadableStream<Uint8Array>, file: UploadFile): Promise<void> {
		const { clock } = this.#context;
		const reader = body.getReader();
		let toldAtMs = clock.monotonicMs();
		try {
			for (;;) {
				this.#context.stopping.throwIfAborted();
				const options = { what: "The next part of the upload", limitMs: limits.uploadPartMs };
				const { done, value } = await withLimit(clock, options, () => reader.read());
				if (done) return;
				await file.write(value);
				if (clock.monotonicMs() - toldAtMs < 2 * intervals.progressMs) continue;
				toldAtMs = clock.monotonicMs();
				await this.#record(image, file.receivedBytes);
				this.#bells.get(image.id)?.ring();
			}
		} finally {
			reader.releaseLock();
		}
	}

	async #record(image: Image, receivedBytes: number): Promise<void> {
		const known = this.#context.store.get("image", image.id);
		if (known?.phase !== "uploading" || known.receivedBytes === receivedBytes) return;
		await this.#context.proposer
			.proposeSystem({ kind: "imageStatus", id: image.id, phase: "uploading", receivedBytes })
			.catch((error) => this.#context.logger.debug("progress of an upload was not recorded", { error }));
	}
}

async function received(driver: StorageDriver, imageId: string): Promise<number> {
	try {
		return (await driver.getUpload(imageId))?.receivedBytes ?? 0;
	} catch (error) {
		if (isAppError(error, "not-found")) return 0;
		throw error;
	}
}
