/** Copies of the fake driver that are made to stand alone. */
import { AppError } from "../lib/errors.ts";
import type { LongOptions } from "./driver.ts";
import type { FakePool, FakeVolume } from "./fake-pool.ts";
import { requireId } from "./names.ts";

export async function flatten(
	pool: FakePool,
	id: string,
	{ progress }: LongOptions,
	entered: Promise<void>,
): Promise<FakeVolume> {
	await entered;
	requireId(id, "volume");
	const volume = pool.volumes.get(id);
	if (!volume) throw new AppError("not-found", `Volume ${id} is not in this pool.`);
	progress?.(1);
	if (volume.backing.length === 0) return volume;
	for (const path of [volume.path, ...volume.layers.map((layer) => layer.path)])
		if (pool.isHeld(path)) throw new AppError("in-use", `A VM has volume ${id} open.`);
	const below = new Set(volume.backing.map((one) => one.id));
	Object.assign(volume, { content: volume.content.copy(), backing: [], fromSnapshot: null });
	// What rests on it rests on nothing else now.
	for (const other of pool.volumes.values())
		if (other.backing.some((one) => one.id === id)) other.backing = other.backing.filter((one) => !below.has(one.id));
	return volume;
}
