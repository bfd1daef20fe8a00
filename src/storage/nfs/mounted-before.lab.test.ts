/**
 * A pool whose settings were changed while no daemon ran, and that is mounted as it was before. The files are handled by a real worker, in ordinary
 * folders; what is mounted is words (testing/fake-mounts.ts).
 */
import { expect, test } from "bun:test";
import { mkdir, mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { MiB } from "../../lib/units.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { newId } from "../conformance.ts";
import { workerCommand } from "../worker/testing/worker-pool.ts";
import { NfsDriver } from "./driver.ts";
import { FakeMounts } from "./testing/fake-mounts.ts";

const asIs = "vers=4.2,acdirmin=0,acdirmax=3,hard,timeo=100,retrans=2";
const before = asIs.replace("hard,timeo=100", "soft,timeo=20");

async function world(found: { options: string; source?: string; busy?: boolean }) {
	const runFolder = await realpath(await mkdtemp(join(tmpdir(), "lqx-nfs-")));
	const [host, clock, poolId] = [new FakeMounts(), new ManualClock(), newId()];
	await mkdir(join(runFolder, poolId, "mount"), { recursive: true });
	host.add({ path: join(runFolder, poolId, "mount"), source: "nas:/x", ...found });
	const driver = new NfsDriver({
		...{ poolId, nodeId: newId(), runFolder, host, clock, protectedPaths: [] },
		...{ random: systemRandom, log: silentLogger, worker: workerCommand },
		config: { server: "nas", exportPath: "/x", folder: null, version: null, mountOptions: [] },
	});
	const count = (program: string) => host.calls.filter((call) => call.startsWith(program)).length;
	const warning = async () => (await driver.check()).warning ?? null;
	return {
		...{ host, clock, driver, count, warning },
		async [Symbol.asyncDispose]() {
			await driver.end();
			await rm(runFolder, { recursive: true });
		},
	};
}

test("one that is used goes on, and the pool says so; when it is not any more, it is mounted as it is to be", async () => {
	await using lab = await world({ options: before, busy: true });
	await lab.driver.activate();
	expect(await lab.warning()).toBe(
		"The changed settings take effect here when nothing uses the pool: it is mounted with soft, timeo=20 still, and not with hard, timeo=100.",
	);
	const id = newId();
	await lab.driver.createVolume(id, { format: "raw", sizeBytes: MiB, source: { kind: "empty" } });
	await lab.warning();
	// Not at every look.
	expect(lab.count("umount")).toBe(1);
	lab.clock.advance(30_000);
	expect(await lab.warning()).toContain("soft");
	expect(lab.count("umount")).toBe(2);
	expect(lab.count("mount.nfs")).toBe(0);
	for (const mount of lab.host.mounts) mount.busy = false;
	lab.clock.advance(30_000);
	expect(await lab.warning()).toBeNull();
	expect(lab.host.mounts).toMatchObject([{ options: expect.stringContaining("hard,timeo=100") }]);
	expect((await lab.driver.getVolume(id))?.id).toBe(id);
	expect(lab.host.calls.some((call) => call.includes(" -l "))).toBe(false);
	lab.clock.advance(60_000);
	await lab.warning();
	expect(lab.count("umount")).toBe(3);
	expect(lab.count("mount.nfs")).toBe(1);
}, 60_000);

test("one that nobody uses is mounted anew at once, also from another address of the server", async () => {
	for (const found of [{ options: before }, { options: asIs, source: "10.0.0.9:/x" }]) {
		await using lab = await world(found);
		await lab.driver.activate();
		expect(await lab.warning()).toBeNull();
		expect([lab.count("umount"), lab.count("mount.nfs")]).toEqual([1, 1]);
		expect(lab.host.mounts).toMatchObject([{ source: "nas:/x" }]);
	}
}, 60_000);

test("one with the settings of now is left alone; so is what this daemon has mounted, whatever became of it", async () => {
	await using lab = await world({ options: asIs });
	await lab.driver.activate();
	expect(await lab.warning()).toBeNull();
	expect(lab.host.calls).toEqual([]);
	await lab.driver.deactivate();
	await lab.driver.activate();
	for (const mount of lab.host.mounts) mount.options = before;
	await lab.driver.activate();
	expect(await lab.warning()).toBeNull();
	expect([lab.count("umount"), lab.count("mount.nfs")]).toEqual([1, 1]);
}, 60_000);

test("not while a VM is about to start, which no process shows", async () => {
	await using lab = await world({ options: before, busy: true });
	await lab.driver.activate();
	const id = newId();
	await lab.driver.createVolume(id, { format: "raw", sizeBytes: MiB, source: { kind: "empty" } });
	await lab.driver.openVolume(id);
	for (const mount of lab.host.mounts) mount.busy = false;
	lab.clock.advance(30_000);
	expect(await lab.warning()).toContain("soft");
	expect(lab.count("umount")).toBe(1);
	await lab.driver.closeVolume(id);
	lab.clock.advance(30_000);
	expect(await lab.warning()).toBeNull();
}, 60_000);
