/** What is on a LUN that becomes a pool goes with the task that was told so, and with nothing else. */
import { expect, test } from "bun:test";
import type { PoolDiscover, PoolDiscovered } from "../model/storage.ts";
import { FakePool, FakeStorageDriver } from "../storage/fake.ts";
import type { CommandBody } from "../store/command.ts";
import { fixtureId, fixturePool } from "../testing/fixtures.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import { limits } from "./limits.ts";

const poolId = fixtureId(0x45);
const config = {
	...{ portals: ["10.0.0.5"], target: "iqn.2026-01.net.example:disks", wwid: "naa.6001405a" },
	...{ chapUser: null, mutualChapUser: null, layout: "thick" as const, wipeOnDelete: false, hostIds: {} },
};
const ticks = { stepMs: 1000, limitMs: 600_000 };
const part = (world: NodeWorld) => world.store.get("pool", poolId)?.nodes[0];

/** A pool on a LUN with a file system; the task says what may go. */
async function make(world: NodeWorld, input: Record<string, unknown>): Promise<{ lun: FakePool; taskId: string }> {
	const lun = new FakePool("/lun");
	lun.foreign = ["ext4"];
	world.pools.set(poolId, lun);
	const pool = fixturePool({ id: poolId, name: "san", type: "iscsi-lvm", config, nodeIds: [world.nodeId] });
	const task = world.task("pool.create", poolId, input);
	await world.propose({ kind: "poolCreate", pool, task });
	return { lun, taskId: task.id };
}
const task = (world: NodeWorld, id: string) => world.store.get("task", id);

test("what was named goes, and the pool is made", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { lun, taskId } = await make(world, { overwrite: ["ext4"] });
	await world.settle();
	expect(task(world, taskId)?.state).toBe("succeeded");
	expect([lun.foreign, part(world)?.health]).toEqual([[], "healthy"]);
});

test("without leave, or with leave for something else, it stays; also when the pool is looked at again", async () => {
	for (const input of [{}, { overwrite: ["xfs"] }, { overwrite: "ext4" }, { overwrite: [4] }]) {
		await using world = await NodeWorld.open();
		await world.boot();
		const { lun, taskId } = await make(world, input);
		await world.settle();
		expect(task(world, taskId)).toMatchObject({ state: "failed", error: { code: "wrong-state" } });
		await world.until(() => part(world)?.health === "error", ticks);
		await world.settleLoops();
		expect(lun.foreign).toEqual(["ext4"]);
	}
});

test("leave ends with its task: what is there afterwards stays", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { lun } = await make(world, { overwrite: ["ext4"] });
	await world.settle();
	world.kill();
	lun.foreign = ["ext4"];
	await world.boot();
	await world.settleLoops();
	await world.until(() => part(world)?.health === "error", ticks);
	expect(lun.foreign).toEqual(["ext4"]);
});

test("a task that a restart cut short is gone on with", async () => {
	await using world = await NodeWorld.open();
	await world.boot();
	const { lun, taskId } = await make(world, { overwrite: ["ext4"] });
	const check = lun.requireConfirmed.bind(lun);
	lun.requireConfirmed = (overwrite) => {
		if (overwrite.length === 0) return check(overwrite);
		lun.requireConfirmed = check;
		world.kill();
		throw new Error("the process is gone");
	};
	await world.until(() => world.node === null, ticks);
	expect([task(world, taskId)?.state, lun.foreign]).toEqual(["running", ["ext4"]]);
	await world.boot();
	await world.settle();
	expect([task(world, taskId)?.state, lun.foreign]).toEqual(["succeeded", []]);
});

test("what was confirmed long ago counts no more: the node was away meanwhile", async () => {
	await using world = await NodeWorld.open();
	const { lun, taskId } = await make(world, { overwrite: ["ext4"] });
	world.clock.advance(limits.overwriteMs + 1000);
	await world.boot();
	await world.settle();
	expect(task(world, taskId)).toMatchObject({ state: "failed", error: { code: "timeout" } });
	expect(lun.foreign).toEqual(["ext4"]);
});

