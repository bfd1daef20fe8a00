/** Changes of one pool at the same time, each tried for as long as that takes: none undoes the other, and no credentials end up at places that they were not given for. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { type ApiHarness, createApiHarness } from "../../testing/api/api-harness.ts";
import { clusterIds } from "../../testing/fixtures.ts";

const ceph = { monitors: ["10.0.0.1"], user: "vms", cephPool: "vms", namespace: null, dataPool: null };
const moved = { ...ceph, monitors: ["10.9.9.9"] };
const [oldKey, newKey, otherKey] = ["1", "2", "3"].map((one) => `AQD${one.repeat(36)}=`) as [string, string, string];
let harness: ApiHarness;
let id: string;

const update = (body: object, ifMatch?: number) =>
	harness.client("admin").call("poolUpdate", { path: { id }, body, ...(ifMatch === undefined ? {} : { ifMatch }) });
/** Done by somebody else while the next change is being tried. */
function meanwhile(body: object): void {
	harness.node.onProbe = async () => {
		harness.node.onProbe = async () => {};
		await update(body);
	};
}
const pool = () => harness.store.get("pool", id);

beforeEach(async () => {
	harness = await createApiHarness();
	const body = { name: "vms", type: "ceph-rbd" as const, config: ceph, credentials: { cephKey: oldKey } };
	({ id } = (await harness.client("admin").call("poolCreate", { body })).body as { id: string });
	harness.node.probed.length = 0;
});
afterEach(() => harness.close());

test("a change of the nodes leaves what others have changed of the configuration", async () => {
	const reach = { chapUser: "vms", mutualChapUser: null, hostIds: {} };
	const lun = { target: "iqn.2026-01.net.example:disks", wwid: "naa.1", layout: "thick" as const, wipeOnDelete: false };
	const config = { ...lun, ...reach, portals: ["10.0.0.5"] };
	const credentials = { chapPassword: "oldpassword12" };
	const body = { name: "san", type: "iscsi-lvm" as const, config, credentials, nodeIds: [] };
	({ id } = (await harness.client("admin").call("poolCreate", { body })).body as { id: string });
	const there = { ...config, portals: ["10.0.0.6"] };
	meanwhile({ config: there, credentials: { chapPassword: "newpassword12" } });
	await update({ nodeIds: [clusterIds.node] });
	const hostIds = { [clusterIds.node]: 1 };
	expect(pool()).toMatchObject({ config: { ...there, hostIds }, nodeIds: [clusterIds.node] });
	expect(harness.node.probed).toMatchObject([
		{ config: { portals: ["10.0.0.5"] } },
		{ config: { portals: ["10.0.0.6"] } },
	]);
});

test("a change of the configuration is tried again with what the pool is now", async () => {
	meanwhile({ config: moved, credentials: { cephKey: newKey } });
	// Its monitors were the pool's own when it came: the key that is kept by now is not for them.
	await expect(update({ config: { ...ceph, user: "others" } })).rejects.toMatchObject({
		...{ code: "invalid", fields: [{ path: "/credentials/cephKey" }] },
	});
	expect(pool()).toMatchObject({ config: moved });
});

test("credentials alone are not shown to monitors that came while they were tried", async () => {
	meanwhile({ config: moved, credentials: { cephKey: otherKey } });
	const sealed = () => harness.store.sealedCredentials(id);
	let theirs: string | null = null;
	const probe = harness.node.onProbe;
	harness.node.onProbe = async () => {
		await probe();
		theirs = sealed();
	};
	await expect(update({ credentials: { cephKey: newKey } })).rejects.toMatchObject({
		...{ code: "wrong-state", message: expect.stringContaining("10.9.9.9") },
	});
	expect(sealed()).toBe(theirs as never);
	const shown = harness.node.probed as { config: typeof ceph; credentials: { cephKey: string } }[];
	const places = shown.filter(({ credentials }) => credentials.cephKey === newKey).map(({ config }) => config.monitors);
	expect(places).toEqual([ceph.monitors]);
});

test("credentials alone do not mind another name of the pool", async () => {
	meanwhile({ name: "disks" });
	await update({ credentials: { cephKey: newKey } });
	expect(pool()).toMatchObject({ name: "disks", config: ceph });
	expect(harness.node.probed).toHaveLength(2);
});

test("a client that names the generation is told", async () => {
	meanwhile({ name: "disks" });
	const change = { config: { ...ceph, user: "others" } };
	await expect(update(change, pool()?.generation)).rejects.toMatchObject({ code: "stale-etag" });
	expect(pool()).toMatchObject({ name: "disks", config: ceph });
});
