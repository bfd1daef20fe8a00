/**
 * An image of another pool comes into the upload area of this one, as a file that is then checked as every upload is. It is read where it
 * lies, or from a node that has it. While the copy is being made, the state keeps its source from being deleted.
 *
 * What arrived is what was read: by the source's own checksum where pools keep the files that came, which the record of the copy expects
 * then; elsewhere by one that is made of the bytes as they are read, for a raw disk in Ceph or on a LUN has another than the qcow2 file
 * that it came as.
 */
import { AppError } from "../lib/errors.ts";
import { mayWorkOn } from "../model/pool-parts.ts";
import type { Image } from "../model/storage.ts";
import type { StorageDriver } from "../storage/driver.ts";
import { workerOfImage } from "../store/storage-worker.ts";
import type { NodeContext } from "./context.ts";
import { streamToUpload } from "./copy-across-pools.ts";
import { heavyCopy } from "./heavy-copy.ts";
import { requireSpace } from "./image-copies.ts";
import type { Pools } from "./pools.ts";
import type { TaskRun } from "./task-run.ts";

type Parts = { context: NodeContext; pools: Pick<Pools, "driver"> };
type Target = { image: Image; driver: StorageDriver };
type Content = { sizeBytes: number; stream: ReadableStream<Uint8Array> };

/** A complete upload of `image`; the checksum of what was read. */
export async function copyImage(
	{ context, pools }: Parts,
	{ image, driver }: Target,
	originId: string,
	run: TaskRun,
): Promise<string> {
	const origin = context.store.get("image", originId);
	if (!origin) throw new AppError("not-found", "The image that this is a copy of does not exist any more.");
	if (origin.phase !== "ready")
		throw new AppError("wrong-state", `The image "${origin.name}" that this is a copy of is ${origin.phase}.`);
	const from = fromWhere(context, origin);
	const place = from === null ? "" : ` from ${context.store.get("node", from)?.name ?? "another node"}`;
	return heavyCopy(context, run, `Copying image "${origin.name}"${place}`, async (signal, progress) => {
		const content: Content =
			from === null
				? await (await pools.driver(origin.poolId)).openImage(origin.id)
				: await context.remote.openImage(from, origin.id, { signal, progress });
		try {
			await requireSpace(driver, content.sizeBytes, `image "${image.name}"`);
		} catch (error) {
			await content.stream.cancel(error).catch(() => {});
			throw error;
		}
		const hasher = new Bun.CryptoHasher("sha256");
		const read = content.stream.pipeThrough(
			new TransformStream<Uint8Array, Uint8Array>({
				transform(part, controller) {
					hasher.update(part);
					controller.enqueue(part);
				},
			}),
		);
		await streamToUpload({ sizeBytes: content.sizeBytes, stream: read }, driver, image.id, signal, progress);
		return hasher.digest("hex");
	});
}

/** The node that it is read from; null: this one. */
function fromWhere({ store, nodeId }: NodeContext, origin: Image): string | null {
	const pool = store.get("pool", origin.poolId);
	const isHere = pool?.nodeIds.includes(nodeId) === true && mayWorkOn(pool, nodeId);
	if (origin.nodeId === nodeId || (origin.nodeId === null && isHere)) return null;
	const worker = workerOfImage(store, origin);
	if (worker !== null) return worker === nodeId ? null : worker;
	throw new AppError("unavailable", `No node has the pool of image "${origin.name}".`);
}
