/**
 * Joins that come to nothing, of real nodes: admitted at an address where nobody reaches them, and of two that join each other.
 * Whatever the administrator does then, the node's VM is in the end in one place, and known there.
 */
import { expect, test } from "bun:test";
import { present } from "../../lib/assert.ts";
import { MiB } from "../../lib/units.ts";
import { type ClusterNode, peerPort } from "../cluster/cluster-node.ts";
import { startForwarder } from "../cluster/forwarder.ts";
import { LabCluster, statusOf, untilMissed } from "../cluster/lab-cluster.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { waitUntil } from "../lab/wait-until.ts";

const limitMs = 120_000;
const stepMs = 30_000;
const vmName = "precious";
const vmBody = { name: vmName, disks: [], nics: [], memoryBytes: 64 * MiB, maxMemoryBytes: 64 * MiB, start: false };

const vmsOn = async (node: ClusterNode) =>
	(await node.api.call("vmList")).body.items.map(({ name, nodeId }) => `${name} on ${nodeId}`);
const joinBody = (node: ClusterNode, token: string, by: ClusterNode, ownAddress = node.peerAddress) => ({
	body: { token, addresses: [by.peerAddress], ownAddresses: [ownAddress] },
});
const nowhere = ({ host }: ClusterNode) => `${host.address}:9`;

/** A cluster of one, and a node with a VM that was admitted to it, and that nobody reaches since. */
async function stuck() {
	const cluster = await LabCluster.start(1);
	const first = cluster.node(0);
	const node = await cluster.addNode();
	// It says in its hello where it is: only what it cannot know itself keeps the others from finding it.
	await node.term();
	node.peerListen = `127.0.0.1:${peerPort}`;
	const forwarder = await startForwarder(node.host, "127.0.0.1", peerPort);
	await node.start();
	const formerId = node.nodeId;
	const { body: vm } = await node.api.call("vmCreate", { body: vmBody });
	const token = await cluster.token(first);
	node.halts.at("admission there");
	const joined = node.api.call("clusterJoin", joinBody(node, token, first));
	await waitUntil("it to be admitted", stepMs, () => node.halts.standsStill);
	const record = await recordOf(first, node);
	const wrong = { peerAddresses: [nowhere(node)], confirmUnreached: true };
	await first.api.call("nodeUpdate", { path: { id: record.id }, body: wrong });
	node.halts.goOn();
	expect((await joined).body.joining).toBe(true);
	await waitUntil("it to begin anew", stepMs, async () => {
		await node.identify().catch(() => {});
		return node.nodeId === record.id;
	});
	const end = {
		async [Symbol.asyncDispose]() {
			await forwarder.stop();
			await cluster[Symbol.asyncDispose]();
		},
	};
	return { cluster, first, node, token, vm, formerId, end };
}

async function recordOf(first: ClusterNode, { name }: ClusterNode) {
	const { items } = (await first.api.call("nodeList")).body;
	return present(
		items.find((record) => record.name === name && record.status.phase !== "left"),
		"its record",
	);
}

/** A member, and the cluster has its VM on it. */
async function untilArrived(cluster: LabCluster, node: ClusterNode): Promise<void> {
	await waitUntil("two that vote", stepMs, async () => {
		await node.identify().catch(() => {});
		return cluster.haveVotes(cluster.nodes);
	});
	for (const asked of cluster.nodes)
		await waitUntil(`its VM to be known on ${asked.name}`, stepMs, async () => {
			// Asked again, it may begin anew only now: its API is away for a moment.
			const vms = await vmsOn(asked).catch((): string[] => []);
			return vms.includes(`${vmName} on ${node.nodeId}`);
		});
}

/** What it was, with its VM, and with nobody else. */
async function untilItsOwn(node: ClusterNode, formerId: string): Promise<void> {
	await waitUntil("it to be what it was", stepMs, async () => {
		await node.identify().catch(() => {});
		return node.nodeId === formerId;
	});
	await waitUntil("it to work", stepMs, async () => (await statusOf(node))?.quorum);
	expect(await vmsOn(node)).toEqual([`${vmName} on ${formerId}`]);
}

test(
	"a node that gives an address where nobody reaches it is not admitted, and told so",
	async () => {
		await using cluster = await LabCluster.start(1);
		const first = cluster.node(0);
		const node = await cluster.addNode();
		const token = await cluster.token(first);
		for (const address of [nowhere(node), first.peerAddress]) {
			const refused = await failureOf(node.api.call("clusterJoin", joinBody(node, token, first, address)));
			expect(refused.message).toContain(`do not reach this node at ${address}`);
		}
		const itsOwn = await failureOf(first.api.call("clusterJoin", joinBody(first, token, first)));
		expect(itsOwn.message).toContain("This is a token of this cluster itself");
		expect((await statusOf(first))?.members).toHaveLength(1);
		await node.joinWith(token, [first.peerAddress], stepMs);
	},
	limitMs,
);

