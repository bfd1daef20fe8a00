/** What trials of pools that were killed have left in the run folder: it goes with the next start of the node, and nothing else does. */
import { expect, test } from "bun:test";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { silentLogger } from "../lib/log.ts";
import { systemRandom as random } from "../lib/random.ts";
import { newId } from "./conformance.ts";
import { leftTrials, tidyTrials } from "./left-trials.ts";
import { FakeMounts } from "./nfs/testing/fake-mounts.ts";
import { discoveryFolder, discoveryMount, probeFolder, probeMountName } from "./trial-names.ts";

async function world() {
	const run = await mkdtemp(join(tmpdir(), "lqx-trials-"));
	const host = new FakeMounts();
	const mounted = async (path: string, fsType = "nfs4") => {
		await mkdir(path, { recursive: true });
		host.add({ path, source: "nas:/x", options: "hard", fsType, busy: true });
	};
	const keyring = async (folder: string) => {
		await mkdir(folder, { recursive: true });
		await writeFile(join(folder, "keyring"), "[client.vms]\n\tkey = c2VjcmV0\n", { mode: 0o600 });
	};
	return { run, host, mounted, keyring, [Symbol.asyncDispose]: () => rm(run, { recursive: true }) };
}

test("mounts, keys and folders of trials and discoveries go; pools that are used keep theirs", async () => {
	await using lab = await world();
	const { run, host } = lab;
	const [nfs, ceph, tried, triedCeph] = [newId(), newId(), newId(), newId()];
	await lab.mounted(join(run, nfs, "mount"));
	await lab.mounted(join(run, nfs, probeMountName(random)));
	await lab.keyring(join(run, ceph));
	await lab.mounted(join(run, tried, probeMountName(random)));
	await lab.mounted(discoveryMount(run, random));
	await lab.keyring(discoveryFolder(run, random));
	await lab.keyring(probeFolder(run, triedCeph, random));
	await lab.keyring(join(run, `${triedCeph}-probe`));
	await lab.keyring(join(run, "lvm"));

	const left = await leftTrials(run);
	// Begun since, by this process.
	const mine = [probeFolder(run, newId(), random), discoveryFolder(run, random)];
	for (const folder of mine) await lab.keyring(folder);
	const now = join(run, newId(), probeMountName(random));
	await lab.mounted(now);

	await tidyTrials(left, { log: silentLogger, isPoolHere: (id) => [nfs, ceph].includes(id), host });
	expect(host.mounts.map(({ path }) => path).sort()).toEqual([join(run, nfs, "mount"), now].sort());
	const kept = [nfs, ceph, "lvm", ...[...mine, dirname(now)].map((path) => path.slice(run.length + 1))];
	expect((await readdir(run)).sort()).toEqual(kept.sort());
	expect(await readdir(join(run, ceph))).toEqual(["keyring"]);
	expect(await readdir(join(run, nfs))).toEqual(["mount"]);
});

test("what somebody else has mounted there stays, with what is in it; a folder that is not there has nothing", async () => {
	await using lab = await world();
	const path = discoveryMount(lab.run, random);
	await lab.mounted(path, "tmpfs");
	await writeFile(join(path, "theirs"), "x");
	await tidyTrials(await leftTrials(lab.run), { log: silentLogger, isPoolHere: () => false, host: lab.host });
	expect(lab.host.mounts).toHaveLength(1);
	expect(await readdir(path)).toEqual(["theirs"]);
	expect(await leftTrials(join(lab.run, "nowhere"))).toEqual({ mounts: [], folders: [], pools: [] });
});
