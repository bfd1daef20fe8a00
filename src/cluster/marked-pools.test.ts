/** Folders that a node has marked as a pool's, and of which the state says nothing: they are given free all the same. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../lib/log.ts";
import { localPath } from "../model/storage-rules.ts";
import { clusterIds, fixtureCluster, fixtureId } from "../testing/fixtures.ts";
import { type MemoryStore, openMemoryStore } from "../testing/memory-store.ts";
import { freeFormerPools, markedPools } from "./marked-pools.ts";
import { clusterPathsOf } from "./node-file.ts";

const { node: own, cluster: clusterId } = clusterIds;
const [marked, ofFormerLife, shared] = [fixtureId(0x500), fixtureId(0x501), fixtureId(0x502)];
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
	const known = store.all("pool").map((pool) => ({ id: pool.id, path: localPath(pool) ?? "" }));
	expect(known).toHaveLength(1);
	expect(await markedPools(parts())).toEqual([{ id: marked, path: "/srv/marked" }, ...known]);
});

describe("of a witness", () => {
	const released: unknown[][] = [];
	const free = (release = async () => {}) =>
		freeFormerPools({
			...parts(),
			poolFolders: {
				async release(...given) {
					released.push(given);
					await release();
				},
			},
		});
	beforeEach(() => {
		released.length = 0;
	});
	const all = [marked, ofFormerLife].map((id) => [expect.any(String), id, { volumes: [], images: [] }]);

	test("all that it had before goes, with the copies of images, and one that fails keeps no other", async () => {
		writeFileSync(clusterPathsOf(dataDir).imported, "");
		await free(() => Promise.reject(new Error("The disk is gone.")));
		expect(released).toEqual(all);
		const copy = fixtureId(0x700);
		writeFileSync(join(dataDir, "image-copies.json"), JSON.stringify({ [copy]: { poolId: ofFormerLife } }));
		await free();
		expect(released.at(-1)).toEqual(["/srv/former", ofFormerLife, { volumes: [], images: [copy] }]);
	});

	test("nothing while it may still become again what it was", async () => {
		await free();
		expect(released).toEqual([]);
	});
});
