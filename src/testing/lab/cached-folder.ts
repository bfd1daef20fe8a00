/** Folders of a git-ignored cache that are made once for the same inputs, and go when nobody has used them for a while. */
import { mkdtemp, readdir, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { publish } from "./guest-image/packages.ts";

/** The folder that `make` fills, whole or not at all. `inputs`: all that it is made of. */
export async function cachedFolder(
	cacheDir: string,
	name: string,
	inputs: readonly (string | Uint8Array)[],
	make: (out: string) => Promise<void>,
): Promise<string> {
	const hasher = new Bun.CryptoHasher("sha256");
	for (const input of inputs) hasher.update(`\n${input.length}\n`).update(input);
	const final = join(cacheDir, `${name}-${hasher.digest("hex").slice(0, 24)}`);
	if (await stat(final).catch(() => undefined)) {
		await utimes(final, new Date(), new Date());
		return final;
	}
	const work = await mkdtemp(join(cacheDir, "build-"));
	try {
		await make(work);
		await publish(work, final);
	} finally {
		await rm(work, { recursive: true, force: true });
	}
	return final;
}

/** Of other inputs, and what killed builds left; `names`: of those that may go. */
export async function removeUnused(cacheDir: string, keptMs: number, names = /./): Promise<void> {
	for (const name of await readdir(cacheDir)) {
		if (!names.test(name)) continue;
		const usedMs = (await stat(join(cacheDir, name)).catch(() => undefined))?.mtimeMs ?? Date.now();
		if (Date.now() - usedMs > keptMs) await rm(join(cacheDir, name), { recursive: true, force: true });
	}
}
