/**
 * Which processes have something open below a folder, be it that they stand in it. By the links of proc(5) alone, whose text the kernel has: the
 * files are not touched, whose file system may not answer.
 */
import { readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { isInside } from "../../model/host-paths.ts";
import { errnoOf, fileError } from "../file-errors.ts";

/** `proc`: for tests. */
export async function isOpenBelow(folder: string, proc = "/proc"): Promise<boolean> {
	for (const id of (await list(proc)).filter((name) => /^[0-9]+$/.test(name))) {
		const process = join(proc, id);
		const files = (await list(join(process, "fd"))).map((name) => join(process, "fd", name));
		for (const link of [...files, join(process, "cwd"), join(process, "root")]) {
			const target = await targetOf(link);
			if (target !== null && isInside(target, folder)) return true;
		}
	}
	return false;
}

const list = async (folder: string): Promise<string[]> => (await unlessGone(() => readdir(folder))) ?? [];
/** A file that was deleted has a word behind its path. */
const targetOf = (link: string): Promise<string | null> => unlessGone(() => readlink(link));

/** Processes end while one looks. */
async function unlessGone<T>(look: () => Promise<T>): Promise<T | null> {
	try {
		return await look();
	} catch (error) {
		if (["ENOENT", "ESRCH"].includes(errnoOf(error) ?? "")) return null;
		throw fileError(error, "looking at what processes have open");
	}
}
