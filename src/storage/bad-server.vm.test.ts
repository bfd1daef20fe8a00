/** NFS and iSCSI at ports where something else listens: a clear error in time, nothing left, and other work goes on meanwhile. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, readdir, rm } from "node:fs/promises";
import { systemClock } from "../lib/clock.ts";
import { isAppError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { MiB } from "../lib/units.ts";
import { badServer, badServerKinds } from "../testing/lab/bad-servers.ts";
import { nfsDriver, nfsMounts, runFolder } from "../testing/lab/nfs/nfs-pool.ts";
import { startIscsiInitiator } from "../testing/lab/storage-vm/inside/iscsi-initiator.ts";
import { sessionCount } from "../testing/lab/storage-vm/inside/iscsi-pool.ts";
import { note } from "../testing/note.ts";
import { newId } from "./conformance.ts";
import { createIscsiLvmDriver, discoverIscsi } from "./iscsi-lvm/create.ts";
import type { LocalDriver } from "./local/driver.ts";
import { openLocal } from "./local/testing/local-pool.ts";
import { discoverNfsExports } from "./nfs/exports.ts";

setDefaultTimeout(400_000);
/** Where nothing of the machine listens. */
const hostname = "127.0.0.66";
const databases = ["/etc/iscsi", "/var/lib/iscsi"];
/** Of the slowest, with what it needs to start in an emulated machine: the API waits no longer for another node. */
const patienceMs = 40_000;
const elsewhere = "/data/elsewhere";
let initiator: AsyncDisposable;
let other: LocalDriver;
beforeAll(async () => {
	initiator = await startIscsiInitiator("iqn.2026-11.test.limiquantix:node");
	other = await openLocal(elsewhere);
});
afterAll(async () => {
	await other.remove();
	await initiator[Symbol.asyncDispose]();
	await rm(elsewhere, { recursive: true, force: true });
});

/** What it failed with; another pool of the node is worked with meanwhile. */
async function refusal(what: string, work: () => Promise<unknown>): Promise<string> {
	const begun = performance.now();
	const asked = work().then(
		() => null,
		(failure: unknown) => failure,
	);
	const id = newId();
	await other.createVolume(id, { format: "raw", sizeBytes: MiB, source: { kind: "empty" } });
	await other.deleteVolume(id);
	const error = await asked;
	const ms = Math.round(performance.now() - begun);
	const said = isAppError(error) ? `${error.code}: ${error.message}` : String(error);
	expect(`${what}: ${said}`).toMatch(/^[^:]+: (timeout|storage): .{12,}$/s);
	// Bytes of strangers do not go to people's screens as they are.
	expect(said).not.toMatch(/[\u0000-\u0008\u000b-\u001f\u007f]/);
	expect(ms).toBeLessThan(patienceMs);
	note(`${what}: ${said.split("\n")[0]} (${ms} ms)`);
	return said;
}

for (const kind of ["garbage", "silent", "closes"] as const)
	test(`NFS, ${kind}: exports and probes`, async () => {
		// The port mapper, the server, and mountd where the mapper is not asked for it.
		const servers = [111, 2049].map((port) => badServer(kind, { hostname, port }));
		try {
			await refusal(`NFS exports, ${kind}`, () => discoverNfsExports(hostname, { runFolder, random: systemRandom }));
			await refusal(`NFS probe, ${kind}`, () => nfsDriver("/exports", { server: hostname }).probe());
		} finally {
			for (const server of servers) server[Symbol.dispose]();
		}
		expect(await nfsMounts()).toEqual([]);
		const left = await readdir(runFolder, { recursive: true }).catch(() => []);
		expect(left.filter((name) => /mount$|probe-|discover-/.test(name))).toEqual([]);
	});

for (const kind of badServerKinds.filter((one) => one !== "flood"))
	test(`iSCSI, ${kind}: targets, LUNs and a probe`, async () => {
		using server = badServer(kind, { hostname, port: 3260 });
		await mkdir("/run/lab-bad", { recursive: true });
		const host = {
			...{ clock: systemClock, log: silentLogger, random: systemRandom },
			...{ runFolder: "/run/lab-bad", stagingFolder: "/data/staging" },
		};
		const ways = { portals: [hostname], chapUser: null, mutualChapUser: null };
		const target = "iqn.2026-11.test.limiquantix:none";
		await refusal(`iSCSI targets, ${kind}`, () => discoverIscsi({ ...ways, target: null }, host));
		if (kind === "garbage") await refusal("iSCSI LUNs", () => discoverIscsi({ ...ways, target }, host));
		const driver = createIscsiLvmDriver({
			...{ poolId: newId(), nodeId: newId(), credentials: null, wasReady: false, protectedPaths: [] },
			config: {
				...{ ...ways, target, wwid: "naa.60014050000000000000000000000000", layout: "thin" as const },
				...{ wipeOnDelete: false, hostIds: {} },
			},
			...{ runFolder: "/run/lab-bad", stagingFolder: "/data/staging" },
			...{ random: systemRandom, clock: systemClock, log: silentLogger },
		});
		await refusal(`iSCSI probe, ${kind}`, () => driver.probe());
		expect(server.connections()).toBeGreaterThan(0);
		expect(await sessionCount()).toBe(0);
		for (const database of databases)
			for (const part of ["nodes", "send_targets"])
				expect(await readdir(`${database}/${part}`).catch(() => [])).toEqual([]);
	});
