/** For tests of content that no record names: some of it in a pool, and what people ask for. */
import { present } from "../../lib/assert.ts";
import { MiB } from "../../lib/units.ts";
import { SparseBytes } from "../../storage/fake-content.ts";
import { noSnapshots } from "../../storage/fake-pool.ts";
import { clusterIds, fixtureId, fixtureVolume } from "../fixtures.ts";
import type { NodeWorld } from "./node-world.ts";

export const strays = { volume: fixtureId(0x901), clone: fixtureId(0x902), image: fixtureId(0x903) };
export const strayIds = [strays.volume, strays.clone, strays.image];

/** A volume that rests on an image, and a copy that rests on the volume. */
export function putStrays({ pool }: NodeWorld): void {
	const volume = (id: string, backing: { kind: "volume" | "image"; id: string }[]) =>
		pool.volumes.set(id, {
			...{ format: "qcow2", content: new SparseBytes(2 * MiB), path: `/fake/volumes/${id}.qcow2`, adopted: false },
			backing: backing.map((one) => ({ ...one, format: "qcow2" })),
			...noSnapshots(),
		});
	volume(strays.volume, [{ kind: "image", id: strays.image }]);
	volume(strays.clone, [{ kind: "volume", id: strays.volume }]);
	const sizes = { fileSizeBytes: MiB, virtualSizeBytes: 2 * MiB };
	pool.images.set(strays.image, {
		...{ id: strays.image, format: "raw", ...sizes, sha256: "", content: new SparseBytes(MiB) },
	});
}

/** One volume that rests on nothing, with two snapshots. */
export async function putStrayWithSnapshots(world: NodeWorld): Promise<string[]> {
	putStrays(world);
	const { pool } = world;
	pool.volumes.delete(strays.clone);
	pool.images.delete(strays.image);
	present(pool.volumes.get(strays.volume), "the volume").backing = [];
	const ids = [fixtureId(0x911), fixtureId(0x912)];
	for (const id of ids) await snapshotsOf(world).take(strays.volume, id, { running: false });
	return ids;
}

export const snapshotsOf = (world: NodeWorld) => present(world.driver.snapshots, "the snapshots of the pool");
export const lies = ({ pool }: NodeWorld): string[] => [...pool.volumes.keys(), ...pool.images.keys()];

export async function askToDeleteOrphans(
	world: NodeWorld,
	chosen: { volumeIds?: string[]; imageIds?: string[] },
	poolId: string = clusterIds.pool,
): Promise<string> {
	const task = world.task("pool.deleteOrphans", poolId);
	await world.propose({ kind: "poolOrphanDelete", id: poolId, volumeIds: [], imageIds: [], ...chosen, task });
	return task.id;
}

export async function askToAdopt(world: NodeWorld, id: string, snapshotIds: string[]): Promise<string> {
	const { format, content } = present(world.pool.volumes.get(id), "the volume");
	const volume = fixtureVolume({ id, name: "rescued", format, sizeBytes: content.length });
	const task = world.task("volume.create", id);
	await world.propose({ kind: "volumeCreate", volume, task, snapshotIds });
	return task.id;
}
