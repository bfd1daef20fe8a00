/** Many nodes that get other addresses at once, while nobody can change the state: they find each other, and it is recorded then. */
import { test } from "bun:test";
import { type ClusterNode, peerPort } from "../cluster/cluster-node.ts";
import { untilSame } from "../cluster/convergence.ts";
import { LabCluster, statusOf } from "../cluster/lab-cluster.ts";
import { ip, untilLinked, untilWritten } from "../cluster/reach.ts";
import { waitUntil } from "../lab/wait-until.ts";

const limitMs = 150_000;
const stepMs = 40_000;

/**
 * Stopped, with another address; nobody was told. Of another prefix: the kernel would take the second of one prefix away
 * with the first.
 */
async function renumber(node: ClusterNode, address: string): Promise<void> {
	await node.kill9();
	await ip(node, "address", "add", `${address}/16`, "dev", "eth0");
	await ip(node, "address", "del", `${node.host.address}/24`, "dev", "eth0");
}

test(
	"most nodes get other addresses at once: they find each other by the one that stayed, and it is recorded for good",
	async () => {
		await using cluster = await LabCluster.start(3);
		const [first, second, third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
		const [later, latest] = ["10.98.0.211", "10.98.0.212"];
		await Promise.all([renumber(second, later), renumber(third, latest)]);
		await waitUntil("the quorum to be lost", stepMs, async () => (await statusOf(first))?.quorum === false);
		await Promise.all([second.start(), third.start()]);
		await untilWritten(first, "healed");
		// Whoever leads: the one that stayed tells each of the two where the other is.
		await untilLinked(cluster.nodes);
		await untilWritten(third, "healed-everywhere");
		await first.cli(stepMs, "cluster", "readdress", second.name, `${later}:${peerPort}`);
		await second.cli(stepMs, "cluster", "readdress", third.name, `${latest}:${peerPort}`);
		await untilLinked(cluster.nodes);
		await first.kill9();
		await untilWritten(second, "without-the-first");
		await first.start();
		await untilLinked(cluster.nodes);
		await untilSame(cluster.nodes, cluster.folder, stepMs);
	},
	limitMs,
);

test(
	"all nodes get other addresses at once: one of them is told where another is, and those that meet it meet",
	async () => {
		await using cluster = await LabCluster.start(2);
		const [first, second] = [cluster.node(0), cluster.node(1)];
		const [later, latest] = ["10.98.0.221", "10.98.0.222"];
		await Promise.all([renumber(first, later), renumber(second, latest)]);
		await second.start();
		const offline = ["cluster", "readdress", "--data-dir", first.daemon.dataDir, second.name, `${latest}:${peerPort}`];
		await first.run(first.executable, offline);
		await first.start();
		await untilWritten(second, "found");
		await second.cli(stepMs, "cluster", "readdress", `${latest}:${peerPort}`);
		await second.cli(stepMs, "cluster", "readdress", first.name, `${later}:${peerPort}`);
		await second.kill9();
		await second.start();
		await untilLinked(cluster.nodes);
		await untilWritten(first, "found-for-good");
	},
	limitMs,
);
