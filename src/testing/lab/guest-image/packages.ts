/**
 * Fetches Debian packages and unpacks them into a folder, without installing anything. What is already in the cache is
 * used as it is, so a build can be repeated without a network; remove the folder to take newer versions.
 */
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError, isAppError } from "../../../lib/errors.ts";
import { run } from "../../../lib/run.ts";

const downloadLimitMs = 300_000;

/**
 * The folder with the contents of all `packages`. A package that only names another (`linux-image-cloud-amd64`) brings
 * its first dependency when `follow` lists it. Fails with `unavailable` when they cannot be fetched.
 */
export async function unpackedPackages(
	cacheDirectory: string,
	packages: readonly string[],
	follow: readonly string[],
): Promise<{ root: string; files: string[] }> {
	const final = join(cacheDirectory, "packages");
	const present = await readdir(join(final, "deb")).catch(() => undefined);
	if (present) return { root: join(final, "root"), files: present.sort() };

	await mkdir(cacheDirectory, { recursive: true });
	const work = await mkdtemp(join(cacheDirectory, "packages-"));
	try {
		const debs = join(work, "deb");
		await mkdir(debs);
		await download(debs, [...packages, ...follow]);
		const followed: string[] = [];
		for (const file of await readdir(debs))
			if (follow.some((name) => file.startsWith(`${name}_`))) followed.push(await firstDependency(join(debs, file)));
		if (followed.length > 0) await download(debs, followed);
		for (const file of await readdir(debs))
			await run("dpkg", ["-x", join(debs, file), join(work, "root")], { timeoutMs: 60_000 });
		await publish(work, final);
	} finally {
		await rm(work, { recursive: true, force: true });
	}
	return { root: join(final, "root"), files: (await readdir(join(final, "deb"))).sort() };
}

/** Renames `work` to `final`; when somebody else was faster, theirs stays. */
export async function publish(work: string, final: string): Promise<void> {
	try {
		await rename(work, final);
	} catch (error) {
		const code = (error as NodeJS.ErrnoException).code;
		if (code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
	}
}

async function download(directory: string, packages: readonly string[]): Promise<void> {
	const fetchAll = () =>
		run("apt-get", ["-q", "-o", "APT::Sandbox::User=root", "download", "--", ...packages], {
			timeoutMs: downloadLimitMs,
			cwd: directory,
		});
	try {
		await fetchAll();
	} catch (error) {
		if (isAppError(error, "unavailable")) throw error;
		// The lists may be missing or older than what the mirror still has.
		try {
			await run("apt-get", ["-q", "update"], { timeoutMs: downloadLimitMs });
			await fetchAll();
		} catch (cause) {
			throw new AppError("unavailable", `The packages ${packages.join(", ")} cannot be downloaded.`, { cause });
		}
	}
}

/** "linux-image-6.1.0-1-cloud-amd64 (= 6.1.1-1), other" → "linux-image-6.1.0-1-cloud-amd64". */
async function firstDependency(deb: string): Promise<string> {
	const { stdout } = await run("dpkg-deb", ["-f", deb, "Depends"], { timeoutMs: 10_000 });
	const name = /^[a-z0-9][a-z0-9+.-]+/.exec(stdout.trim())?.[0];
	if (name === undefined) throw new AppError("not-found", `${deb} depends on nothing.`);
	return name;
}
