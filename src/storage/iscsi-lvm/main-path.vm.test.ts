/** The way that every pool on iSCSI takes, on a real target, in the storage lab VM; the rest is in iscsi-lvm.vm.test.ts. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { open } from "node:fs/promises";
import { systemClock } from "../../lib/clock.ts";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { run } from "../../lib/run.ts";
import { GiB, MiB } from "../../lib/units.ts";
import { sourceName } from "../../model/disk-source.ts";
import {
	chap,
	credentials,
	type LabLuns,
	labLuns,
	limit,
	sessionCount,
	wwidOf,
} from "../../testing/lab/storage-vm/inside/iscsi-pool.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { diskContent, expectSame, fails, newId, pattern } from "../conformance.ts";
import { writeDisk } from "../local/testing/local-pool.ts";
import { discoverIscsi, tidyIscsi } from "./create.ts";
import type { IscsiLvmDriver } from "./driver.ts";

let lab: LabLuns;
beforeAll(async () => {
	lab = await labLuns({ portals: ["10.88.0.2"], sizes: [GiB, GiB], withChap: true });
}, 60_000);
afterAll(() => lab.close(), 60_000);

test("a wrong password is told, and leaves no session", async () => {
	const wrong = lab.driver(newId(), {}, { credentials: { ...credentials, chapPassword: "not-the-secret" } });
	expect(await fails("storage", wrong.probe())).toContain("CHAP");
	expect(await sessionCount()).toBe(0);
}, 60_000);

test("a wrong password is told while a session is in use, which stays as it is; so is one that the target has changed since", async () => {
	const poolId = newId();
	const pool = lab.driver(poolId);
	await pool.activate();
	const wrong = lab.driver(newId(), {}, { credentials: { ...credentials, chapPassword: "not-the-secret" } });
	expect(await fails("storage", wrong.probe())).toContain("CHAP");
	const mutual = lab.driver(newId(), {}, { credentials: { ...credentials, mutualChapPassword: "not-its-secret" } });
	expect(await fails("storage", mutual.probe())).toContain("prove");
	const asked = { portals: ["10.88.0.2"], target: lab.target.name, chapUser: chap.user, mutualChapUser: null };
	const look = (chapPassword: string) =>
		discoverIscsi(
			{ ...asked, credentials: { chapPassword } },
			{
				...{ clock: systemClock, random: systemRandom, log: silentLogger },
				...{ runFolder: `${lab.folder}/run`, stagingFolder: `${lab.folder}/staging` },
			},
		);
	expect(await fails("storage", look("not-the-secret"))).toContain("CHAP");
	expect((await look(chap.password)).luns).toHaveLength(2);
	expect(await sessionCount()).toBe(1);
	expect((await pool.check()).warning).toBeUndefined();
	// A process that starts anew with another password uses the session, and says so.
	const again = lab.driver(
		poolId,
		{},
		{ credentials: { ...credentials, chapPassword: "not-the-secret" }, wasReady: true },
	);
	await again.activate();
	const { warning } = await waitUntil("a warning", 30_000, async () => {
		const usage = await again.check();
		return usage.warning === undefined ? undefined : usage;
	});
	expect(warning).toContain("CHAP");
	await again.remove();
	expect(await sessionCount()).toBe(0);
}, 240_000);

test("what a try leaves that was cut short is gone after the next start, and nothing that others have made", async () => {
	const databases = ["/etc/iscsi/nodes", "/var/lib/iscsi/nodes"];
	const passwords = async () =>
		(await run("grep", ["-rl", "secret", ...databases], { ...limit, okExitCodes: [0, 1, 2] })).stdout;
	const poolId = newId();
	// As if the process had ended there: this driver never undoes it.
	await lab.driver(poolId).activate();
	expect([await sessionCount(), await passwords()]).toEqual([1, expect.stringContaining("nodes")]);
	const tidy = (pools: { id: string; config: object }[]) =>
		tidyIscsi(pools, {
			...{ clock: systemClock, random: systemRandom, log: silentLogger, isPoolHere: () => false },
			...{ runFolder: `${lab.folder}/run`, stagingFolder: `${lab.folder}/staging` },
		});
	await tidy([{ id: poolId, config: lab.config() }]);
	expect(await sessionCount()).toBe(1);
	// In this process the pool still counts as one that uses the target; in the next one nobody does.
	const script = `const { tidyIscsi } = await import("/repo/src/storage/iscsi-lvm/create.ts");
		const { systemClock } = await import("/repo/src/lib/clock.ts");
		const { systemRandom } = await import("/repo/src/lib/random.ts");
		const { silentLogger } = await import("/repo/src/lib/log.ts");
		await tidyIscsi([], { clock: systemClock, random: systemRandom, log: silentLogger, isPoolHere: () => false,
			runFolder: "${lab.folder}/run", stagingFolder: "${lab.folder}/staging" });`;
	await run("bun", ["-e", script], limit);
	expect([await sessionCount(), await passwords()]).toEqual([0, ""]);
	await lab.driver(poolId).remove();
	expect(await sessionCount()).toBe(0);

	const record = ["-m", "node", "-T", lab.target.name, "-p", "10.88.0.2"];
	await run("iscsiadm", [...record, "-o", "new"], limit);
	await run("iscsiadm", [...record, "-o", "update", "-n", "node.startup", "-v", "automatic"], limit);
	await lab.driver(newId()).probe();
	expect([await sessionCount(), await passwords()]).toEqual([0, ""]);
	expect((await run("iscsiadm", record, limit)).stdout).toContain("node.startup = automatic");
	await run("iscsiadm", [...record, "-o", "delete"], limit);
}, 240_000);

test("a LUN is found by its WWID and becomes a pool; volumes are made, copied, grown and deleted", async () => {
	// The second one of two that look the same.
	const driver = lab.driver(newId(), { wwid: wwidOf(2) });
	await driver.activate();
	expect(await sessionCount()).toBe(1);
	const [id, copy] = [newId(), newId()];
	await driver.createVolume(id, { format: "qcow2", sizeBytes: 32 * MiB, source: { kind: "empty" } });
	await driver.openVolume(id);
	await writeDisk(driver, id, 0, pattern(65_536));
	await driver.closeVolume(id);
	const source = { kind: "volume" as const, id, fullCopy: false };
	await driver.createVolume(copy, { format: "qcow2", sizeBytes: 32 * MiB, source });
	expect((await driver.resizeVolume(copy, 64 * MiB)).sizeBytes).toBe(64 * MiB);
	expectSame((await diskContent(driver, copy)).subarray(0, 65_536), pattern(65_536));
	await driver.deleteVolume(copy);
	await driver.deleteVolume(id);
	expect(await driver.listVolumes()).toEqual([]);
	await growthTakenBack(driver);
	await driver.remove();
	expect(await sessionCount()).toBe(0);
}, 240_000);

/** LVM makes a logical volume smaller again, while it is not in use and under somebody who has it open. */
async function growthTakenBack(driver: IscsiLvmDriver): Promise<void> {
	const id = newId();
	const [small, large] = [8 * MiB, 72 * MiB];
	await driver.createVolume(id, { format: "raw", sizeBytes: small, source: { kind: "empty" } });
	const { availableBytes } = await driver.check();
	const called = { signal: AbortSignal.abort() };
	const expectSmall = async () => {
		expect((await driver.getVolume(id))?.sizeBytes).toBe(small);
		expect((await driver.check()).availableBytes).toBe(availableBytes);
	};
	await fails("canceled", driver.resizeVolume(id, large, called));
	await expectSmall();
	await driver.openVolume(id);
	await writeDisk(driver, id, 0, pattern(65_536));
	const disk = await open(sourceName((await driver.attachInfo(id)).source), "r+");
	await fails("canceled", driver.growOpenVolume(id, large, called));
	await expectSmall();
	await disk.close();
	expect((await driver.growOpenVolume(id, large)).sizeBytes).toBe(large);
	await driver.closeVolume(id);
	expectSame((await diskContent(driver, id)).subarray(0, 65_536), pattern(65_536));
	await driver.deleteVolume(id);
}
