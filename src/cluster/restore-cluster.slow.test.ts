/** A backup of a cluster with several nodes: which of them this machine is, and what becomes of the others. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import { idSource } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { writeSecret } from "../peer/identity.ts";
import { openStore } from "../store/open-store.ts";
import type { Store } from "../store/store.ts";
import { clusterIds, fixtureId, fixtureMember, fixtureTask, fixtureVm } from "../testing/fixtures.ts";
import { StoreCluster } from "../testing/store-cluster.ts";
import { loneNode } from "../testing/store-identity.ts";
import { clusterPathsOf, openNodeFile, writeNodeFile } from "./node-file.ts";
import { type RestoreOptions, restoreSnapshot } from "./restore.ts";

const ids = idSource(systemClock, systemRandom);
let cluster: StoreCluster;
let backup: string;
let index: number;
let nodeIds: string[];
const witnessId = fixtureId(0x99f);
/** Three nodes, each with a VM, a witness, and one that was removed before the backup was made. */
beforeAll(async () => {
	cluster = await StoreCluster.start(4);
	const { system } = cluster.leader;
	nodeIds = cluster.members.map(({ id }) => id).slice(0, 3);
	for (const [number, nodeId] of nodeIds.entries()) {
		const vm = fixtureVm({ id: fixtureId(0x100 + number), name: `vm-${number + 1}`, nodeId });
		const created = fixtureTask("vm.create", { kind: "vm", id: vm.id }, { id: fixtureId(0x700 + number), nodeId });
		await system({ kind: "vmCreate", vm, volumes: [], task: created });
	}
	for (const body of fixtureMember({ id: witnessId, name: "arbiter", witness: true }, Date.now())) await system(body);
	await system({ kind: "authoritySet", certificatePem: "-----BEGIN X", keyPem: "-----BEGIN Y" });
	await system({ kind: "nodeRemove", id: cluster.member(4).id, leaving: false, confirmName: "node-4" });
	backup = join(cluster.folder, "backup.db");
	({ index } = await cluster.leader.up.snapshot(backup));
});
afterAll(() => cluster.remove());

let count = 0;
/** A data folder; of a node, or of nobody. */
async function folderOf(nodeId: string | null): Promise<string> {
	count += 1;
	const dataDir = join(cluster.folder, `machine-${count}`);
	mkdirSync(dataDir);
	if (nodeId !== null)
		await writeNodeFile(clusterPathsOf(dataDir).node, { nodeId, clusterId: clusterIds.cluster, founder: false });
	return dataDir;
}
const restore = (dataDir: string, options: Partial<RestoreOptions> = {}) => {
	const tools = { newId: () => ids.newId(), nowMs: Date.now(), logger: silentLogger };
	return restoreSnapshot({ snapshotPath: backup, dataDir, ...tools, ...options });
};
async function started(dataDir: string, work: (store: Store, nodeId: string) => Promise<void>): Promise<void> {
	const identity = await openNodeFile(dataDir, () => expect.unreachable("it is known"));
	const store = await openStore({
		...loneNode,
		...{ dataDir, identity, clock: systemClock, logger: silentLogger, fsync: false },
		onFatal(error) {
			throw error;
		},
	});
	try {
		await work(store, identity.nodeId);
	} finally {
		await store.close();
	}
}

describe("this machine is", () => {
	test("the node that its folder is of, and a cluster of its own", async () => {
		const dataDir = await folderOf(nodeIds[1] ?? "");
		await writeSecret(clusterPathsOf(dataDir).members, "{}");
		await writeSecret(clusterPathsOf(dataDir).removed, "");
		expect(await restore(dataDir)).toEqual({ index, nodeName: "node-2", membersLeft: ["arbiter", "node-1", "node-3"] });
		expect(existsSync(clusterPathsOf(dataDir).peer)).toBe(false);
		expect(readdirSync(dataDir).sort()).toEqual(["lock", "node.json", "raft", "snapshots", "state.db"]);
		await started(dataDir, async (store, nodeId) => {
			expect(nodeId).toBe(nodeIds[1] ?? "");
			const [{ id } = { id: "" }] = store.all("cluster");
			expect(id).not.toBe(clusterIds.cluster);
			expect(store.status()).toMatchObject({ leader: nodeId, quorum: true });
			const phases = Object.fromEntries(store.all("node").map(({ name, status }) => [name, status.phase]));
			expect(phases).toEqual({
				arbiter: "left",
				"node-1": "left",
				"node-2": "ready",
				"node-3": "left",
				"node-4": "left",
			});
			const unknown = store.all("vm").filter(({ status }) => status.powerState === "unknown");
			expect(unknown.map(({ name }) => name).sort()).toEqual(["vm-1", "vm-3"]);
			expect(store.authority()).toBeNull();
			expect(store.all("audit").filter(({ operation }) => operation === "clusterRestore")).toMatchObject([
				{
					requester: { kind: "local" },
					targets: [{ id }, { name: "arbiter" }, { name: "node-1" }, { name: "node-3" }],
				},
			]);
		});
		// From its snapshot, too.
		expect(readFileSync(join(dataDir, "node.json"), "utf8")).toContain('"founder":true');
	});

	test("the one that is named, in a folder of nobody, or of a node that the backup does not have", async () => {
		for (const of of [null, fixtureId(0x77)]) {
			const dataDir = await folderOf(of);
			expect(await restore(dataDir, { nodeName: "node-3" })).toMatchObject({ nodeName: "node-3" });
			await started(dataDir, async (_, nodeId) => expect(nodeId).toBe(nodeIds[2] ?? ""));
		}
	});

	test("a witness: it decides alone, and stays one", async () => {
		const dataDir = await folderOf(witnessId);
		expect(await restore(dataDir)).toMatchObject({ nodeName: "arbiter", membersLeft: ["node-1", "node-2", "node-3"] });
		await started(dataDir, async (store, nodeId) => {
			expect(store.status()).toMatchObject({ leader: witnessId, quorum: true });
			expect(store.get("node", nodeId)?.witness).toBe(true);
			expect(await store.readIndex()).toBe(store.appliedIndex);
		});
	});

	test("never guessed: refused with the names, and nothing is changed", async () => {
		for (const [of, nodeName, message] of [
			[null, undefined, /Say with --node which of them this machine is: arbiter, node-1, node-2, node-3\./],
			[null, "node-4", /The backup has no node node-4\. Its nodes: arbiter, node-1, node-2, node-3\./],
			[nodeIds[0] ?? "", "node-2", /This data folder is that of the node node-1\. Leave --node out/],
		] as const) {
			const dataDir = await folderOf(of);
			await expect(restore(dataDir, { nodeName })).rejects.toMatchObject({
				code: "invalid",
				message: expect.stringMatching(message),
			});
			expect(readdirSync(dataDir)).toEqual(of === null ? [] : ["node.json"]);
		}
	});

	test("refused, it leaves no folder where there was none", async () => {
		const inNew = join(await folderOf(null), "srv", "limiquantix");
		await expect(restore(inNew)).rejects.toMatchObject({ code: "invalid" });
		expect(existsSync(dirname(inNew))).toBe(false);
		expect(existsSync(dirname(dirname(inNew)))).toBe(true);
	});
});

test("two restores of one backup are two clusters", async () => {
	const found = new Set<string>();
	for (const nodeName of ["node-1", "node-2"]) {
		const dataDir = await folderOf(null);
		await restore(dataDir, { nodeName });
		await started(dataDir, async (store) => void found.add(store.all("cluster")[0]?.id ?? ""));
	}
	expect([found.size, found.has(clusterIds.cluster)]).toEqual([2, false]);
});
