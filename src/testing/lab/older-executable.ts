/**
 * The executable of an older commit of this repository, built by that commit's own build script; with today's packages, since
 * node_modules is linked. It is kept under .cache/older by commit, so it is built once on a machine.
 */
import {
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	realpathSync,
	renameSync,
	rmSync,
	symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import { run } from "../../lib/run.ts";
import { root } from "../../scripts/root.ts";

export type OlderExecutables = {
	/** As that commit is. */
	whole: string;
	/** The same code, and it does not know these features: what is new since can be told from what is old. */
	without: string;
};

const cache = join(root, ".cache", "older");
const commandLimitMs = 60_000;
const buildLimitMs = 120_000;

/** Null when the commit is there; else why it cannot be built. */
export async function missingCommit(commit: string): Promise<string | null> {
	if (!existsSync(join(root, ".git"))) return "this is no clone of the repository";
	try {
		await git("cat-file", "-e", `${commit}^{commit}`);
		return null;
	} catch {
		const shallow = await git("rev-parse", "--is-shallow-repository").catch(() => "");
		const why = shallow.trim() === "true" ? "this clone is shallow: git fetch --unshallow" : "it is not in this clone";
		return `commit ${commit.slice(0, 12)} is needed, and ${why}`;
	}
}

/** Builds what is not there yet. `features`: those that `without` lacks. */
export async function olderExecutables(commit: string, features: readonly string[]): Promise<OlderExecutables> {
	const folder = join(cache, `${commit}-${features.join("-")}`);
	const built = { whole: join(folder, "limiquantix"), without: join(folder, "without") };
	if (existsSync(folder)) return built;
	mkdirSync(cache, { recursive: true });
	// Not inside this checkout: the older tree would find settings of this one.
	const work = mkdtempSync("/tmp/lqx-older-");
	const made = mkdtempSync(join(cache, "new-"));
	try {
		const archive = join(work, "tree.tar");
		const tree = join(work, "tree");
		mkdirSync(tree);
		await git("archive", `--output=${archive}`, commit);
		await run("tar", ["--extract", "--file", archive, "--directory", tree], { timeoutMs: commandLimitMs });
		symlinkSync(realpathSync(join(root, "node_modules")), join(tree, "node_modules"));
		const without = join(made, "without");
		const script = `const { build, buildWithout } = await import("./src/scripts/build.ts");
			await build();
			await buildWithout(${JSON.stringify(features)}, ${JSON.stringify(without)});`;
		await run(process.execPath, ["--eval", script], { timeoutMs: buildLimitMs, cwd: tree });
		await run("mv", ["--", join(tree, "dist/limiquantix"), made], { timeoutMs: commandLimitMs });
		keep(made, folder);
		return built;
	} finally {
		rmSync(work, { recursive: true, force: true });
		rmSync(made, { recursive: true, force: true });
	}
}

/** The whole folder at once: one of a build that was cut off is never taken for one. Those of other commits go. */
function keep(made: string, folder: string): void {
	for (const name of readdirSync(cache)) {
		const path = join(cache, name);
		if (path !== made && path !== folder && !name.startsWith("new-")) rmSync(path, { recursive: true, force: true });
	}
	try {
		renameSync(made, folder);
	} catch (cause) {
		// Somebody else has built the same meanwhile.
		if (!existsSync(folder)) throw new AppError("internal", "The older executable could not be kept.", { cause });
	}
}

/** Also in a checkout of another user: lab tests run as root. */
async function git(...args: string[]): Promise<string> {
	const { stdout } = await run("git", ["-C", root, "-c", `safe.directory=${root}`, ...args], {
		timeoutMs: commandLimitMs,
	});
	return stdout;
}