test("a look at the pool that began without leave, and fails, does not take it away", async () => {
	await using world = await NodeWorld.open();
	const { lun, taskId } = await make(world, { overwrite: ["ext4"] });
	const driver = new FakeStorageDriver(lun);
	const release = driver.hold("activate");
	// The task begins when the look at the pool is under way.
	const looking = Promise.withResolvers<void>();
	const proposeSystem = async (body: CommandBody) => {
		if (body.kind === "taskUpdate" && body.state === "running") await looking.promise;
		return world.propose(body);
	};
	await world.boot(null, {
		proposer: { proposeSystem, propose: (body) => proposeSystem(body) },
		storage: { open: () => driver, discover: async () => nothing },
	});
	await world.until(() => driver.calls.includes("activate"), ticks);
	expect(task(world, taskId)?.state).toBe("pending");
	looking.resolve();
	await world.until(() => task(world, taskId)?.state === "running", ticks);
	release();
	await world.settle();
	expect([task(world, taskId)?.state, lun.foreign]).toEqual(["succeeded", []]);
});

const nothing: PoolDiscovered = { exports: [], cephPools: [], targets: [], luns: [] };

test("a server is asked with the credentials of the pool, unless there are others", async () => {
	await using world = await NodeWorld.open();
	const asked: PoolDiscover[] = [];
	await make(world, {});
	await world.boot(null, {
		credentials: async (id) => (id === poolId ? { chapPassword: "stored-password" } : null),
		storage: {
			open: () => new FakeStorageDriver(),
			discover: async (query) => {
				asked.push(query);
				return nothing;
			},
		},
	});
	const question = { portals: ["10.0.0.5:3260"], target: null, chapUser: "node", mutualChapUser: null };
	const other = { chapPassword: "another-password" };
	const elsewhere = { ...question, portals: ["10.0.0.6"] };
	const open = { ...elsewhere, chapUser: null };
	await world.service.discoverStorage({ type: "iscsi-lvm", ...question });
	await world.service.discoverStorage({ type: "iscsi-lvm", poolId, ...question });
	await world.service.discoverStorage({ type: "iscsi-lvm", poolId, ...elsewhere, credentials: other });
	await world.service.discoverStorage({ type: "iscsi-lvm", poolId, ...open });
	// What is kept is for its own portals.
	await expect(world.service.discoverStorage({ type: "iscsi-lvm", poolId, ...elsewhere })).rejects.toMatchObject({
		...{ code: "invalid", fields: [{ path: "/credentials/chapPassword" }] },
		message: "The password of the storage pool san is used at its own portals only: give it again for 10.0.0.6.",
	});
	expect(asked).toEqual([
		{ type: "iscsi-lvm", ...question },
		{ type: "iscsi-lvm", ...question, credentials: { chapPassword: "stored-password" } },
		{ type: "iscsi-lvm", ...elsewhere, credentials: other },
		{ type: "iscsi-lvm", ...open },
	]);
	const ceph = { type: "ceph-rbd" as const, monitors: ["a"], user: "vms" };
	await expect(world.service.discoverStorage({ ...ceph, poolId })).rejects.toMatchObject({
		code: "invalid",
		fields: [{ path: "/poolId" }],
	});
	await expect(world.service.discoverStorage({ ...ceph, poolId: fixtureId(0x46) })).rejects.toMatchObject({
		code: "not-found",
	});
	expect(asked).toHaveLength(4);
});

test("what tries of pools have left is tidied up at the start, but for pools that are on this node; that never fails the start", async () => {
	await using world = await NodeWorld.open();
	await make(world, {});
	const known: string[][] = [];
	await world.boot(null, {
		storage: {
			open: () => new FakeStorageDriver(),
			discover: async () => nothing,
			async tidy(pools) {
				known.push(pools.map(({ id, config }) => `${id} ${"target" in config ? config.target : ""}`));
				throw new Error("iscsiadm is broken");
			},
		},
	});
	await world.until(() => world.store.get("pool", poolId)?.phase === "ready", ticks);
	expect(known).toHaveLength(1);
	expect(known[0]).toContain(`${poolId} ${config.target}`);
});
