/** `qemu-img check` of a volume's own files, the one that is written to first. Layers are read-only and never repaired. */
import { AppError } from "../../lib/errors.ts";
import type { LongOptions, VolumeDamage } from "../driver.ts";
import { requireId } from "../names.ts";
import { checkDisk } from "../qemu-img.ts";
import { chainOf, requireHeadersMatch } from "./chain.ts";
import type { LocalContext } from "./context.ts";

/** Fails with `not-found`, `in-use`, `canceled`, `storage`. A raw file has no structure that could be damaged. */
export async function checkVolume(
	{ folder, locks }: LocalContext,
	id: string,
	options: LongOptions & { repair: boolean },
): Promise<VolumeDamage> {
	requireId(id, "volume");
	using _own = await locks.exclusive(`volume:${id}`, `Volume ${id} is busy with another operation.`);
	const record = await folder.readVolume(id);
	if (record === null) throw new AppError("not-found", `Volume ${id} is not in this pool.`);
	const chain = await chainOf(folder, record);
	await requireHeadersMatch(folder, chain);
	const found: VolumeDamage = { errors: 0, leakedBytes: 0, repaired: 0 };
	for (const file of chain) {
		if (file.format === "raw" || file.owner.kind !== "volume" || file.owner.id !== id) continue;
		const of = await checkDisk(file.path, { ...options, repair: options.repair && file === chain[0] });
		found.errors += of.errors;
		found.leakedBytes += of.leakedBytes;
		found.repaired += of.repaired;
	}
	return found;
}
