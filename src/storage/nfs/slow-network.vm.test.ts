/** A server that is far away, and a network that loses packets: slower, and nothing else. Round trips are those of netem at the server. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { everyday } from "../../testing/lab/everyday.ts";
import { nfsDriver, nfsMounts } from "../../testing/lab/nfs/nfs-pool.ts";
import { type LabHost, makeHost } from "../../testing/lab/storage-vm/inside/lab-network.ts";
import { type NfsServer, startNfsServer } from "../../testing/lab/storage-vm/inside/nfs-server.ts";
import { note } from "../../testing/note.ts";

process.umask(0o077);
const limitMs = 280_000;
const exported = "/data/plain";
let host: LabHost;
let server: NfsServer;

beforeAll(async () => {
	host = await makeHost("server", ["10.88.0.2"]);
	server = await startNfsServer(host, [{ path: exported, options: "no_root_squash" }]);
}, 90_000);
afterAll(async () => {
	await server[Symbol.asyncDispose]();
	await host[Symbol.asyncDispose]();
}, 60_000);

/** As it is without a word: the limit of a look is the one that the service has. */
const pool = (folder: string) =>
	nfsDriver(exported, { server: server.address, version: "4.2", folder, limits: { checkMs: 4500 } });

test(
	"20 ms away with one packet of a hundred lost: a day",
	async () => {
		const driver = pool("lossy");
		await host.netem({ delayMs: 20, lossPercent: 1 });
		try {
			await driver.activate();
			note(`NFS, 20 ms away, 1 % lost: ${await everyday(driver)}`);
			await driver.remove();
		} finally {
			await host.netem(null);
			await driver.deactivate();
		}
		expect(await readdir(exported)).toEqual([]);
		expect(await nfsMounts()).toEqual([]);
	},
	limitMs,
);

test(
	"farther and farther away: a look at a pool stays within its limit",
	async () => {
		const driver = pool("far");
		await driver.activate();
		try {
			for (const delayMs of [50, 100, 200, 300]) {
				await host.netem({ delayMs });
				const looks: number[] = [];
				for (let look = 0; look < 3; look++) {
					const begun = performance.now();
					expect((await driver.check()).totalBytes).toBeGreaterThan(0);
					looks.push(Math.round(performance.now() - begun));
				}
				note(`NFS, ${delayMs} ms away: a look takes ${looks.join(", ")} ms`);
			}
			await host.netem(null);
			await driver.remove();
		} finally {
			await host.netem(null).catch(() => {});
			await driver.deactivate();
		}
	},
	limitMs,
);
