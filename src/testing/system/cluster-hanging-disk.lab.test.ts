/**
 * The disk of the leader hangs, without an error: its process goes on, and so do its heartbeats. strace holds each of its syncs, as
 * a dying disk or a storage that does not answer would.
 */
import { expect, test } from "bun:test";
import { run } from "../../lib/run.ts";
import type { ClusterNode } from "../cluster/cluster-node.ts";
import { untilSame } from "../cluster/convergence.ts";
import { healLimitMs, LabCluster, statusOf } from "../cluster/lab-cluster.ts";
import { waitUntil } from "../lab/wait-until.ts";

const limitMs = 150_000;
const heldMs = 120_000;
const strace = Bun.which("strace");
const because = strace === null ? " (skipped: there is no strace)" : "";

/** Until it is ended. */
function hangDisk({ daemon }: ClusterNode): { end(): Promise<void> } {
	const ending = new AbortController();
	const held = `inject=fsync,fdatasync:delay_enter=${heldMs * 1000}`;
	const args = ["-f", "-q", "-p", String(daemon.pid), "-e", "trace=fsync,fdatasync", "-e", held];
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
		const disk = hangDisk(leader);
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
