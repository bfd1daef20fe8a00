/**
 * Volumes as streams. What is exported is a snapshot, so it takes no space at first and a VM may start at once; what is read
 * for another node is the volume itself, held against its mark at the end. A volume that comes in raw goes straight into RBD; one
 * in qcow2 is a file first, and inspected.
 */
import { open, rm } from "node:fs/promises";
import { AppError } from "../../lib/errors.ts";
import type { VolumeFormat } from "../../model/storage.ts";
import type { LongOptions, VolumeContent, VolumeInfo } from "../driver.ts";
import { withFileErrors } from "../file-errors.ts";
import { streamFile } from "../file-stream.ts";
import { inspectImage } from "../inspect/inspect-image.ts";
import { SparseWriter } from "../local/sparse-writer.ts";
import { diskSize, requireId, sectorBytes } from "../names.ts";
import type { RbdContext } from "./context.ts";
import { describeVolume, notFound } from "./describe.ts";
import { copyIn, copyOut } from "./disk-copies.ts";
import { volumeName } from "./names.ts";
import { requireNotCanceled } from "./runner.ts";
import type { Staging } from "./staging.ts";
import { exactly, limited } from "./streams.ts";
import type { RbdVolumes } from "./volumes.ts";

export class RbdTransfer {
	readonly #context: RbdContext;
	readonly #volumes: RbdVolumes;
	readonly #staging: Staging;

	constructor(context: RbdContext, volumes: RbdVolumes, staging: Staging) {
		this.#context = context;
		this.#volumes = volumes;
		this.#staging = staging;
	}

	async export(
		id: string,
		format: VolumeFormat,
		options: LongOptions,
	): Promise<{ sizeBytes: number; stream: ReadableStream<Uint8Array> }> {
		const held = await this.#hold(id);
		try {
			const name = volumeName(id);
			const { sizeBytes } = await this.#closed(id);
			if (format === "qcow2") {
				const copy = await this.#copied(name, options);
				held[Symbol.dispose]();
				return copy;
			}
			const { snapshot, release } = await this.#context.work.holdSnapshot(id);
			const source = this.#context.images.exportStream({ name, snapshot }, options);
			const end = () => release().finally(() => held[Symbol.dispose]());
			return { sizeBytes, stream: limited(source, { sizeBytes, release: end }) };
		} catch (error) {
			held[Symbol.dispose]();
			throw error;
		}
	}

	async read(id: string, options: LongOptions): Promise<VolumeContent> {
		const held = await this.#hold(id);
		try {
			const before = await this.#closed(id);
			const { sizeBytes } = before;
			const check = async () => {
				const after = await this.#closed(id);
				if (after.contentMark !== before.contentMark)
					throw new AppError("in-use", `Volume ${id} was changed while it was being read.`);
			};
			const source = this.#context.images.exportStream({ name: volumeName(id) }, options);
			const release = async () => held[Symbol.dispose]();
			return { format: "raw", sizeBytes, stream: limited(source, { sizeBytes, check, release }) };
		} catch (error) {
			held[Symbol.dispose]();
			throw error;
		}
	}

	async receive(id: string, content: VolumeContent, options: LongOptions): Promise<VolumeInfo> {
		try {
			requireId(id, "volume");
			diskSize(content.sizeBytes, this.#context.inspectLimits.maxVirtualBytes);
			using _own = await this.#volumes.lock(id);
			if ((await this.#context.images.info(volumeName(id))) !== null)
				throw new AppError("already-exists", `Volume ${id} is in this pool already.`);
			requireNotCanceled(options);
			if (content.format === "qcow2") await this.#receiveFile(id, content, options);
			else await this.#receiveRaw(id, content, options);
			const info = await describeVolume(this.#context, id);
			if (info === null) throw notFound(id);
			return info;
		} finally {
			if (!content.stream.locked) await content.stream.cancel().catch(() => {});
		}
	}

	async #receiveRaw(id: string, { stream, sizeBytes }: VolumeContent, options: LongOptions): Promise<void> {
		if (sizeBytes % sectorBytes !== 0)
			throw new AppError("storage", "What comes is no raw disk: its length is not a multiple of 512 bytes.");
		await this.#volumes.place(id, async (name) => {
			// Not ended by the signal: the cluster takes a client that was killed for alive, and keeps its image, half a minute.
			await this.#context.images.importStream(name, exactly(stream, sizeBytes, options), {});
			requireNotCanceled(options);
		});
	}

	async #receiveFile(id: string, { stream, sizeBytes }: VolumeContent, options: LongOptions): Promise<void> {
		await this.#staging.withTemporary(async (path) => {
			await withFileErrors("receiving the volume", async () => {
				const file = await open(path, "wx", 0o600);
				try {
					const writer = new SparseWriter(file, 0, null);
					for await (const chunk of exactly(stream, sizeBytes, options)) await writer.append(chunk);
					await writer.settle();
				} finally {
					await file.close();
				}
			});
			const { virtualSizeBytes } = await inspectImage(path, "qcow2", options, this.#context.inspectLimits);
			await this.#volumes.place(id, async (name) => {
				await this.#context.images.create(name, diskSize(virtualSizeBytes));
				await copyIn(this.#context.runner, { path, format: "qcow2" }, name, options);
			});
		});
	}

	async #copied(name: string, options: LongOptions) {
		return this.#staging.withTemporary(async (path) => {
			await copyOut(this.#context.runner, name, { path, format: "qcow2" }, options);
			return withFileErrors("exporting the volume", async () => {
				const file = await open(path, "r");
				await rm(path);
				const { size } = await file.stat();
				return { sizeBytes: size, stream: streamFile(file, size, options.signal) };
			});
		});
	}

	/** Fails with `not-found`, and `in-use` when a VM has it open. */
	async #closed(id: string): Promise<VolumeInfo> {
		const info = await describeVolume(this.#context, id);
		if (info === null) throw notFound(id);
		await this.#context.images.requireNotOpen(volumeName(id));
		return info;
	}

	async #hold(id: string): Promise<Disposable> {
		requireId(id, "volume");
		return this.#context.locks.shared(`volume:${id}`, `Volume ${id} is busy with another operation.`);
	}
}
