/** What a node that leaves has in its pools beside its own: nothing of it may be in the way of what comes after. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../lib/log.ts";
import type { CommandBody } from "../store/command.ts";
import {
	clusterIds,
	fixtureCluster,
	fixtureId,
	fixtureImage,
	fixtureMember,
	fixturePool,
	fixtureTask,
	fixtureVm,
	fixtureVmSpec,
	fixtureVolume,
} from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { type MemoryStore, openMemoryStore } from "../testing/memory-store.ts";
import { Leaving, type LeavingDeps } from "./leaving.ts";
import { clusterPathsOf } from "./node-file.ts";
import { Turns } from "./turns.ts";

const own = fixtureId(0x998);
const other = clusterIds.node;
const [poolId, vmId, volumeId, imageId] = [0x500, 0x100, 0x200, 0x300].map(fixtureId) as [
	string,
	string,
	string,
	string,
];
const arriving = { vmId: fixtureId(0x101), volumeId: fixtureId(0x201) };
const discards = { volume: fixtureId(0x7000), vm: fixtureId(0x7001) };
const path = "/srv/pool";

const clock = new ManualClock();
let dataDir: string;
let store: MemoryStore;
let hasLeft: boolean;
const released: unknown[] = [];
const apply = (body: CommandBody) => store.proposer.proposeSystem(body);
let nextTask = 0x1000;
const vmTask = (kind: "vm.create" | "vm.move", nodeId: string) =>
	fixtureTask(kind, { kind: "vm", id: vmId }, { id: fixtureId(nextTask++), nodeId });
const finish = async (...ids: string[]) => {
	for (const id of ids) await apply({ kind: "taskUpdate", id, state: "succeeded" });
};

beforeEach(async () => {
	dataDir = mkdtempSync(join(tmpdir(), "limiquantix-leaving-"));
	mkdirSync(clusterPathsOf(dataDir).peer);
	hasLeft = false;
	released.length = 0;
	store = await openMemoryStore({ clock, commands: [fixtureCluster()] });
	for (const body of fixtureMember({ id: own, name: "node-2" }, clock.nowMs())) await apply(body);
	const pool = fixturePool({ id: poolId, name: "both", config: { path }, nodeIds: [other, own] });
	const task = fixtureTask("pool.create", { kind: "pool", id: poolId }, { id: fixtureId(nextTask++) });
	await apply({ kind: "poolCreate", pool, task });
});
afterEach(async () => {
	await store.close();
	rmSync(dataDir, { recursive: true, force: true });
});

/** A VM with a disk that was this node's, and is the other one's now. */
async function vmMovedAway(): Promise<void> {
	const disk = { id: "disk-0", volumeId, bus: "virtio", cache: "none", discard: true, readOnly: false } as const;
	await apply({
		kind: "vmCreate",
		vm: fixtureVm({ id: vmId, name: "web", nodeId: own, spec: fixtureVmSpec({ disks: [disk], nics: [] }) }),
		volumes: [fixtureVolume({ id: volumeId, name: "web-root", nodeId: own, poolId })],
		task: vmTask("vm.create", own),
	});
	await apply({ kind: "volumeStatus", id: volumeId, phase: "ready" });
	await finish(...store.all("task", { nodeId: own, state: ["pending", "running"] }).map(({ id }) => id));
	const task = vmTask("vm.move", other);
	await apply({ kind: "vmMove", id: vmId, nodeId: other, confirmNodeOff: null, task });
	await apply({
		...{ kind: "vmMoved", id: vmId, nodeId: other, fromNodeId: own, volumes: [{ id: volumeId, poolId }] },
		discardTaskIds: [discards.volume, discards.vm],
	});
	await finish(task.id);
}

/** What its own files say that it has: a copy of the other node's image, and half of a VM that was moving here. */
async function belongingsOfOthers(): Promise<void> {
	const image = fixtureImage({ id: imageId, poolId, nodeId: other });
	const task = fixtureTask("image.import", { kind: "image", id: imageId }, { id: fixtureId(nextTask++) });
	await apply({ kind: "imageCreate", image, task });
	writeFileSync(join(dataDir, "image-copies.json"), JSON.stringify({ [imageId]: { poolId } }));
	const volumes = [{ id: arriving.volumeId, poolId }];
	const move = { taskId: fixtureId(0x7777), volumes, done: [] };
	writeFileSync(join(dataDir, "moves.json"), JSON.stringify({ [arriving.vmId]: move }));
}

const removal = (): CommandBody => ({ kind: "nodeRemove", id: own, leaving: true, confirmName: null });

/** `applied`: this node's copy has heard of it. `before`: what is recorded just before. */
function leave(applied = true, before = async () => {}): Promise<void> {
	const leaving = new Leaving({
		...{ dataDir, node: { nodeId: own, clusterId: clusterIds.cluster, founder: false }, hints: null, store, clock },
		turns: new Turns(),
		consensus: {
			details: () =>
				({
					...{ removed: hasLeft, lastIndex: 1, role: "follower" },
					configuration: { voters: [other, own], witnesses: [], learners: [], removed: [] },
				}) as unknown as ReturnType<LeavingDeps["consensus"]["details"]>,
			noteRemoved() {},
		},
		silence: () => () => {},
		poolFolders: {
			async handOver() {},
			async release(...given) {
				released.push(given);
			},
		},
		onFresh() {},
		async onRemoved() {},
		logger: silentLogger,
	});
	return leaving.leave(async () => {
		await before();
		if (applied) await apply(removal());
		hasLeft = true;
	});
}

test("copies of images and what came of a move go with the folder", async () => {
	await belongingsOfOthers();
	await leave();
	expect(released).toEqual([[path, poolId, { volumes: [arriving.volumeId], images: [imageId] }]]);
});

test("a copy of the state that does not know that it left does not know either what has come since", async () => {
	await belongingsOfOthers();
	await leave(false);
	expect(released).toEqual([[path, poolId, { volumes: [], images: [imageId] }]]);
});

test("a pool goes, too, of which the state has forgotten that it is on this node, since that was removed", async () => {
	const place = { nodeId: own, clusterId: clusterIds.cluster, name: "both", type: "local", path };
	writeFileSync(join(dataDir, "pool-places.json"), JSON.stringify({ [poolId]: place }));
	await apply(removal());
	expect(store.get("pool", poolId)?.nodeIds).toEqual([other]);
	writeFileSync(clusterPathsOf(dataDir).removed, "");
	await leave();
	expect(released).toEqual([[path, poolId, { volumes: [], images: [] }]]);
});

describe("what has moved away", () => {
	test("is removed first", async () => {
		await vmMovedAway();
		const left = leave();
		expect(existsSync(clusterPathsOf(dataDir).leaving)).toBe(false);
		await finish(discards.volume, discards.vm);
		clock.advance(100);
		await left;
		expect(released).toEqual([[path, poolId, { volumes: [], images: [] }]]);
	});

	test("keeps the node when that does not come to an end, which is said", async () => {
		await vmMovedAway();
		await finish(discards.volume);
		const refused = leave().catch((error: unknown) => error);
		clock.advance(60_000);
		expect(await refused).toMatchObject({
			...{ code: "wrong-state", message: expect.stringContaining("removed here: web. Try again") },
		});
		expect(existsSync(clusterPathsOf(dataDir).leaving)).toBe(false);
		expect(store.get("node", own)?.status.phase).toBe("ready");
	});

	test("at the very moment is not forgotten with its task", async () => {
		await leave(true, vmMovedAway);
		expect(released).toEqual([[path, poolId, { volumes: [volumeId], images: [] }]]);
	});
});
