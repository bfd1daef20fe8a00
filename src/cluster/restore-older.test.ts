/** A backup of an earlier version is restored in the schema of this one. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLogger } from "../lib/log.ts";
import { pathsOf } from "../store/open-store.ts";
import { checkState, openStateFile } from "../store/sqlite/database.ts";
import { migrate, migrations } from "../store/sqlite/migrations.ts";
import { writeDigest } from "../store/sqlite/state-digest.ts";
import { clusterIds, fixtureClusterObject, fixtureId, fixtureNode } from "../testing/fixtures.ts";
import { restoreSnapshot } from "./restore.ts";

test("a backup from before clusters of several nodes", async () => {
	const folder = mkdtempSync(join(tmpdir(), "limiquantix-older-"));
	try {
		const { peerAddresses: _addresses, witness: _witness, ...node } = fixtureNode();
		const snapshotPath = join(folder, "backup.db");
		const old = new Database(snapshotPath, { create: true, strict: true });
		migrate(old, migrations.slice(0, 2));
		for (const [table, object] of [
			["cluster", fixtureClusterObject()],
			["node", node],
		] as const)
			old.run(`INSERT INTO ${table} (id, doc) VALUES (?, ?)`, [object.id, JSON.stringify(object)]);
		old.run("INSERT INTO meta (key, value) VALUES ('appliedIndex', 7), ('appliedTerm', 1)");
		writeDigest(old);
		old.close();
		const dataDir = join(folder, "data");
		const newId = () => fixtureId(0x900);
		const restored = await restoreSnapshot({ snapshotPath, dataDir, newId, nowMs: 0, logger: silentLogger });
		expect(restored).toEqual({ index: 7, nodeName: "node-1", membersLeft: [] });
		const path = pathsOf(dataDir).state;
		await checkState(path);
		const state = openStateFile(path);
		expect(state.get("node", clusterIds.node)).toMatchObject({ peerAddresses: [], witness: false });
		expect([state.authority(), state.all("joinToken")]).toEqual([null, []]);
		state.close();
	} finally {
		rmSync(folder, { recursive: true });
	}
});
