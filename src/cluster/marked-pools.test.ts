/** Folders that a node has marked as a pool's, and of which the state says nothing: they are given free all the same. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { LocalDriver } from "../storage/local/driver.ts";
import { releasePool } from "../storage/local/release-pool.ts";
import { clusterIds, fixtureCluster, fixtureId } from "../testing/fixtures.ts";
import { type MemoryStore, openMemoryStore } from "../testing/memory-store.ts";
import { freeFormerPools, markedPools } from "./marked-pools.ts";
import { clusterPathsOf } from "./node-file.ts";

const { node: own, cluster: clusterId } = clusterIds;
const [marked, ofFormerLife, shared] = [fixtureId(0x500), fixtureId(0x501), fixtureId(0x502)];
const other = fixtureId(0x602);
const former = { nodeId: fixtureId(0x600), clusterId: fixtureId(0x601) };

let dataDir: string;
let store: MemoryStore;
beforeEach(async () => {
	dataDir = mkdtempSync(join(tmpdir(), "limiquantix-marked-"));
	mkdirSync(clusterPathsOf(dataDir).peer);
	const place = { nodeId: own, clusterId, name: "local", type: "local", path: "/srv/marked" };
	const places = {
		[marked]: place,
		[ofFormerLife]: { ...place, ...former, path: "/srv/former" },
		[shared]: { ...place, type: "nfs", path: "/srv/shared" },
	};
	writeFileSync(join(dataDir, "pool-places.json"), JSON.stringify(places));
	store = await openMemoryStore({ commands: [fixtureCluster()] });
});
afterEach(async () => {
	await store.close();
	rmSync(dataDir, { recursive: true, force: true });
});

const parts = () => ({ dataDir, node: { nodeId: own, clusterId }, store, logger: silentLogger });

test("what the state says, and what this node has marked as this member; nothing of what it was before", async () => {
	const known = store.all("pool").map(({ id, config: { path = "" } }) => ({ id, path }));
	expect(known).toHaveLength(1);
	expect(await markedPools(parts())).toEqual([{ id: marked, path: "/srv/marked" }, ...known]);
});

test("that it cannot be read is said: a node that takes it for none would bring less than it has", async () => {
	for (const damaged of ["{", "null", "[]", '"x"']) {
		writeFileSync(join(dataDir, "pool-places.json"), damaged);
		await expect(markedPools(parts())).rejects.toMatchObject({
			...{ code: "corrupt", message: expect.stringContaining("pool-places.json is damaged") },
		});
	}
	rmSync(join(dataDir, "pool-places.json"));
	expect(await markedPools(parts())).toHaveLength(1);
});

describe("of a witness", () => {
	const released: unknown[][] = [];
	const free = (release = async () => true) =>
		freeFormerPools({
			...parts(),
			poolFolders: {
				async release(...given) {
					released.push(given);
					return release();
				},
			},
		});
	beforeEach(() => {
		released.length = 0;
	});
	const nothing = { volumes: [], images: [] };
	const all = [
		["/srv/marked", { poolId: marked, nodeId: own }, nothing],
		["/srv/former", { poolId: ofFormerLife, nodeId: former.nodeId }, nothing],
	];
	const places = () => Object.keys(JSON.parse(readFileSync(join(dataDir, "pool-places.json"), "utf8")));

	test("all that it had before goes, with the copies of images, and one that fails keeps no other", async () => {
		writeFileSync(clusterPathsOf(dataDir).imported, "");
		await free(() => Promise.reject(new Error("The disk is gone.")));
		expect(released).toEqual(all);
		const copy = fixtureId(0x700);
		writeFileSync(join(dataDir, "image-copies.json"), JSON.stringify({ [copy]: { poolId: ofFormerLife } }));
		await free();
		const owner = { poolId: ofFormerLife, nodeId: former.nodeId };
		expect(released.at(-1)).toEqual(["/srv/former", owner, { volumes: [], images: [copy] }]);
	});

	test("once for each: what is done is forgotten, and what could not be reached is tried again", async () => {
		writeFileSync(clusterPathsOf(dataDir).imported, "");
		await free(() => Promise.reject(new Error("The disk is gone.")));
		await free(async () => false);
		expect(places()).toEqual([marked, ofFormerLife, shared]);
		await free(async () => released.length % 2 === 1);
		expect(places()).toEqual([ofFormerLife, shared]);
		released.length = 0;
		await free();
		await free();
		expect(released).toEqual(all.slice(1));
	});

	test("nothing while it may still become again what it was", async () => {
		await free();
		expect(released).toEqual([]);
	});

	test("on real folders: its own goes, another pool's and another node's stay", async () => {
		writeFileSync(clusterPathsOf(dataDir).imported, "");
		const folderOf = (name: string) => join(dataDir, name);
		const options = { random: systemRandom, clock: systemClock, log: silentLogger, protectedPaths: [] };
		const open = (name: string, poolId: string, nodeId: string) =>
			new LocalDriver({ ...options, path: folderOf(name), poolId, nodeId }).activate();
		const [unmounted, takenOver, sharedByTwo, successor] = [0x510, 0x511, 0x512, 0x513].map(fixtureId) as string[];
		const place = (name: string) => ({ ...former, name, type: "local", path: folderOf(name) });
		await open("own", ofFormerLife, former.nodeId);
		await open("taken", successor ?? "", other);
		for (const nodeId of [former.nodeId, other]) await open("both", sharedByTwo ?? "", nodeId);
		const written = {
			[ofFormerLife]: place("own"),
			[unmounted ?? ""]: place("unmounted"),
			[takenOver ?? ""]: place("taken"),
			[sharedByTwo ?? ""]: place("both"),
		};
		writeFileSync(join(dataDir, "pool-places.json"), JSON.stringify(written));
		// Work of the other node: what is half done there is not left over.
		mkdirSync(join(folderOf("both"), "volumes", ".tmp-0123456789ab"));
		await freeFormerPools({
			...parts(),
			poolFolders: { release: (path, owner, left) => releasePool({ ...options, path, ...owner }, left) },
		});
		expect(existsSync(folderOf("own"))).toBe(false);
		await new LocalDriver({ ...options, path: folderOf("taken"), poolId: successor ?? "" }).check();
		await new LocalDriver({ ...options, path: folderOf("both"), poolId: sharedByTwo ?? "" }).check();
		expect(readdirSync(join(folderOf("both"), "nodes"))).toEqual([other]);
		expect(readdirSync(join(folderOf("both"), "volumes"))).toEqual([".tmp-0123456789ab"]);
		expect(places()).toEqual([unmounted ?? ""]);
	});
});
