/** A state or a snapshot of another cluster in the data folder: nothing of it is served. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import { idSource } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { fixtureCluster, fixtureId } from "../testing/fixtures.ts";
import { loneNode } from "../testing/store-identity.ts";
import { type OpenStoreOptions, openStore, pathsOf } from "./open-store.ts";
import { proposer } from "./proposer.ts";

let folder: string;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "limiquantix-store-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const open = (name: string, identity: Partial<OpenStoreOptions["identity"]> = {}) =>
	openStore({
		...loneNode,
		identity: { ...loneNode.identity, ...identity },
		dataDir: join(folder, name),
		clock: systemClock,
		logger: silentLogger,
		fsync: false,
		onFatal: (error) => {
			throw error;
		},
	});

async function makeCluster(name: string, id = loneNode.identity.clusterId, clusterName = name): Promise<string> {
	const store = await open(name, { clusterId: id });
	const init = fixtureCluster();
	const { proposeSystem } = proposer(store, systemClock, idSource(systemClock, systemRandom));
	await proposeSystem({ ...init, cluster: { ...init.cluster, id, name: clusterName } });
	const backup = join(folder, `${name}.db`);
	await store.snapshot(backup);
	await store.close();
	return backup;
}

test("a snapshot of another cluster is passed over: the log makes the state", async () => {
	await makeCluster("ours");
	const theirs = await makeCluster("theirs", fixtureId(0xffff));
	const paths = pathsOf(join(folder, "ours"));
	for (const suffix of ["", "-wal", "-shm", ".seal"]) rmSync(paths.state + suffix, { force: true });
	mkdirSync(paths.snapshots, { recursive: true });
	copyFileSync(theirs, join(paths.snapshots, "0000000000000001.db"));
	const store = await open("ours");
	await store.readIndex();
	expect(store.all("cluster")).toMatchObject([{ id: loneNode.identity.clusterId, name: "ours" }]);
	await store.close();
});

test("the state of another cluster is refused", async () => {
	await makeCluster("ours");
	const theirs = await makeCluster("theirs", fixtureId(0xffff));
	const paths = pathsOf(join(folder, "ours"));
	for (const suffix of ["-wal", "-shm", ".seal"]) rmSync(paths.state + suffix, { force: true });
	copyFileSync(theirs, paths.state);
	await expect(open("ours")).rejects.toMatchObject({
		code: "corrupt",
		message: expect.stringContaining("is that of another cluster"),
	});
	expect(existsSync(paths.log)).toBe(true);
});
