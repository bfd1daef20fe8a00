/** What an administrator says to one stopped node of where another one is: until the state says something else. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { silentLogger } from "../lib/log.ts";
import { lockDataFolder } from "../store/data-lock.ts";
import { openStateFile } from "../store/sqlite/database.ts";
import { clusterIds, fixtureId, fixtureNode } from "../testing/fixtures.ts";
import { StoreFolder } from "../testing/store-folder.ts";
import { type LocalAddresses, readdressLocally, readLocalAddresses, withLocalAddresses } from "./local-addresses.ts";
import { clusterPathsOf, writeNodeFile } from "./node-file.ts";

const other = fixtureNode({ id: fixtureId(0x22), name: "node2", peerAddresses: ["10.0.0.2:8444"] });
const next = ["10.1.0.2:8444"];
let folder: StoreFolder;
let path: string;
beforeEach(async () => {
	folder = new StoreFolder();
	await folder.fill(0);
	const state = openStateFile(folder.paths.state);
	state.insert("node", other);
	state.close();
	path = clusterPathsOf(folder.dataDir).addresses;
	const identity = { nodeId: clusterIds.node, clusterId: clusterIds.cluster, founder: true };
	await writeNodeFile(clusterPathsOf(folder.dataDir).node, identity);
});
afterEach(() => folder.remove());

test("it is written down with what the state says now, the last word for each node, and for the node's user alone", async () => {
	const say = (node: string, addresses: string[]) => readdressLocally(folder.dataDir, node, addresses);
	expect(await say("node2", ["10.9.0.2:8444"])).toBe("node2");
	expect(await say(other.id, next)).toBe("node2");
	const recorded = other.peerAddresses;
	expect(await readLocalAddresses(folder.dataDir, silentLogger)).toEqual([
		{ nodeId: other.id, recorded, addresses: next },
	]);
	expect(statSync(path).mode & 0o777).toBe(0o600);
});

test("refused, with nothing written: of nobody it knows, of itself, of no address, while its daemon runs, where no node is", async () => {
	const own = fixtureNode().name;
	const refused = (node: string, addresses: string[], code: string, folderOf = folder.dataDir) =>
		expect(readdressLocally(folderOf, node, addresses)).rejects.toMatchObject({ code });
	await expect(readdressLocally(folder.dataDir, "node9", next)).rejects.toThrow("It knows:");
	await refused(own, next, "invalid");
	await refused("node2", ["10.0.0.2"], "invalid");
	await refused("node2", [], "invalid");
	await refused("node2", next, "not-found", `${folder.folder}/elsewhere`);
	const lock = lockDataFolder(folder.dataDir);
	await refused("node2", next, "in-use");
	lock.release();
	expect(await readLocalAddresses(folder.dataDir, silentLogger)).toEqual([]);
});

test("it counts beside what the state says, as long as that is what it was", () => {
	const local: LocalAddresses = [{ nodeId: other.id, recorded: ["10.0.0.2:8444"], addresses: [...next, "nonsense"] }];
	const member = { nodeId: other.id, addresses: [{ host: "10.0.0.2", port: 8444 }] };
	const third = { nodeId: fixtureId(0x23), addresses: [] };
	expect(withLocalAddresses([member, third], local)).toEqual([
		{ ...member, alsoAt: [{ host: "10.1.0.2", port: 8444 }] },
		third,
	]);
	const moved = { ...member, addresses: [{ host: "10.1.0.2", port: 8444 }] };
	expect(withLocalAddresses([moved], local)).toEqual([moved]);
});

test("a file that cannot be read is none", async () => {
	await readdressLocally(folder.dataDir, "node2", next);
	writeFileSync(path, readFileSync(path, "utf8").slice(0, -5));
	expect(await readLocalAddresses(folder.dataDir, silentLogger)).toEqual([]);
});
