/** A node that was removed: what its administrator can still do with it. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import type { AppError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import type { Node } from "../model/node.ts";
import { notLeading, unknownOutcome } from "../store/raft/refusals.ts";
import { clusterIds, fixtureId, fixtureNode } from "../testing/fixtures.ts";
import { Leaving, type LeavingDeps } from "./leaving.ts";
import { clusterPathsOf, readNodeFile, writeNodeFile } from "./node-file.ts";
import { completeSwitch, formerFolderOf, type JoinHints, joiningKeyOf } from "./switch.ts";
import { Turns } from "./turns.ts";

let dataDir: string;
beforeEach(() => {
	dataDir = mkdtempSync(join(tmpdir(), "limiquantix-leaving-"));
	mkdirSync(clusterPathsOf(dataDir).peer);
	writeFileSync(clusterPathsOf(dataDir).removed, "");
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

type Admitted = {
	hints: JoinHints | null;
	nodes: number;
	lastIndex: number;
	phase: Node["status"]["phase"] | null;
	letGo: boolean;
};
const { node: nodeId, cluster: clusterId } = clusterIds;

function removedNode(
	vms: number,
	{ hints = null, nodes = 2, lastIndex = 0, phase = null, letGo = false }: Partial<Admitted> = {},
) {
	const seen = { refusesWrites: false, fresh: false, stopped: false, asked: false, silent: false };
	const store = {
		all: (table: string) => (table === "node" ? Array.from({ length: nodes }, () => fixtureNode()) : []),
		get: (table: string) => {
			const node = fixtureNode();
			return table === "node" && phase ? { ...node, status: { ...node.status, phase } } : null;
		},
		count: (table: string) => (table === "vm" ? vms : table === "node" ? nodes : 0),
	};
	const leaving = new Leaving({
		...{ dataDir, node: { nodeId, clusterId, founder: false }, hints, clock: systemClock, logger: silentLogger },
		...{ store: store as unknown as LeavingDeps["store"], turns: new Turns() },
		consensus: {
			details: () =>
				({ removed: letGo, lastIndex, configuration: {} }) as ReturnType<LeavingDeps["consensus"]["details"]>,
			noteRemoved() {
				seen.refusesWrites = true;
			},
		},
		silence: () => {
			seen.silent = true;
			return () => {
				seen.silent = false;
			};
		},
		poolFolders: { async handOver() {}, async release() {} },
		onFresh() {
			seen.fresh = true;
		},
		async onRemoved() {
			seen.stopped = true;
		},
	});
	const leave = () =>
		leaving.leave(async () => {
			seen.asked = true;
		});
	return {
		...{ leave, seen, finish: () => leaving.finish(new Promise(() => {})) },
		leaveWith: (remove: () => Promise<unknown>) => leaving.leave(remove),
	};
}

test("one that is not even asked to go, for lack of a leader, does not go later by itself", async () => {
	rmSync(clusterPathsOf(dataDir).removed);
	const leaving = (error: AppError) => removedNode(0).leaveWith(() => Promise.reject(error));
	await expect(leaving(notLeading(null))).rejects.toMatchObject({ code: "unavailable" });
	expect(existsSync(clusterPathsOf(dataDir).leaving)).toBe(false);
	// Of this one nobody knows what became.
	await expect(leaving(unknownOutcome("The leading node was lost."))).rejects.toMatchObject({ code: "unavailable" });
	expect(existsSync(clusterPathsOf(dataDir).leaving)).toBe(true);
});

test("after a start, too, it takes no writes", () => {
	expect(removedNode(0).seen.refusesWrites).toBe(true);
});

test("with nothing on it, it becomes a cluster of its own without asking anybody", async () => {
	const { leave, seen } = removedNode(0);
	await leave();
	expect(seen).toMatchObject({ refusesWrites: true, fresh: true, stopped: true, asked: false });
	expect(existsSync(clusterPathsOf(dataDir).switching)).toBe(true);
});

test("with VMs it is told how they come back, and nothing changes", async () => {
	const { leave, seen } = removedNode(1);
	await expect(leave()).rejects.toMatchObject({
		code: "wrong-state",
		message: expect.stringContaining("cluster join"),
	});
	expect(seen).toMatchObject({ fresh: false, stopped: false });
	expect(existsSync(clusterPathsOf(dataDir).switching)).toBe(false);
});

const formerNodeId = fixtureId(0xf0);
const admitted = { hints: { members: [], formerNodeId, rename: false, witness: false }, nodes: 0 };

async function whatItWas(): Promise<void> {
	const former = formerFolderOf(dataDir, formerNodeId);
	mkdirSync(clusterPathsOf(former).peer, { recursive: true });
	writeFileSync(joiningKeyOf(former), "the key that it was admitted with");
	await writeNodeFile(clusterPathsOf(former).node, { nodeId: formerNodeId, clusterId, founder: true });
}

for (const removed of [false, true])
	test(`admitted and never reached, ${removed ? "and removed then, " : ""}it is what it was, and asks nobody`, async () => {
		if (!removed) rmSync(clusterPathsOf(dataDir).removed);
		await whatItWas();
		const { leave, seen } = removedNode(0, admitted);
		await leave();
		// From before it was looked at what it has confirmed: nobody is told of anything any more.
		expect(seen).toMatchObject({ fresh: true, stopped: true, asked: false, silent: !removed });
		expect(await completeSwitch(dataDir, silentLogger)).toBe(true);
		expect(await readNodeFile(clusterPathsOf(dataDir).node)).toMatchObject({ nodeId: formerNodeId });
		// Else it would be the same member when it joins again, without the log of that one.
		expect(existsSync(joiningKeyOf(dataDir))).toBe(false);
	});

test("one that has confirmed entries to the others does not vanish without a word", async () => {
	rmSync(clusterPathsOf(dataDir).removed);
	await whatItWas();
	const { leave, finish, seen } = removedNode(0, { ...admitted, lastIndex: 3 });
	await expect(leave()).rejects.toMatchObject({ code: "unavailable" });
	expect(seen).toMatchObject({ fresh: false, asked: false, silent: false });
	expect(existsSync(clusterPathsOf(dataDir).leaving)).toBe(false);
	// Nor at a start that finds that it was about to.
	writeFileSync(clusterPathsOf(dataDir).leaving, "[]");
	await finish();
	expect(seen).toMatchObject({ fresh: false, silent: false });
});

test("one that does not know whether the cluster has what it brought does not become what it was: others may have its VMs", async () => {
	await whatItWas();
	writeFileSync(clusterPathsOf(dataDir).importing, "");
	const { leave, seen } = removedNode(0, { ...admitted, nodes: 2, phase: "joining" });
	await leave();
	expect(seen.fresh).toBe(true);
	expect(await completeSwitch(dataDir, silentLogger)).toBe(true);
	expect(existsSync(clusterPathsOf(dataDir).node)).toBe(false);
	expect(existsSync(formerFolderOf(dataDir, formerNodeId))).toBe(true);
});

describe("one that had arrived, and whose pools' folders are not handed over,", () => {
	const arrived = { ...admitted, nodes: 2, phase: "ready" as const };
	const isAsItWas = async () => {
		expect(await completeSwitch(dataDir, silentLogger)).toBe(true);
		return (await readNodeFile(clusterPathsOf(dataDir).node))?.nodeId === formerNodeId;
	};

	test("does not become what it was: others have its VMs now", async () => {
		rmSync(clusterPathsOf(dataDir).removed);
		await whatItWas();
		const { leaveWith } = removedNode(0, arrived);
		// Only the note says so afterwards; it is there before anybody is asked.
		await expect(leaveWith(() => Promise.reject(unknownOutcome("Lost.")))).rejects.toMatchObject({
			code: "unavailable",
		});
		const { leave, seen } = removedNode(0, { ...arrived, phase: "left", letGo: true });
		await leave();
		expect(await isAsItWas()).toBe(false);
		expect(seen).toMatchObject({ fresh: true, asked: false });
	});

	test("neither does one that was removed then, and does not know it by its own copy", async () => {
		await whatItWas();
		await removedNode(0, arrived).leave();
		expect(await isAsItWas()).toBe(false);
	});

	test("while it was joining, it does", async () => {
		rmSync(clusterPathsOf(dataDir).removed);
		await whatItWas();
		await removedNode(0, { ...arrived, phase: "joining", letGo: true }).leave();
		expect(await isAsItWas()).toBe(true);
	});
});
