/** A Ceph cluster that refuses, hangs, is full, or is not what it was: each a clear error in time, and nothing left behind. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { systemRandom } from "../../lib/random.ts";
import { MiB } from "../../lib/units.ts";
import { cephPool, nodeId, useCeph } from "../../testing/lab/ceph-pool.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { diskContent, expectSame, fails, makeImage, newId, pattern } from "../conformance.ts";
import { discoverCephPools } from "./discover.ts";

setDefaultTimeout(120_000);
const session = useCeph();
const empty = { kind: "empty" } as const;
const raw = { format: "raw", sizeBytes: 4 * MiB } as const;

/** The error's message, and that it came in time. */
async function failsSoon(code: "timeout" | "storage", limitMs: number, work: () => Promise<unknown>): Promise<string> {
	const start = performance.now();
	const message = await fails(code, work());
	expect(performance.now() - start).toBeLessThan(limitMs);
	return message;
}

test("a wrong key, an unknown user, and one that may only read", async () => {
	const pool = await session.pool();
	const reader = await session.ceph.makeUser("reader", ["mon", "profile rbd", "osd", "profile rbd-read-only"]);
	const other = Buffer.from(session.userKey, "base64");
	other[20] = (other[20] ?? 0) ^ 1;
	for (const more of [{ key: other.toString("base64") }, { config: { ...pool.config, user: "nobody" } }]) {
		const driver = pool.driver(more);
		for (const work of [() => driver.probe(), () => driver.activate(), () => driver.check()])
			expect(await failsSoon("storage", 20_000, work)).toContain("refuses the user or the key");
	}
	const readOnly = pool.driver({ key: reader, config: { ...pool.config, user: "reader" } });
	expect(await fails("storage", readOnly.probe())).toContain("profile rbd");
	expect(await fails("storage", readOnly.activate())).toContain("profile rbd");
	expect(await pool.contents()).toEqual([]);
	await pool.close();
});

test("a monitor that takes connections and says nothing, and one that is not there", async () => {
	const pool = await session.pool();
	const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
	const monitor = `127.0.0.1:${silent.port}`;
	const hanging = pool.driver({ config: { ...pool.config, monitors: [monitor] } });
	// The folder with the configuration is made by `activate`, as far as that comes.
	for (const work of [() => hanging.activate(), () => hanging.check(), () => hanging.probe()])
		expect(await failsSoon("timeout", 20_000, work)).toContain("did not answer");
	silent.stop(true);
	await failsSoon("timeout", 20_000, () => hanging.check());
	await pool.close();
});

test("a pool or a namespace that does not exist; one that another pool of ours has", async () => {
	const pool = await session.pool();
	for (const change of [{ cephPool: "nothing" }, { namespace: "nothing" }]) {
		const driver = pool.driver({ config: { ...pool.config, ...change } });
		expect(await fails("storage", driver.probe())).toContain("does not exist");
		expect(await fails("storage", driver.activate())).toContain("does not exist");
	}
	const { stdout } = await session.ceph.rados("--pool", cephPool, "--namespace", "nothing", "ls");
	expect(stdout).toBe("");
	const missing = pool.driver({ mayInitialize: false });
	expect(await fails("storage", missing.activate())).toContain("no mark");

	const first = await pool.open();
	await first.createVolume(newId(), { ...raw, source: empty });
	const second = pool.driver({ poolId: newId() });
	expect(await fails("in-use", second.probe())).toContain(pool.poolId);
	expect(await fails("in-use", second.activate())).toContain(pool.poolId);
	// On another node it is the same pool.
	await (await pool.open({ nodeId: newId() })).check();
	await first.remove();
	await second.activate();
	expect(await second.listVolumes()).toHaveLength(1);
	await fails("in-use", pool.open());
	await pool.close();
});

test("what is half done is tidied up by the node that did it, and by no other", async () => {
	const pool = await session.pool();
	const driver = await pool.open();
	const { id } = await driver.createVolume(newId(), { ...raw, source: empty });
	const space = `${cephPool}/${pool.namespace}`;
	const left = `lqx-tmp-${nodeId}-0123456789abcdef01234567`;
	await session.ceph.rbd("create", "--size", "4M", `${space}/${left}`);
	await session.ceph.rbd("snap", "create", `${space}/${left}@lqx-base`);
	await session.ceph.rbd("snap", "create", `${space}/lqx-vol-${id}@${left}`);
	const entry = `${nodeId}.snapshot.${id}.${left}`;
	await session.ceph.rados(
		"--pool",
		cephPool,
		"--namespace",
		pool.namespace,
		"setomapval",
		"limiquantix-work",
		entry,
		"1",
	);
	await pool.open({ nodeId: newId() });
	expect(await pool.contents()).toContain(left);
	const again = await pool.open();
	expect((await pool.contents()).filter((name) => !name.startsWith("object:"))).toEqual([`lqx-vol-${id}`]);
	await again.deleteVolume(id);
	await again.remove();
	expect(await pool.contents()).toEqual([]);
	await pool.close();
});

