/** A node that was removed: what its administrator can still do with it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import type { AppError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { notLeading, unknownOutcome } from "../store/raft/refusals.ts";
import { clusterIds, fixtureNode } from "../testing/fixtures.ts";
import { Leaving, type LeavingDeps } from "./leaving.ts";
import { clusterPathsOf } from "./node-file.ts";

let dataDir: string;
beforeEach(() => {
	dataDir = mkdtempSync(join(tmpdir(), "limiquantix-leaving-"));
	mkdirSync(clusterPathsOf(dataDir).peer);
	writeFileSync(clusterPathsOf(dataDir).removed, "");
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

const { node: nodeId, cluster: clusterId } = clusterIds;

function removedNode(vms: number) {
	const seen = { refusesWrites: false, fresh: false, stopped: false, asked: false };
	const store = {
		all: (table: string) => (table === "node" ? [fixtureNode(), fixtureNode()] : []),
		count: (table: string) => (table === "vm" ? vms : 0),
	};
	const leaving = new Leaving({
		...{ dataDir, node: { nodeId, clusterId, founder: false }, hints: null, clock: systemClock, logger: silentLogger },
		store: store as unknown as LeavingDeps["store"],
		consensus: {
			details: () => ({ removed: false }) as ReturnType<LeavingDeps["consensus"]["details"]>,
			noteRemoved() {
				seen.refusesWrites = true;
			},
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
	return { leave, leaveWith: (remove: () => Promise<unknown>) => leaving.leave(remove), seen };
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
	expect(seen).toEqual({ refusesWrites: true, fresh: true, stopped: true, asked: false });
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
