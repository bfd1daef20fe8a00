/** The work of the node's regular rounds does not grow with the volumes and VMs that are as they should be. */
import { expect, test } from "bun:test";
import { present } from "../lib/assert.ts";
import type { Store } from "../store/store.ts";
import { clusterIds } from "../testing/fixtures.ts";
import { NodeWorld } from "../testing/node/node-world.ts";
import { bounds, intervals } from "./limits.ts";

type Query = { name: string; table: unknown; rows: number };
const counted = new Set(["get", "all", "list", "count"]);

/** The store, and what is asked of it. */
function watched(store: Store): { store: Store; queries: Query[] } {
	const queries: Query[] = [];
	const proxy = new Proxy(store, {
		get(target, name) {
			const value: unknown = Reflect.get(target, name, target);
			if (typeof value !== "function") return value;
			return (...values: unknown[]) => {
				const result: unknown = Reflect.apply(value, target, values);
				if (counted.has(String(name))) queries.push({ name: String(name), table: values[0], rows: rowsOf(result) });
				return result;
			};
		},
	});
	return { store: proxy, queries };
}

function rowsOf(result: unknown): number {
	if (Array.isArray(result)) return result.length;
	if (typeof result !== "object" || result === null) return 1;
	return "items" in result && Array.isArray(result.items) ? result.items.length : 1;
}

/** Ready volumes with their files. */
async function fill(world: NodeWorld, count: number): Promise<string[]> {
	const ids: string[] = [];
	await world.boot();
	const first = await world.createVolume();
	await world.settle();
	const file = present(world.pool.volumes.get(first.id), "a volume's file");
	world.kill();
	for (let number = 0; number < count; number++) {
		const { id, taskId } = await world.createVolume();
		await world.propose({ kind: "volumeStatus", id, phase: "ready", allocatedBytes: 0, error: null });
		await world.propose({ kind: "taskUpdate", id: taskId, state: "succeeded" });
		world.pool.volumes.set(id, file);
		ids.push(id);
	}
	return ids;
}

async function passRound(world: NodeWorld, ms: number): Promise<void> {
	world.clock.advance(ms + 1);
	await world.settleLoops();
}

test("a check of a pool asks a few questions and reads one slice of its volumes; some checks see all", async () => {
	await using world = await NodeWorld.open();
	const ids = await fill(world, 560);
	const { store, queries } = watched(world.store);
	await world.boot(null, { store });
	await world.settle();
	for (let round = 0; round < 3; round++) {
		queries.length = 0;
		await passRound(world, intervals.poolCheckMs);
		const asked = queries.filter(({ table }) => table === "volume" || table === "task");
		expect(asked.length).toBeLessThan(20);
		expect(asked.reduce((sum, { rows }) => sum + rows, 0)).toBeLessThan(bounds.volumesPerCheck + 50);
	}
	// The last of them all, whichever slice it is in.
	const lost = present(ids.at(-1), "a volume");
	world.pool.volumes.delete(lost);
	for (let round = 0; round < 2; round++) await passRound(world, intervals.poolCheckMs);
	expect(world.volume(lost).phase).toBe("error");
	expect(world.store.count("volume", { phase: "error" })).toBe(1);
});

test("volumes that wait to be made with their VM cost the sweep nothing", async () => {
	await using world = await NodeWorld.open();
	const { store, queries } = watched(world.store);
	for (let number = 0; number < 10; number++) {
		const { taskId } = await world.createVm({ volumes: Array.from({ length: 20 }, () => ({})), start: false });
		await world.propose({ kind: "taskUpdate", id: taskId, state: "canceled" });
	}
	expect(world.store.count("volume", { phase: "pending" })).toBe(200);
	await world.boot(null, { store });
	await world.settleLoops();
	queries.length = 0;
	await passRound(world, intervals.resyncMs);
	const asked = queries.filter(({ table }) => table === "volume" || table === "task");
	expect(asked.length).toBeLessThan(40);
	expect(asked.reduce((sum, { rows }) => sum + rows, 0)).toBeLessThan(100);
});

test("a start reads the VMs that may run, not all of them", async () => {
	await using world = await NodeWorld.open();
	const { store, queries } = watched(world.store);
	await world.boot(null, { store });
	for (let number = 0; number < 100; number++) await world.createVm({ start: false });
	const nic = { networkId: clusterIds.network, mac: "52:54:00:00:00:01", model: "virtio", linkUp: true } as const;
	const { id } = await world.createVm({ spec: { nics: [{ id: "nic-0", ...nic }] }, start: false });
	await world.settle();
	queries.length = 0;
	await world.act("vm.start", id);
	await world.settle();
	expect(world.vm(id).status.powerState).toBe("running");
	expect(Math.max(...queries.filter(({ table }) => table === "vm").map(({ rows }) => rows))).toBeLessThan(5);
});
