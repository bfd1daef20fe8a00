/** What the storage lab VM promises to the tests inside it. */
import { expect, test } from "bun:test";
import { readFile, statfs, writeFile } from "node:fs/promises";
import { run } from "../../../../lib/run.ts";
import { GiB } from "../../../../lib/units.ts";

const limit = { timeoutMs: 30_000 };

test("is a Debian of its own with a kernel that has the modules", async () => {
	expect(await readFile("/etc/os-release", "utf8")).toContain("VERSION_CODENAME=trixie");
	const { stdout } = await run("lsmod", [], limit);
	for (const name of [
		"nfsd",
		"nfsv4",
		"iscsi_tcp",
		"iscsi_target_mod",
		"target_core_file",
		"dm_multipath",
		"dm_flakey",
	])
		expect(stdout).toMatch(new RegExp(`^${name}\\s`, "m"));
});

test("has an empty disk that is large", async () => {
	const { bavail, bsize } = await statfs("/data");
	expect(bavail * bsize).toBeGreaterThan(30 * GiB);
	await writeFile("/data/kept", "x");
	expect(await readFile("/data/kept", "utf8")).toBe("x");
});

test("runs our executable, which is no Bun then", async () => {
	const { stdout } = await run("/repo/dist/limiquantix", ["--version"], limit);
	expect(stdout).toMatch(/^\D*\d+\.\d+\.\d+/);
	expect(stdout).not.toContain(Bun.version);
});
