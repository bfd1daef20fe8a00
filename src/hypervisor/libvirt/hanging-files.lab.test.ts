/** Disks and UEFI variables of domains that others made, on a mount that does not answer. */
import { expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import { HangingPaths } from "../../lib/hanging-paths.ts";
import { startHangingMount } from "../../testing/lab/hanging-mount.ts";
import { smallDomain, withDisk } from "../test-domain.ts";
import { readDomain } from "./domain/domain-reader.ts";
import { domainXml } from "./domain/domain-xml.ts";
import { planMachine } from "./domain/plan-machine.ts";
import { takeVariables } from "./folder.ts";
import { withRealPaths } from "./real-paths.ts";

const testLimitMs = 60_000;
const silent = { code: "timeout", message: expect.stringMatching(/does not answer/) };

test(
	"a disk that does not answer is where it was; one that was never seen is no other disk",
	async () => {
		await using mount = await startHangingMount();
		const folder = await mkdtemp(join(tmpdir(), "limiquantix-hanging-"));
		try {
			await mkdir(join(mount.behind, "deep"));
			await symlink(join(mount.path, "deep"), join(folder, "link"));
			const domainWith = (path: string) => {
				const xml = domainXml(planMachine(withDisk(smallDomain(1, folder), "disk-0", path)));
				const read = readDomain(xml);
				// As others made it.
				return { ...read, facts: { ...read.facts, disks: read.facts.disks.map((disk) => ({ ...disk, id: null })) } };
			};
			const [seen, unseen] = ["disk", "other"].map((name) => domainWith(join(folder, "link", name)));
			if (!seen || !unseen) throw new Error("two domains");
			const paths = new HangingPaths(systemClock);
			const pathOf = async (domain: typeof seen) => (await withRealPaths(paths, domain)).facts.disks[0]?.path;
			expect(await pathOf(seen)).toBe(join(mount.path, "deep", "disk"));
			mount.hang();
			await expect(paths.answers(join(mount.path, "deep", "disk"))).resolves.toBe(false);
			expect(await pathOf(seen)).toBe(join(mount.path, "deep", "disk"));
			await expect(pathOf(unseen)).rejects.toMatchObject(silent);
			expect((await stat(folder)).isDirectory()).toBe(true);
			mount.goOn();
			const again = new HangingPaths(systemClock);
			expect((await withRealPaths(again, unseen)).facts.disks[0]?.path).toBe(join(mount.path, "deep", "other"));
		} finally {
			mount.goOn();
			await rm(folder, { recursive: true, force: true });
		}
	},
	testLimitMs,
);

test(
	"UEFI variables are taken along, when they answer",
	async () => {
		await using mount = await startHangingMount();
		const folder = await mkdtemp(join(tmpdir(), "limiquantix-hanging-"));
		try {
			const domain = smallDomain(1, folder);
			const machine = planMachine({ ...domain, spec: { ...domain.spec, firmware: "uefi" } });
			const theirs = join(mount.path, "theirs.fd");
			await Bun.write(join(mount.behind, "theirs.fd"), "their variables");
			mount.hang();
			await expect(takeVariables(systemClock, machine, theirs)).rejects.toMatchObject(silent);
			mount.goOn();
			// What an earlier copy has left goes, whatever comes of this one.
			await Bun.write(join(folder, "nvram.fd.new"), "half");
			await takeVariables(systemClock, machine, join(mount.path, "missing.fd"));
			expect(await readdir(folder)).toEqual([]);
			// Nor does a folder of ours that is missing mean that there are no variables.
			const astray = planMachine({
				...smallDomain(1, join(folder, "none")),
				spec: { ...domain.spec, firmware: "uefi" },
			});
			const noFolder = { code: "hypervisor", message: expect.stringContaining("cannot be copied") };
			await expect(takeVariables(systemClock, astray, theirs)).rejects.toMatchObject(noFolder);
			await takeVariables(systemClock, machine, theirs);
			if (machine.firmware.kind !== "uefi") throw new Error("UEFI");
			const { nvramPath } = machine.firmware;
			expect(await Bun.file(nvramPath).text()).toBe("their variables");
			expect((await stat(nvramPath)).mode & 0o777).toBe(0o600);
			// Its own are never written over.
			await Bun.write(join(mount.behind, "theirs.fd"), "others");
			await takeVariables(systemClock, machine, theirs);
			expect(await Bun.file(nvramPath).text()).toBe("their variables");
			expect(await readdir(folder)).toHaveLength(1);
		} finally {
			mount.goOn();
			await rm(folder, { recursive: true, force: true });
		}
	},
	testLimitMs,
);
