/** The leader leaves, and the others are away just when they are to hear of it: what only its log has is not thrown away. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { delay, systemClock } from "../lib/clock.ts";
import { silentLogger } from "../lib/log.ts";
import { clusterIds, fixtureId, fixtureNode } from "../testing/fixtures.ts";
import { TestCluster, type TestNode } from "../testing/raft/raft-cluster.ts";
import { Leaving, type LeavingDeps } from "./leaving.ts";
import { clusterPathsOf } from "./node-file.ts";
import { Turns } from "./turns.ts";

const severalChecksMs = 500;
const [a, b] = [fixtureId(0xa), fixtureId(0xb)] as const;

let dataDir: string;
let cluster: TestCluster;
let leader: TestNode;
let other: string;
beforeEach(async () => {
	dataDir = mkdtempSync(join(tmpdir(), "limiquantix-leaving-leader-"));
	mkdirSync(clusterPathsOf(dataDir).peer);
	cluster = await TestCluster.start({ voters: [a, b] });
	leader = await cluster.elect();
	other = cluster.others(leader.id)[0] ?? "";
	await cluster.fill(leader.id, "x", 3);
	await cluster.run(500);
	// The record says that it has left; the other one goes before it gets the change of the members.
	cluster.isolate(other);
	leader.up.changeMembers({ kind: "remove", node: leader.id }).catch(() => {});
	await cluster.run(2_000);
	const { role, configuration, configurationIndex, commitIndex } = leader.up.details();
	expect([role === "leader", configuration.voters, configurationIndex > commitIndex]).toEqual([false, [other], true]);
});
afterEach(async () => {
	await cluster.close();
	rmSync(dataDir, { recursive: true, force: true });
});

const isFresh = (): boolean => existsSync(clusterPathsOf(dataDir).switching);
const leaving = (): Leaving => {
	const node = fixtureNode();
	const record = { ...node, id: leader.id, status: { ...node.status, phase: "left" } };
	const store = {
		all: (table: string) => (table === "node" ? [fixtureNode(), record] : []),
		get: (table: string) => (table === "node" ? record : null),
		count: (table: string) => (table === "node" ? 2 : 0),
	};
	return new Leaving({
		...{ dataDir, node: { nodeId: leader.id, clusterId: clusterIds.cluster, founder: false }, hints: null },
		...{ store: store as unknown as LeavingDeps["store"], consensus: leader.up, turns: new Turns() },
		...{ clock: systemClock, logger: silentLogger, silence: () => () => {}, onFresh() {}, async onRemoved() {} },
		poolFolders: { async handOver() {}, async release() {} },
	});
};

test("it waits for them, and the cluster goes on without it when they are back", async () => {
	const left = leaving().leave(async () => {});
	await delay(systemClock, severalChecksMs);
	expect(isFresh()).toBe(false);
	cluster.heal();
	await cluster.run(10_000);
	await left;
	expect(isFresh()).toBe(true);
	cluster.crash(leader.id, "process-end");
	expect(await cluster.run(10_000, () => cluster.node(other).up.details().quorum)).toBe(true);
	expect(cluster.node(other).up.details().configuration.voters).toEqual([other]);
});

test("a start in the midst of it does not begin anew either", async () => {
	writeFileSync(clusterPathsOf(dataDir).leaving, "[]");
	cluster.crash(leader.id, "process-end");
	await cluster.open(leader.id);
	await leaving().finish(new Promise(() => {}));
	expect(isFresh()).toBe(false);
	expect(existsSync(clusterPathsOf(dataDir).leaving)).toBe(true);
});