test("finds the pools of a cluster and their namespaces", async () => {
	const pool = await session.pool();
	const runFolder = join(pool.folder, "discover");
	const find = (cephKey?: string, monitors = pool.config.monitors) =>
		discoverCephPools({ monitors, user: "tester" }, cephKey === undefined ? {} : { cephKey }, {
			runFolder,
			random: systemRandom,
		});
	await session.ceph.ceph("osd", "pool", "create", "other", "1", "1");
	const found = await find(session.userKey);
	expect(found.find(({ name }) => name === cephPool)).toMatchObject({ erasureCoded: false });
	expect(found.find(({ name }) => name === cephPool)?.namespaces).toContain(pool.namespace);
	expect(found.map(({ name }) => name)).not.toContain("other");
	await fails("invalid", find());
	await fails("storage", find(session.ceph.adminKey));
	await fails("timeout", find(session.userKey, ["127.0.0.1:1"]));
	expect(await readdir(runFolder)).toEqual([]);
	await pool.close();
});

test("data in a pool of its own", async () => {
	await session.ceph.makePool("data");
	const pool = await session.pool({ dataPool: "data" });
	const driver = await pool.open();
	expect((await driver.probe()).totalBytes).toBeGreaterThan(0);
	const image = await makeImage(driver, pattern(4 * MiB));
	const copy = { kind: "image", id: image, fullCopy: false } as const;
	const { id } = await driver.createVolume(newId(), { ...raw, sizeBytes: 8 * MiB, source: copy });
	await pool.writeDisk(driver, id, 4 * MiB, pattern(4 * MiB, 2));
	const where = ["--namespace", pool.namespace, "ls"];
	const data = async (name: string) =>
		(await session.ceph.rados("--pool", name, ...where)).stdout
			.split("\n")
			.filter((line) => line.startsWith("rbd_data")).length;
	expect([await data(cephPool), await data("data")]).toEqual([0, 2]);
	await driver.deleteVolume(id);
	await driver.deleteImage(image);
	expect(await data("data")).toBe(0);
	const missing = pool.driver({ config: { ...pool.config, dataPool: "nothing" } });
	expect(await fails("storage", missing.probe())).toContain("nothing");
	await pool.close();
});

test("disks that do not answer are noticed in time, and the pool heals by itself", async () => {
	const pool = await session.pool();
	const driver = await pool.open();
	session.ceph.freeze("osd");
	try {
		expect(await failsSoon("timeout", 20_000, () => driver.check())).toContain("OSDs did not answer");
	} finally {
		session.ceph.resume("osd");
	}
	expect((await driver.check()).availableBytes).toBeGreaterThan(0);
	await pool.close();
});

test("a full pool: no-space, and what was there stays", async () => {
	await session.ceph.makePool("small");
	await session.ceph.rbd("pool", "init", "small");
	const pool = await session.pool({ cephPool: "small", namespace: null });
	const driver = await pool.open();
	const { id } = await driver.createVolume(newId(), { ...raw, source: empty });
	await pool.writeDisk(driver, id, 0, pattern(4 * MiB));
	await session.ceph.ceph("osd", "pool", "set-quota", "small", "max_bytes", `${MiB}`);
	const flags = async () =>
		JSON.parse((await session.ceph.ceph("osd", "pool", "ls", "detail", "--format", "json")).stdout);
	await waitUntil(
		"the pool to be full",
		60_000,
		async () =>
			(await flags()).some(
				(one: { pool_name: string; flags_names: string }) =>
					one.pool_name === "small" && one.flags_names.includes("full"),
			),
		{ everyMs: 200 },
	);
	expect((await driver.check()).availableBytes).toBe(0);
	for (const source of [empty, { kind: "volume", id, fullCopy: true } as const])
		await fails("no-space", driver.createVolume(newId(), { ...raw, source }));
	await fails("no-space", driver.probe());
	await session.ceph.ceph("osd", "pool", "set-quota", "small", "max_bytes", "0");
	await waitUntil(
		"the pool to have room",
		60_000,
		async () =>
			(await flags()).every(
				(one: { pool_name: string; flags_names: string }) =>
					one.pool_name !== "small" || !one.flags_names.includes("full"),
			),
		{ everyMs: 200 },
	);
	expectSame(await diskContent(driver, id), pattern(4 * MiB));
	await driver.deleteVolume(id);
	await driver.remove();
	expect(await pool.contents()).toEqual([]);
	await pool.close();
});
