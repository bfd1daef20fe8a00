/**
 * The packages of Debian 13, unpacked into a folder: what a node runs on, whatever this machine runs. Fetched by this
 * machine's apt from the mirror that it uses itself, with lists and a state of their own; no script of a package runs.
 *
 * Host programs: apt-get, dpkg-deb.
 */
import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AppError } from "../../../lib/errors.ts";
import { run } from "../../../lib/run.ts";

const release = "trixie";
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
const aptLimitMs = 300_000;
const unpackLimitMs = 60_000;
/** Unpacking is mostly decompression. */
const unpackedAtOnce = 3;

/**
 * Unpacks `packages` and all that they depend on into `work`/root. `work` must be empty. Fails with `unavailable` when they
 * cannot be had.
 */
export async function unpackDebian(work: string, packages: readonly string[]): Promise<string> {
	const options = await privateApt(join(work, "apt"), await mirror());
	try {
		await run("apt-get", [...options, "update"], { timeoutMs: aptLimitMs });
		const install = ["install", "--yes", "--download-only", "--no-install-recommends", "--", ...packages];
		await run("apt-get", [...options, ...install], { timeoutMs: aptLimitMs });
	} catch (cause) {
		throw new AppError("unavailable", `The packages of Debian's ${release} cannot be had here.`, { cause });
	}
	const root = join(work, "root");
	await makeMergedRoot(root);
	const archives = join(work, "apt/archives");
	const left = (await readdir(archives)).filter((file) => file.endsWith(".deb"));
	const unpack = async (): Promise<void> => {
		for (let file = left.pop(); file !== undefined; file = left.pop())
			await run("dpkg-deb", ["--extract", join(archives, file), root], { timeoutMs: unpackLimitMs });
	};
	await Promise.all(Array.from({ length: unpackedAtOnce }, unpack));
	return root;
}

/** Where this machine has Debian from. */
async function mirror(): Promise<string> {
	const ask = () =>
		run("apt-get", ["indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"], { timeoutMs: 30_000 });
	const found = (said: string): string | undefined => /^Debian (\S+)$/m.exec(said)?.[1];
	const known = found((await ask()).stdout);
	if (known !== undefined) return known;
	// What a mirror is for is in lists that were not fetched yet.
	await run("apt-get", ["-q", "update"], { timeoutMs: aptLimitMs });
	const uri = found((await ask()).stdout);
	if (uri === undefined) throw new AppError("unavailable", "This machine has no mirror of Debian to fetch from.");
	return uri;
}

/** The options for an apt that knows of nothing installed. Proxies and the like stay as the machine has them. */
async function privateApt(folder: string, uri: string): Promise<string[]> {
	for (const name of ["lists/partial", "archives/partial", "none"])
		await mkdir(join(folder, name), { recursive: true });
	await writeFile(join(folder, "sources.list"), `deb [signed-by=${keyring}] ${uri} ${release} main\n`);
	await writeFile(join(folder, "status"), "");
	const settings = {
		"APT::Architecture": "amd64",
		"APT::Sandbox::User": "root",
		"Acquire::Languages": "none",
		"Dir::Etc::sourcelist": join(folder, "sources.list"),
		"Dir::Etc::sourceparts": join(folder, "none"),
		"Dir::Etc::preferencesparts": join(folder, "none"),
		"Dir::State::lists": join(folder, "lists"),
		"Dir::State::status": join(folder, "status"),
		"Dir::State::extended_states": join(folder, "extended-states"),
		"Dir::Cache": folder,
		"Dir::Cache::archives": join(folder, "archives"),
	};
	return ["-q", ...Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`])];
}

/** The links of base-files, first: whatever is unpacked goes through them. */
async function makeMergedRoot(root: string): Promise<void> {
	for (const name of ["bin", "sbin", "lib", "lib64"]) {
		await mkdir(join(root, "usr", name), { recursive: true });
		await symlink(join("usr", name), join(root, name));
	}
}
