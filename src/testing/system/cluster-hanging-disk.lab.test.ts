/**
 * The disk of the leader hangs, without an error: its process goes on, and so do its heartbeats. strace holds each of its syncs, as
 * a dying disk or a storage that does not answer would. Or it says that a sync failed.
 */
import { expect, test } from "bun:test";
import { present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import type { ClusterNode } from "../cluster/cluster-node.ts";
import { untilSame } from "../cluster/convergence.ts";
import { healLimitMs, LabCluster, statusOf } from "../cluster/lab-cluster.ts";
import { waitUntil } from "../lab/wait-until.ts";

const limitMs = 150_000;
const heldMs = 120_000;
const strace = Bun.which("strace");
const because = strace === null ? " (skipped: there is no strace)" : "";

/** Its syncs do what strace calls `fault`, until it is ended. */
function breakSyncs({ daemon }: ClusterNode, fault: string): { end(): Promise<void> } {
	const ending = new AbortController();
	const syncs = "fsync,fdatasync";
	const args = ["-f", "-q", "-p", String(daemon.pid), "-e", `trace=${syncs}`, "-e", `inject=${syncs}:${fault}`];
	const ended = run(strace ?? "strace", args, { timeoutMs: limitMs, signal: ending.signal }).catch(() => {});
	return {
		async end() {
			ending.abort();
			await ended;
		},
	};
}

const rename = ({ api }: ClusterNode, name: string) =>
	api.call("clusterUpdate", { body: { name }, signal: AbortSignal.timeout(3_000) });

test.skipIf(strace === null)(
	`the others go on without a leader whose disk hangs, and it catches up${because}`,
	async () => {
		await using cluster = await LabCluster.start(3);
		const leader = await cluster.leader();
		const others = cluster.nodes.filter((node) => node !== leader);
		const disk = breakSyncs(leader, `delay_enter=${heldMs * 1000}`);
		try {
			await waitUntil("another leader", 30_000, async () => {
				await Promise.allSettled(others.map((node) => rename(node, "tried")));
				const known = await Promise.all(others.map(async (node) => (await statusOf(node))?.leaderNodeId ?? null));
				return known.every((id) => id !== null && id !== leader.nodeId);
			});
			for (const [number, node] of others.entries()) await rename(node, `lab-${number}`);
		} finally {
			await disk.end();
		}
		await untilSame(cluster.nodes, cluster.folder, healLimitMs);
		expect((await leader.api.call("clusterGet")).body.name).toBe("lab-1");
	},
	limitMs,
);

test.skipIf(strace === null)(
	`a node whose sync fails ends, acknowledges nothing more, and is back with all that counts when its disk is${because}`,
	async () => {
		await using cluster = await LabCluster.start(3);
		const leader = await cluster.leader();
		const [other] = cluster.nodes.filter((node) => node !== leader);
		await rename(leader, "before");
		const disk = breakSyncs(leader, "error=EIO");
		try {
			const asked = await waitUntil("a change that needs a sync to fail", 30_000, async () => {
				const [answer] = await Promise.allSettled([rename(leader, "never")]);
				return answer?.status === "rejected" ? answer : undefined;
			});
			expect(asked.status).toBe("rejected");
			await waitUntil("the process to end", 30_000, () => !leader.daemon.alive());
		} finally {
			await disk.end();
		}
		expect(leader.daemon.exitCode()).toBe(1);
		expect(leader.daemon.log()).toContain("The disk of the log failed");
		await waitUntil("the others to go on", 30_000, async () => {
			const [answer] = await Promise.allSettled([rename(present(other, "another node"), "after")]);
			return answer?.status === "fulfilled";
		});
		await leader.daemon.start();
		await untilSame(cluster.nodes, cluster.folder, healLimitMs);
		expect((await leader.api.call("clusterGet")).body.name).toBe("after");
	},
	limitMs,
);
