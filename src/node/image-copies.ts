/**
 * Copies of images whose file is on another node. A VM of this node that needs such an image gets a copy into this node's own
 * part of the image's pool, under the image's id: it comes the way of every upload, is held against the image's checksum,
 * and is there whole or not at all. It goes when the image is deleted.
 *
 * Which images are copies is in `<dataDir>/image-copies.json`, written before the first byte: only what is named there is
 * ever removed for want of a record, so that a state that is older than the pool costs nobody an image.
 */
import { Type } from "@sinclair/typebox";
import { AppError } from "../lib/errors.ts";
import { formatBytes } from "../lib/units.ts";
import { Strict } from "../model/schema.ts";
import type { Image } from "../model/storage.ts";
import type { StorageDriver } from "../storage/driver.ts";
import { limited, type NodeContext } from "./context.ts";
import { streamToUpload } from "./copy-across-pools.ts";
import { heavyCopy, type MakingRun } from "./heavy-copy.ts";
import { deletionIdleOf, limits } from "./limits.ts";
import { longStep } from "./long-step.ts";
import type { Pools } from "./pools.ts";
import { RecordFile } from "./record-file.ts";

const Copy = Strict({ poolId: Type.String() });
export const copyRecords = { name: "image-copies", schema: Copy };

export class ImageCopies {
	readonly #context: NodeContext;
	readonly #pools: Pick<Pools, "driver" | "isLeaving">;
	/** By image id. */
	readonly #records: RecordFile<typeof Copy>;

	constructor(context: NodeContext, pools: Pick<Pools, "driver" | "isLeaving">) {
		this.#context = context;
		this.#pools = pools;
		this.#records = new RecordFile(context, copyRecords);
	}

	isElsewhere({ nodeId }: Image): boolean {
		return nodeId !== null && nodeId !== this.#context.nodeId;
	}

	/** When it resolves, the image's file is on this node. One at a time gets it; the others wait for that one. */
	async ensure(image: Image, run: MakingRun): Promise<void> {
		if (!this.isElsewhere(image)) return;
		const driver = await this.#pools.driver(image.poolId);
		if (await this.#isThere(driver, image.id)) return;
		await run.setCancelable(true);
		const pull = async () => {
			if (!(await this.#isThere(driver, image.id))) await this.#pull(image, driver, run);
		};
		await this.#context.locks.run(`image:${image.id}`, pull, run.signal);
	}

	#isThere(driver: StorageDriver, imageId: string): Promise<boolean> {
		const look = async () => (await driver.getImage(imageId)) !== null;
		return limited(this.#context, "Looking for an image", limits.quickStorageMs, look);
	}

	async #pull(
		{ id, name, nodeId, poolId, format, sha256 }: Image,
		driver: StorageDriver,
		run: MakingRun,
	): Promise<void> {
		const { store, remote, stopping } = this.#context;
		if (nodeId === null || sha256 === null || (format !== "qcow2" && format !== "raw" && format !== "iso"))
			throw new AppError("wrong-state", `The image "${name}" is not complete.`);
		const owner = store.get("node", nodeId)?.name ?? "another node";
		await this.#records.set(id, { poolId });
		try {
			await heavyCopy(this.#context, run, `Copying image "${name}" from ${owner}`, async (signal, progress) => {
				const content = await remote.openImage(nodeId, id, { signal, progress });
				try {
					await requireSpace(driver, content.sizeBytes, `image "${name}"`);
				} catch (error) {
					await content.stream.cancel().catch(() => {});
					throw error;
				}
				const received = (ratio: number | null) => progress(ratio === null ? null : ratio * 0.9);
				await streamToUpload(content, driver, id, signal, received);
				await driver.finishImage(id, {
					format,
					sha256,
					signal,
					progress: (ratio) => progress(0.9 + (ratio ?? 0) * 0.1),
				});
			});
		} catch (error) {
			if (!stopping.aborted)
				await driver.deleteImage(id).then(
					() => this.#records.delete(id),
					(cause) =>
						this.#context.logger.warn("what was copied of an image stays for now", { imageId: id, error: cause }),
				);
			throw error;
		}
	}

	/** Removes copies of images that are gone, and what is left of copies that were cut off. Never fails. */
	async sweep(): Promise<void> {
		for (const [id, { poolId }] of await this.#records.entries()) {
			try {
				// A copy of the state that is behind may not know the image yet.
				await this.#context.store.readIndex();
				await this.#context.locks.run(`image:${id}`, () => this.#sweepOne(id, poolId), this.#context.stopping);
			} catch (error) {
				if (!this.#context.stopping.aborted)
					this.#context.logger.warn("the copy of an image stays for now", { imageId: id, error });
			}
		}
	}

	async #sweepOne(id: string, poolId: string): Promise<void> {
		const { store } = this.#context;
		const image = store.get("image", id);
		if (image && !this.isElsewhere(image)) return this.#records.delete(id);
		const pool = store.get("pool", poolId);
		// It goes with its pool, which has to know of it.
		if (pool === null && (await this.#pools.isLeaving(poolId))) return;
		if (!pool?.nodeIds.includes(this.#context.nodeId)) return this.#records.delete(id);
		const driver = await this.#pools.driver(poolId);
		if (image && (await this.#isThere(driver, id))) return;
		await longStep(this.#context, "Deleting the copy of an image", { idleMs: deletionIdleOf(driver) }, (options) =>
			driver.deleteImage(id, options),
		);
		await this.#records.delete(id);
	}
}

/** Fails with `no-space` before anything is copied. */
export async function requireSpace(driver: Pick<StorageDriver, "check">, bytes: number, what: string): Promise<void> {
	const { availableBytes } = await driver.check();
	if (availableBytes >= bytes) return;
	throw new AppError(
		"no-space",
		`There is no room for ${what} on this node: its pool has ${formatBytes(availableBytes)} left, ${formatBytes(bytes)} are needed.`,
	);
}
