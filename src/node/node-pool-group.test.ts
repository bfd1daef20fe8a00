/**
 * A volume group that nodes share is deleted: one node takes it away, and waits in its driver until the others have left, who therefore do so
 * as soon as it is being deleted. What the driver does meanwhile: storage/iscsi-lvm/lifecycle-remove.test.ts.
 */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { fixtureId, fixtureNfs, fixturePool } from "../testing/fixtures.ts";
import { type Pair, pair } from "../testing/node/moving.ts";
import type { NodeWorld } from "../testing/node/node-world.ts";
import { remove } from "../testing/node/storage-deeds.ts";
import { limits } from "./limits.ts";

const poolId = fixtureId(0x46);
const config = {
	...{ portals: ["10.0.0.5"], target: "iqn.2026-01.net.example:disks", wwid: "naa.6001405a" },
	...{ chapUser: null, mutualChapUser: null, layout: "thick" as const, wipeOnDelete: false },
};

async function groupOfBoth({ first, second }: Pair): Promise<void> {
	const nodeIds = [first.nodeId, second.nodeId];
	const hostIds = { [first.nodeId]: 1, [second.nodeId]: 2 };
	const pool = fixturePool({ id: poolId, name: "san", type: "iscsi-lvm", config: { ...config, hostIds }, nodeIds });
	await first.propose({ kind: "poolCreate", pool, task: first.task("pool.create", poolId) });
	await first.until(() => first.store.get("pool", poolId)?.nodes.length === 2, { stepMs: 1000, limitMs: 60_000 });
	await first.settle();
}
/** Of the drivers of the node's present life. */
const counted = (world: NodeWorld, call: "remove" | "deactivate"): number =>
	world.life.calls.filter((one) => one === `storage.${call}`).length;
const places = async (world: NodeWorld): Promise<string[]> =>
	Object.keys((await Bun.file(`${world.dataDir}/pool-places.json`).json()) as object).filter((id) => id === poolId);
/** The first node is in the middle of taking the group away. */
async function beginDeletion({ first }: Pair): Promise<{ taskId: string; goOn: () => void }> {
	const goOn = first.drivers.get(poolId)?.hold("remove") as () => void;
	const task = first.task("pool.delete", poolId);
	await first.propose({ kind: "poolDelete", id: poolId, task });
	await first.until(() => first.drivers.get(poolId)?.calls.includes("remove") === true);
	return { taskId: task.id, goOn };
}

test("the others leave while it is being deleted, and only the node that deletes it removes anything", async () => {
	await using both = await pair();
	const { first, second } = both;
	await groupOfBoth(both);
	const { taskId, goOn } = await beginDeletion(both);
	await second.until(() => counted(second, "deactivate") === 1);
	await second.settleLoops();
	expect(first.store.get("pool", poolId)?.phase).toBe("deleting");
	expect([await places(first), await places(second)]).toEqual([[poolId], []]);
	// And do not come back as long as that lasts.
	first.clock.advance(35_000);
	await second.settleLoops();
	expect(counted(first, "deactivate")).toBe(0);
	goOn();
	await first.settle();
	expect([first.store.get("pool", poolId), first.store.get("task", taskId)?.state]).toEqual([null, "succeeded"]);
	await second.settleLoops();
	expect([counted(first, "remove"), counted(second, "remove")]).toEqual([1, 0]);
	expect(counted(second, "deactivate")).toBe(1);
});

test("what a node has in it although nothing says so goes before it leaves", async () => {
	await using both = await pair();
	const { second } = both;
	await groupOfBoth(both);
	const imageId = fixtureId(0x47);
	await Bun.write(`${second.dataDir}/image-copies.json`, JSON.stringify({ [imageId]: { poolId } }));
	const before = second.life.calls.length;
	const { goOn } = await beginDeletion(both);
	await second.until(() => counted(second, "deactivate") === 1);
	const did = second.life.calls.slice(before).filter((call) => /^storage\.(deleteImage|deactivate)$/.test(call));
	expect(did.slice(0, 2)).toEqual(["storage.deleteImage", "storage.deactivate"]);
	goOn();
	await both.first.settle();
});

