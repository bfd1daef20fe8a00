/**
 * Block devices that somebody on this host has mounted or swaps to, by their numbers: "8:16". In any mount namespace: an administrator may have
 * mounted one where this process does not see it. Read from the kernel, no device is asked.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { errnoOf, fileError } from "../file-errors.ts";

/** `proc`: for tests. */
export async function devicesInUse(proc = "/proc"): Promise<ReadonlySet<string>> {
	const found = new Set<string>();
	for (const process of (await readdir(proc)).filter((name) => /^[0-9]+$/.test(name)))
		for (const number of mountedNumbers((await text(`${proc}/${process}/mountinfo`)) ?? "")) found.add(number);
	for (const path of swapPaths((await text(`${proc}/swaps`)) ?? "")) {
		const number = await deviceNumber(path);
		if (number !== null) found.add(number);
	}
	return found;
}

/** The third field of proc(5), mountinfo. */
export const mountedNumbers = (mountinfo: string): string[] =>
	mountinfo.split("\n").flatMap((line) => {
		const number = line.split(" ")[2];
		return number !== undefined && /^[0-9]+:[0-9]+$/.test(number) ? [number] : [];
	});

/** Of the partitions among them; a file lies on what is mounted. */
export const swapPaths = (swaps: string): string[] =>
	swaps.split("\n").flatMap((line) => {
		const [path, type] = line.split(/\s+/);
		return path !== undefined && type === "partition" ? [path] : [];
	});

async function deviceNumber(path: string): Promise<string | null> {
	try {
		const { rdev } = await stat(path, { bigint: true });
		// As glibc takes it apart.
		const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
		const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
		return `${major}:${minor}`;
	} catch (error) {
		if (errnoOf(error) === "ENOENT") return null;
		throw fileError(error, "looking at what the host swaps to");
	}
}

/** Processes end while one looks. */
async function text(path: string): Promise<string | null> {
	try {
		return await readFile(path, "utf8");
	} catch (error) {
		if (["ENOENT", "ESRCH", "EINVAL"].includes(errnoOf(error) ?? "")) return null;
		throw fileError(error, "reading the kernel's list of mounts");
	}
}
