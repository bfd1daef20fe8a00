/** A snapshot that a later version made, in a schema that this one does not know: refused, with the reason, and nothing is lost. */
import { Database } from "bun:sqlite";
import { afterEach, beforeEach, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { emptyConfiguration } from "../../raft/configuration.ts";
import { clusterIds } from "../../testing/fixtures.ts";
import { StoreFolder } from "../../testing/store-folder.ts";
import { crc32c } from "../log/crc32c.ts";
import { openStateFile } from "./database.ts";
import { schemaVersion } from "./migrations.ts";
import { SnapshotExchange } from "./snapshot-exchange.ts";
import { snapshotName } from "./snapshot-files.ts";

const founders = { index: 0, configuration: { ...emptyConfiguration, voters: [clusterIds.node] } };
let folder: StoreFolder;
beforeEach(() => {
	folder = new StoreFolder();
});
afterEach(() => folder.remove());

test("a snapshot of a newer schema is refused, and the state stays", async () => {
	await folder.fill(5);
	const { store } = await folder.open();
	const index = store.appliedIndex;
	const users = store.count("user");
	const made = join(folder.folder, snapshotName(index));
	await store.snapshot(made);
	await folder.close(store);
	const newer = new Database(made);
	newer.run(`PRAGMA user_version = ${schemaVersion + 1}`);
	newer.run("CREATE TABLE of_a_later_version (id TEXT PRIMARY KEY) STRICT");
	newer.close();
	const bytes = readFileSync(made);
	const before = readFileSync(folder.paths.state);
	const files = readdirSync(folder.paths.snapshots);

	const state = openStateFile(folder.paths.state);
	let replaced = 0;
	const exchange = new SnapshotExchange({
		...{ directory: folder.paths.snapshots, statePath: folder.paths.state, state, founders },
		make: () => Promise.reject(new Error("none is to be made")),
		exclusively: async (work) => work(),
		onReplaced: () => {
			replaced += 1;
		},
	});
	const meta = { index, term: 2, configuration: founders };
	const offer = {
		...{ type: "offer" as const, clusterId: clusterIds.cluster, from: "other", to: clusterIds.node, term: 2 },
		...{ snapshot: "newer", meta, sizeBytes: bytes.length, crc: crc32c(bytes) },
	};
	await exchange.begin(offer);
	await exchange.write(0, bytes, offer.crc);
	await expect(exchange.finish(offer)).rejects.toMatchObject({
		code: "unsupported",
		message: expect.stringContaining(`has schema version ${schemaVersion + 1}; this version of LimiQuantix knows`),
	});
	// What a refusal is followed by.
	await exchange.discard();
	expect([replaced, readdirSync(folder.paths.snapshots)]).toEqual([0, files]);
	state.close();
	expect(Buffer.compare(readFileSync(folder.paths.state), before)).toBe(0);
	const again = await folder.open();
	// A start of a node alone is an entry of its own.
	expect([again.store.count("user"), again.store.appliedIndex]).toEqual([users, index + 1]);
});
