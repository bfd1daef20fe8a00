/** Other names and other addresses of real nodes, by the commands that a person types: who they are stays, and they find each other. */
import { expect, test } from "bun:test";
import { type ClusterNode, everywhere, peerPort } from "../cluster/cluster-node.ts";
import { untilSame } from "../cluster/convergence.ts";
import { LabCluster, statusOf, untilMissed } from "../cluster/lab-cluster.ts";
import { ip, untilLinked, untilWritten } from "../cluster/reach.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { waitUntil } from "../lab/wait-until.ts";

const limitMs = 150_000;
const stepMs = 40_000;

const namesOn = async (node: ClusterNode) => (await statusOf(node))?.members.map(({ name }) => name).sort();

test(
	"the cluster and its nodes are renamed while they run, and a start with the old name changes nothing",
	async () => {
		await using cluster = await LabCluster.start(3);
		const [first, second, third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
		await second.cli(stepMs, "cluster", "rename", "berlin");
		await second.cli(stepMs, "cluster", "rename", "--node", third.name, "rack2-left");
		const taken = await failureOf(second.cli(stepMs, "cluster", "rename", "--node", third.nodeId, first.name));
		expect(taken.message + JSON.stringify(taken)).toContain(first.name);
		const wanted = ["node-1", "node-2", "rack2-left"];
		await waitUntil("all to know the name", stepMs, async () => {
			const seen = await Promise.all(cluster.nodes.map(namesOn));
			return seen.every((names) => names?.join() === wanted.join());
		});
		const before = third.nodeId;
		// Its setting node-name is that of a new node.
		await third.term();
		await third.start();
		await third.identify();
		expect(third.nodeId).toBe(before);
		await untilLinked(cluster.nodes);
		expect([await namesOn(third), (await third.api.call("clusterGet")).body.name]).toEqual([wanted, "berlin"]);
		// And the new name is what it is removed by.
		await third.kill9();
		const path = { id: before };
		const wrong = await failureOf(first.api.call("nodeRemove", { path, body: { confirmName: third.name } }));
		expect(wrong.message).toContain("rack2-left");
		await untilMissed(first, before);
		await first.api.call("nodeRemove", { path, body: { confirmName: "rack2-left" } });
	},
	limitMs,
);

test(
	"a node gets another address: told before, and told by others after the old one is gone",
	async () => {
		await using cluster = await LabCluster.start(3);
		const [first, second, third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
		const moved = async (node: ClusterNode, address: string, remove: string) => {
			await ip(node, "address", "del", `${remove}/24`, "dev", "eth0");
			expect(await ip(node, "-brief", "address", "show", "dev", "eth0")).toContain(address);
		};
		const addressesOf = async (node: ClusterNode, asked: ClusterNode) =>
			(await asked.api.call("nodeGet", { path: { id: node.nodeId } })).body.peerAddresses;

		// Of another prefix: the kernel would take the second of one prefix away with the first.
		// Both addresses for a moment, as a person does it that can plan.
		const later = "10.98.0.201";
		await ip(third, "address", "add", `${later}/16`, "dev", "eth0");
		await third.cli(stepMs, "cluster", "readdress", `${later}:${peerPort}`);
		await moved(third, later, third.host.address);
		await untilWritten(third, "moved");
		await untilLinked(cluster.nodes);
		expect(await addressesOf(third, second)).toEqual([`${later}:${peerPort}`]);

		// The address is another one before anybody knows, and nobody reaches the node: the others are told.
		const next = "10.98.0.202";
		await ip(second, "address", "add", `${next}/16`, "dev", "eth0");
		await moved(second, next, second.host.address);
		await first.cli(stepMs, "cluster", "readdress", second.name, `${next}:${peerPort}`);
		await untilWritten(second, "moved-without-a-word");
		await untilLinked(cluster.nodes);

		// All of them after a start: nothing but what the state says leads them to each other.
		await Promise.all(cluster.nodes.map((node) => node.kill9()));
		await Promise.all(cluster.nodes.map((node) => node.start()));
		await untilLinked(cluster.nodes);
		for (const node of cluster.nodes)
			expect((await node.api.call("clusterGet")).body.name).toBe("moved-without-a-word");
		await untilWritten(first, "found-again");
		await untilSame(cluster.nodes, cluster.folder, stepMs);
		// A fourth comes by way of a new address, and is told where the others are.
		const fourth = await cluster.addNode();
		await fourth.joinWith(await cluster.token(third), [`${later}:${peerPort}`], stepMs);
		await waitUntil("four members", stepMs, () => cluster.haveVotes(cluster.nodes));
		await untilLinked(cluster.nodes);
	},
	limitMs,
);

test(
	"an address where the others do not reach the node is not taken by mistake; taken all the same, both sides say what is wrong",
	async () => {
		await using cluster = await LabCluster.start(3);
		const [first, second, third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
		const wrong = `${third.host.address}:9`;
		for (const words of [[wrong], [third.name, first.peerAddress]]) {
			const refused = await failureOf(third.cli(stepMs, "cluster", "readdress", ...words));
			expect(refused.message + JSON.stringify(refused)).toContain(`do not reach ${third.name} there`);
		}
		await third.cli(stepMs, "cluster", "readdress", wrong, "--unreached");
		// As behind a firewall: where it says that it is, nobody reaches it either.
		await third.term();
		third.peerListen = `127.0.0.1:${peerPort}`;
		await third.start();
		await Promise.all([first, second].map((node) => node.kill9()));
		await Promise.all([first, second].map((node) => node.start()));
		const says = (node: ClusterNode, text: string) =>
			waitUntil(`${node.name} to say "${text}"`, stepMs, async () => (await statusOf(node))?.problem?.includes(text));
		await says(third, `do not reach this node at ${wrong}, though it reaches them`);
		await says(await cluster.leader(), `${third.name} reaches this node, and is not reached at ${wrong}`);
		await third.term();
		third.peerListen = everywhere;
		await third.start();
		await first.cli(stepMs, "cluster", "readdress", third.name, third.peerAddress);
		await untilLinked(cluster.nodes);
		await untilWritten(third, "back-again");
	},
	limitMs,
);
