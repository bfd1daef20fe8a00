/** A Ceph pool whose monitor is no monitor: a clear error in time from everything, and nothing left behind. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import { silentLogger } from "../../lib/log.ts";
import { systemRandom } from "../../lib/random.ts";
import { badServer, badServerKinds } from "../../testing/lab/bad-servers.ts";
import { note } from "../../testing/note.ts";
import { fails, newId } from "../conformance.ts";
import { discoverCephPools } from "./discover.ts";
import { CephRbdDriver } from "./driver.ts";

setDefaultTimeout(120_000);
/** Any key: nobody gets as far as looking at it. */
const key = "AQBH2X5nAAAAABAAqmR1b0v1b0v1b0v1b0v1bw==";
/** What a person waits for at most; the limits of the driver are below. */
const patienceMs = 25_000;
let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "lqx-bad-ceph-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const noMonitor = /did not answer in time|refused an operation: .{6,}/;

/** As a monitor's own begins; the length of what follows is the greatest that there is. */
const greeting = "ceph v2\n\xff\xff";
const servers = [
	...badServerKinds.map((kind) => ({ name: kind, kind, greeting: "" })),
	...(["garbage", "silent"] as const).map((kind) => ({ name: `a monitor's greeting, then ${kind}`, kind, greeting })),
];

for (const { name: what, kind, ...options } of servers)
	test(`${what}: discovery, probe, activation and check say so`, async () => {
		using server = badServer(kind, options);
		const monitors = [`127.0.0.1:${server.port}`];
		const [runFolder, stagingFolder] = [join(folder, newId(), "run"), join(folder, newId(), "staging")];
		const driver = new CephRbdDriver({
			...{ poolId: newId(), nodeId: newId(), key, runFolder, stagingFolder, protectedPaths: [] },
			config: { monitors, user: "tester", cephPool: "vms", namespace: null, dataPool: null },
			...{ random: systemRandom, clock: systemClock, log: silentLogger },
		});
		const context = { runFolder, random: systemRandom };
		const asked = {
			discovery: () => discoverCephPools({ monitors, user: "tester" }, { cephKey: key }, context),
			probe: () => driver.probe(),
			activation: () => driver.activate(),
			check: () => driver.check(),
		};
		for (const [name, ask] of Object.entries(asked)) {
			const begun = performance.now();
			const message = await fails("timeout", ask());
			const ms = Math.round(performance.now() - begun);
			expect(message).toMatch(noMonitor);
			expect(ms).toBeLessThan(patienceMs);
			if (name === "probe") note(`Ceph, ${what}: ${message} (${ms} ms)`);
		}
		expect(server.connections()).toBeGreaterThan(0);
		await driver.deactivate();
		const left = await readdir(runFolder, { recursive: true }).catch(() => []);
		expect(left.filter((name) => name.includes("discover") || name.includes("keyring"))).toEqual([]);
	});
