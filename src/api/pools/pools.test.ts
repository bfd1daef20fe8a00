/** Pools of all types through the API: tried first, credentials taken and never given, changes of how one is reached. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { AppError } from "../../lib/errors.ts";
import type { NfsPoolConfig } from "../../model/pool-config.ts";
import { type ApiHarness, createApiHarness } from "../../testing/api/api-harness.ts";
import { clusterIds, fixtureNfs } from "../../testing/fixtures.ts";

const ceph = { monitors: ["10.0.0.1:6789"], user: "limiquantix", cephPool: "vms", namespace: null, dataPool: null };
const cephKey = "AQDsecretsecretsecretsecretsecretsecret==";
let harness: ApiHarness;
const admin = () => harness.client("admin");
const make = (body: Parameters<ReturnType<typeof admin>["call"]>[1]) => admin().call("poolCreate", body as never);
const problem = async (call: Promise<unknown>) => {
	const error = await call.then(
		() => null,
		(failure: unknown) => failure,
	);
	if (!(error instanceof AppError)) throw new Error(`no problem: ${error}`);
	return error;
};

beforeEach(async () => {
	harness = await createApiHarness();
});
afterEach(() => harness.close());

test("a pool is tried before it is made, and its credentials are given to nobody", async () => {
	const body = { name: "vms", type: "ceph-rbd" as const, config: ceph, credentials: { cephKey } };
	const made = await make({ body });
	expect(harness.node.probed).toHaveLength(1);
	expect(harness.node.probed[0]).toMatchObject({ type: "ceph-rbd", credentials: { cephKey } });
	const read = [made.body, (await admin().call("poolGet", { path: { id: (made.body as { id: string }).id } })).body];
	expect(JSON.stringify(read)).not.toContain("secret");
	const { id } = made.body as { id: string };
	expect(harness.store.sealedCredentials(id)).toStartWith("v1.");
	const audit = await admin().call("auditList", { query: {} });
	expect(JSON.stringify(audit.body)).not.toContain("secret");
	expect(JSON.stringify(harness.store.eventsAfter("0", 1000))).not.toContain("secret");
});

test("one that does not work somewhere is not made, and the answer says where", async () => {
	harness.node.probeError = new AppError("timeout", "The server does not answer.");
	const body = { name: "vms", type: "nfs" as const, config: fixtureNfs };
	const error = await problem(make({ body }));
	expect(error).toMatchObject({ code: "invalid", fields: [{ path: "/nodeIds/0" }] });
	expect(error.message).toContain("The server does not answer.");
	expect(harness.store.all("pool")).toHaveLength(1);
	const probed = await admin().call("poolProbe", { query: {}, body: { type: "nfs", config: fixtureNfs } });
	expect(probed.body).toMatchObject({ nodes: [{ nodeId: clusterIds.node, ok: false, error: { code: "timeout" } }] });
	expect(harness.store.all("pool")).toHaveLength(1);
});

test("no NFS pool is made inside of another one, or around it, nor gets there by a change", async () => {
	const nfs = (folder: string | null, server = fixtureNfs.server): NfsPoolConfig => ({ ...fixtureNfs, server, folder });
	const body = (name: string, config: NfsPoolConfig) => ({ name, type: "nfs" as const, config });
	await make({ body: body("outer", nfs("a")) });
	const tries = harness.node.probed.length;
	for (const folder of ["a", "a/volumes", null])
		expect(await problem(make({ body: body("other", nfs(folder)) }))).toMatchObject({
			...{ code: "already-exists", fields: [{ path: "/config" }] },
		});
	expect(harness.node.probed).toHaveLength(tries);
	await make({ body: body("beside", nfs("ab")) });
	const elsewhere = (await make({ body: body("elsewhere", nfs("a/volumes", "10.9.9.9")) })).body as { id: string };
	const change = { path: { id: elsewhere.id }, body: { config: nfs("a/volumes") } };
	expect(await problem(admin().call("poolUpdate", change as never))).toMatchObject({ code: "already-exists" });
	// One that is made while this one is being tried.
	harness.node.onProbe = async () => {
		harness.node.onProbe = async () => {};
		await make({ body: body("faster", nfs("b")) });
	};
	expect(await problem(make({ body: body("slower", nfs("b/c")) }))).toMatchObject({ code: "already-exists" });
});

test("configuration and credentials are those of the type", async () => {
	const bad = async (body: unknown, ...paths: string[]) => {
		const error = await problem(make({ body } as never));
		expect([error.code, error.fields.map(({ path }) => path)]).toEqual(["invalid", paths]);
	};
	await bad({ name: "x", type: "ceph-rbd", config: ceph }, "/credentials/cephKey");
	await bad({ name: "x", type: "nfs", config: fixtureNfs, credentials: { cephKey } }, "/credentials/cephKey");
	await bad({ name: "x", type: "nfs", config: { ...fixtureNfs, server: "a b" } }, "/config/server");
	const lun = { portals: ["10.0.0.5"], target: "iqn.2026-01.net.example:disks", wwid: "naa.6001405a", hostIds: {} };
	const thin = { ...lun, chapUser: null, mutualChapUser: null, layout: "thin", wipeOnDelete: true };
	await bad({ name: "x", type: "iscsi-lvm", config: thin }, "/config/wipeOnDelete");
	await bad({ name: "x", type: "ceph-rbd", config: { ...ceph, cephPool: "a/b@c" } }, "/config/cephPool");
	await bad(
		{ name: "x", type: "nfs", config: { ...fixtureNfs, mountOptions: ["addr=1.2.3.4,exec"] } },
		"/config/mountOptions/0",
	);
	expect(harness.node.probed).toEqual([]);
});

test("how a pool is reached is changed after it was tried; a name is not tried", async () => {
	const { body } = await make({ body: { name: "vms", type: "nfs", config: fixtureNfs } });
	const path = { id: (body as { id: string }).id };
	await admin().call("poolUpdate", { path, body: { description: "new" } });
	expect(harness.node.probed).toHaveLength(1);
	await admin().call("poolUpdate", { path, body: { config: { ...fixtureNfs, server: "10.1.1.1" } } });
	expect(harness.node.probed).toHaveLength(2);
	expect(harness.store.get("pool", path.id)).toMatchObject({ description: "new", config: { server: "10.1.1.1" } });
	harness.node.probeError = new AppError("storage", "It is not exported.");
	const error = await problem(
		admin().call("poolUpdate", { path, body: { config: { ...fixtureNfs, server: "10.1.1.2" } } }),
	);
	expect(error.message).toContain("It is not exported.");
	expect(harness.store.get("pool", path.id)).toMatchObject({ config: { server: "10.1.1.1" } });
});

test("credentials that are kept are not shown to monitors that the pool does not have", async () => {
	const body = { name: "vms", type: "ceph-rbd" as const, config: ceph, credentials: { cephKey } };
	const { id } = (await make({ body })).body as { id: string };
	const tried = harness.node.probed.length;
	const moved = { ...ceph, monitors: ["10.0.0.1:6789", "10.6.6.6"] };
	const probe = (config: typeof ceph, credentials?: { cephKey: string }) =>
		admin().call("poolProbe", {
			...{ query: {}, body: { poolId: id, type: "ceph-rbd", config, ...(credentials ? { credentials } : {}) } },
		});
	const edit = (body: object) => admin().call("poolUpdate", { path: { id }, body });
	for (const asked of [() => probe(moved), () => edit({ config: moved })])
		expect(await problem(asked())).toMatchObject({
			...{ code: "invalid", fields: [{ path: "/credentials/cephKey" }] },
			message: expect.stringContaining(
				"The key of the storage pool vms is used at its own monitors only: give it again for 10.6.6.6.",
			),
		});
	expect(harness.node.probed).toHaveLength(tried);
	// Its own, or with the key.
	await probe({ ...ceph, user: "other" });
	await probe(moved, { cephKey });
	await edit({ config: moved, credentials: { cephKey } });
	// They are its own now.
	await probe(moved);
	await edit({ config: { ...moved, user: "other" } });
	expect(harness.node.probed).toHaveLength(tried + 5);
});

test("viewers and operators neither make nor try pools", async () => {
	for (const role of ["viewer", "operator"] as const) {
		const client = harness.client(role);
		const body = { type: "nfs" as const, config: fixtureNfs };
		expect(await problem(client.call("poolProbe", { query: {}, body }))).toMatchObject({ code: "forbidden" });
		expect(await problem(client.call("poolCreate", { body: { name: "x", ...body } }))).toMatchObject({
			code: "forbidden",
		});
	}
	expect(harness.node.probed).toEqual([]);
});