test("one that is down then lets go when it is back, and takes nothing away", async () => {
	await using both = await pair();
	const { first, second } = both;
	await groupOfBoth(both);
	second.kill();
	await remove(first, "pool", poolId);
	expect([first.store.get("pool", poolId), counted(first, "remove")]).toEqual([null, 1]);
	await second.boot();
	await second.settle();
	expect([counted(second, "deactivate"), counted(second, "remove"), await places(second)]).toEqual([1, 0, []]);
});

test("one that comes back while it is being deleted leaves, too", async () => {
	await using both = await pair();
	const { first, second } = both;
	await groupOfBoth(both);
	second.kill();
	const { goOn } = await beginDeletion(both);
	await second.boot();
	await second.until(() => counted(second, "deactivate") === 1);
	expect([first.store.get("pool", poolId)?.phase, counted(second, "remove")]).toEqual(["deleting", 0]);
	goOn();
	await first.settle();
	expect(first.store.get("pool", poolId)).toBeNull();
});

test("a node that is killed while it removes the group goes on with that", async () => {
	await using both = await pair();
	const { first, second } = both;
	await groupOfBoth(both);
	const { taskId } = await beginDeletion(both);
	first.kill();
	await second.settleLoops();
	await first.boot();
	await first.settle();
	expect([first.store.get("pool", poolId), first.store.get("task", taskId)?.state]).toEqual([null, "succeeded"]);
	expect([counted(first, "remove"), counted(second, "remove")]).toEqual([1, 0]);
});

test("taken from one node's list only, the group stays: that node lets go, and nobody removes anything", async () => {
	await using both = await pair();
	const { first, second } = both;
	await groupOfBoth(both);
	const generation = first.store.get("pool", poolId)?.generation as number;
	await first.propose({ kind: "poolUpdate", id: poolId, expectedGeneration: generation, nodeIds: [first.nodeId] });
	await second.until(() => counted(second, "deactivate") === 1, { stepMs: 5000, limitMs: 120_000 });
	await second.settleLoops();
	expect([await places(first), await places(second)]).toEqual([[poolId], []]);
	expect([counted(first, "remove"), counted(second, "remove"), counted(first, "deactivate")]).toEqual([0, 0, 0]);
});

test("a node leaves it although another deleted pool that it has to leave hangs, and another can be tried meanwhile", async () => {
	await using both = await pair();
	const { first, second } = both;
	await groupOfBoth(both);
	const [nas, nodeIds] = [fixtureId(0x33), [first.nodeId, second.nodeId]];
	const shared = fixturePool({ id: nas, name: "nas", type: "nfs", config: fixtureNfs, nodeIds });
	await first.propose({ kind: "poolCreate", pool: shared, task: first.task("pool.create", nas) });
	await first.until(() => first.store.get("pool", nas)?.nodes.length === 2, { stepMs: 1000, limitMs: 60_000 });
	await first.settle();
	const hanging = second.drivers.get(nas);
	if (!hanging) throw new Error("the other pool was not opened");
	hanging.settleLimitMs = 3_600_000;
	const release = hanging.hold("deactivate");
	await remove(first, "pool", nas);
	await second.until(() => hanging.calls.includes("deactivate"), { stepMs: 1000, limitMs: 60_000 });
	const { goOn } = await beginDeletion(both);
	await second.until(() => second.drivers.get(poolId)?.calls.includes("deactivate") === true);
	goOn();
	await first.settle();
	expect(first.store.get("pool", poolId)).toBeNull();

	const open = second.drivers.set.bind(second.drivers);
	second.drivers.set = (id, driver) => {
		driver.failNext("probe", new AppError("in-use", "It is another pool's."));
		return open(id, driver);
	};
	const { id, name, type, config: place } = fixturePool({ id: fixtureId(0x34), name: "new", config: { path: "/new" } });
	const tried = second.service.probePool({ id, name, type, config: place, credentials: null });
	const answer = tried.catch((error: unknown) => error);
	await second.settleLoops();
	second.clock.advance(limits.poolLeaveMs);
	expect(await answer).toMatchObject({ code: "in-use" });
	release();
	await second.settleLoops();
	expect(counted(second, "remove")).toBe(0);
});