test(
	"stuck, it says why, and joins again with the same token or another one as the same member",
	async () => {
		const { cluster, first, node, token, end } = await stuck();
		await using _ = end;
		const status = await waitUntil("it to know why", stepMs, async () => {
			const seen = await statusOf(node);
			return seen?.problem?.includes(`do not reach it at ${node.peerAddress}`) ? seen : undefined;
		});
		expect(status).toMatchObject({ arriving: true, quorum: false, voterCount: 0, quorumSize: 0 });
		await waitUntil("its log to say so", stepMs, () => node.daemon.log().includes("do not reach it at"));
		const { id } = await recordOf(first, node);
		for (const word of [await cluster.token(first), token]) {
			await first.api.call("nodeUpdate", {
				path: { id },
				body: { peerAddresses: [nowhere(node)], confirmUnreached: true },
			});
			const { body } = await node.api.call("clusterJoin", {
				body: { ...joinBody(node, word, first).body, preview: true },
			});
			expect(body).toMatchObject({ clashes: [], brings: { vms: 1 } });
		}
		await node.cli(
			stepMs,
			"cluster",
			"join",
			first.peerAddress,
			"--token",
			token,
			"--address",
			node.peerAddress,
			"--yes",
		);
		await untilArrived(cluster, node);
		expect(node.nodeId).toBe(id);
		expect((await statusOf(node))?.arriving).toBe(false);
	},
	limitMs,
);

test(
	"stuck, another token brings it in as the same member, with the address that is right",
	async () => {
		const { cluster, first, node, end } = await stuck();
		await using _ = end;
		const { id } = await recordOf(first, node);
		await node.api.call("clusterJoin", joinBody(node, await cluster.token(first), first));
		await untilArrived(cluster, node);
		expect(node.nodeId).toBe(id);
	},
	limitMs,
);

test(
	"stuck, it arrives once a member is told where it is",
	async () => {
		const { cluster, first, node, end } = await stuck();
		await using _ = end;
		await first.cli(stepMs, "cluster", "readdress", node.name, node.peerAddress);
		await untilArrived(cluster, node);
	},
	limitMs,
);

test(
	"stuck, it leaves by itself and has its VM; the cluster forgets it, and it joins again",
	async () => {
		const { cluster, first, node, formerId, end } = await stuck();
		await using _ = end;
		const said = await node.cli(stepMs, "cluster", "leave", "--yes");
		expect(said).toContain("what it was before");
		await untilItsOwn(node, formerId);
		const { id } = await recordOf(first, node);
		await first.api.call("nodeRemove", { path: { id }, body: { confirmName: node.name } });
		await node.joinWith(await cluster.token(first), [first.peerAddress], stepMs);
		await untilArrived(cluster, node);
	},
	limitMs,
);

test(
	"stuck and removed, it joins again with its VM",
	async () => {
		const { cluster, first, node, end } = await stuck();
		await using _ = end;
		const { id } = await recordOf(first, node);
		await untilMissed(first, id);
		await first.api.call("nodeRemove", { path: { id }, body: { confirmName: node.name } });
		await waitUntil("it to know", stepMs, async () => (await statusOf(node))?.removed);
		await node.joinWith(await cluster.token(first), [first.peerAddress], stepMs);
		await untilArrived(cluster, node);
	},
	limitMs,
);

test(
	"of two that join each other at the same moment one succeeds at most, and nobody's cluster is gone",
	async () => {
		await using cluster = await LabCluster.start(1);
		const one = cluster.node(0);
		const other = await cluster.addNode();
		for (const node of [one, other]) await node.api.call("vmCreate", { body: { ...vmBody, name: `of-${node.name}` } });
		const former = [one.nodeId, other.nodeId];
		const [ofOne, ofOther] = [await cluster.token(one), await cluster.token(other)];
		const outcomes = await Promise.allSettled([
			one.api.call("clusterJoin", joinBody(one, ofOther, other)),
			other.api.call("clusterJoin", joinBody(other, ofOne, one)),
		]);
		const joined = outcomes.filter(({ status }) => status === "fulfilled").length;
		expect(joined).toBeLessThan(2);
		for (const outcome of outcomes)
			if (outcome.status === "rejected")
				expect(String(outcome.reason)).toMatch(
					/is joining another cluster itself|just admitting another one|has to leave it first/,
				);
		if (joined === 0) {
			await Promise.all(cluster.nodes.map((node) => node.identify()));
			expect([one.nodeId, other.nodeId]).toEqual(former);
			for (const node of cluster.nodes) expect((await statusOf(node))?.members).toHaveLength(1);
			await one.joinWith(ofOther, [other.peerAddress], stepMs);
		}
		await waitUntil("two that vote", stepMs, async () => {
			await Promise.all(cluster.nodes.map((node) => node.identify().catch(() => {})));
			return cluster.haveVotes(cluster.nodes);
		});
		for (const asked of cluster.nodes)
			await waitUntil(`both VMs to be known on ${asked.name}`, stepMs, async () => (await vmsOn(asked)).length === 2);
	},
	limitMs,
);
