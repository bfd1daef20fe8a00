/** Who is no member, or is one no more, changes nothing: adversarial cases 18 and the peer port, against real processes. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import type { ClusterNode } from "../cluster/cluster-node.ts";
import { peerPort } from "../cluster/cluster-node.ts";
import { LabCluster, statusOf, untilMissed } from "../cluster/lab-cluster.ts";
import { askStranger, type ForgeResult } from "../cluster/stranger.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { waitUntil } from "../lab/wait-until.ts";

const limitMs = 150_000;
const stepMs = 30_000;

/** What a stranger must not change. */
async function reign(node: ClusterNode) {
	return waitUntil(`${node.name} to know a leader`, stepMs, async () => {
		const status = await statusOf(node);
		if (!status?.quorum || status.leaderNodeId === null) return undefined;
		const { term, members, voterCount } = status;
		return { term, members: members.map(({ nodeId }) => nodeId).sort(), voterCount, leader: status.leaderNodeId };
	});
}

/** Elections by themselves, as of a machine that stalls, are nobody's fault; a forged one is of the last term that there is. */
async function expectUndisturbed(node: ClusterNode, before: Awaited<ReturnType<typeof reign>>): Promise<void> {
	const now = await reign(node);
	expect([now.members, now.voterCount]).toEqual([before.members, before.voterCount]);
	expect(before.members).toContain(now.leader);
	expect(now.term).toBeLessThan(before.term + 10);
}
const rename = (node: ClusterNode, name: string) => node.api.call("clusterUpdate", { body: { name } });
const addressOf = (node: ClusterNode) => ({ host: node.host.address, port: peerPort });

test(
	"noise on the peer port is ended in time, and the cluster goes on",
	async () => {
		await using cluster = await LabCluster.start(3);
		const [first, second] = [cluster.node(0), cluster.node(1)];
		const before = await reign(first);
		const stranger = await cluster.addHost();
		const noise = askStranger(stranger, { kind: "noise", to: addressOf(second), limitMs: 15_000 });
		let writes = 0;
		for (let busy = true; busy; writes++) {
			await rename(second, `noise-${writes}`);
			busy = await Promise.race([noise.then(() => false), Bun.sleep(100).then(() => true)]);
		}
		for (const { what, endedByNode } of await noise) expect({ what, endedByNode }).toEqual({ what, endedByNode: true });
		await expectUndisturbed(first, before);
		expect((await second.api.call("clusterGet")).body.name).toBe(`noise-${writes - 1}`);
	},
	limitMs,
);

test(
	"a crowd that wants to join and says no more keeps nobody from joining, and fills no log",
	async () => {
		await using cluster = await LabCluster.start(1);
		const first = cluster.node(0);
		const stranger = await cluster.addHost();
		const second = await cluster.addNode();
		const began = performance.now();
		const crowd = askStranger(stranger, { kind: "crowd", to: addressOf(first), count: 100, limitMs: 10_000 });
		await waitUntil("the crowd to be there", stepMs, () => first.daemon.log().includes("a node was refused"));
		await cluster.join(second, first);
		await waitUntil("a change through it", stepMs, () =>
			rename(second, "joined").then(
				() => true,
				() => false,
			),
		);
		const { answered, refused } = await crowd;
		expect({ answered, refused, came: answered > 0 && refused > 0 }).toEqual({ answered, refused, came: true });
		const seconds = Math.ceil((performance.now() - began) / 1000);
		const codes = first.daemon
			.log()
			.split("\n")
			.filter((line) => line.includes("was refused"))
			.map((line) => JSON.parse(line).code);
		// One a second of each reason, and one at each end.
		for (const code of new Set(codes))
			expect(codes.filter((one) => one === code).length).toBeLessThanOrEqual(seconds + 2);
		expect((await first.api.call("clusterGet")).body.name).toBe("joined");
	},
	limitMs,
);

test(
	"a removed node comes back, and so does somebody with its key; it can join again",
	async () => {
		await using cluster = await LabCluster.start(3);
		const [first, second, third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
		if ((await cluster.leader()) === third)
			await first.api.call("clusterLeaderTransfer", { body: { nodeId: first.nodeId } });
		await rename(third, "before");
		await third.kill9();
		const removedId = third.nodeId;
		const identityPath = join(await third.copyDisk("removed"), "peer", "identity.pem");
		const stranger = await cluster.addHost();
		const { clusterId } = JSON.parse(await second.run("cat", [join(second.daemon.dataDir, "node.json")])) as {
			clusterId: string;
		};
		type Forged = {
			selfMade?: boolean;
			clusterId?: string;
			asNodeId?: string;
			fromNodeId?: string;
			onlyAsks?: boolean;
		};
		const forged = (order: Forged): Promise<ForgeResult> =>
			askStranger(stranger, {
				...{ kind: "forge" as const, to: addressOf(first), toNodeId: first.nodeId, identityPath },
				...{ selfMade: false, clusterId, asNodeId: removedId, fromNodeId: second.nodeId, ...order },
			});
		// While it is a member: with its key nobody speaks for another one.
		const reigning = await reign(first);
		expect(await forged({})).toEqual({ accepted: true, said: "protocol" });
		// For itself it may ask for votes, of whatever term: nobody who hears the leader minds.
		const asked = await forged({ fromNodeId: removedId, onlyAsks: true });
		// A stall of a second of this machine ends any link.
		expect([
			{ accepted: true, said: "nothing" },
			{ accepted: true, said: "timeout" },
		]).toContainEqual(asked);
		await rename(second, "undisturbed");
		await expectUndisturbed(first, reigning);

		await untilMissed(first, removedId);
		await first.api.call("nodeRemove", { path: { id: removedId }, body: { confirmName: third.name } });
		// Only then: until Raft has let it go, a node that comes back is sent what is written.
		await waitUntil("two voters", stepMs, async () => (await reign(first)).voterCount === 2);
		await rename(first, "after");
		const before = await reign(first);

		await third.start();
		const status = await waitUntil("the removed node to be told", stepMs, async () => {
			const now = await statusOf(third);
			return now?.removed ? now : undefined;
		});
		expect(status).toMatchObject({ quorum: false, problem: expect.stringContaining("removed") });
		const read = await third.api.call("clusterGet");
		expect([read.stale, read.body.name]).toEqual([true, "before"]);
		expect(await failureOf(rename(third, "by-the-removed"))).toMatchObject({
			code: "wrong-state",
			message: expect.stringContaining("This node was removed from the cluster"),
		});

		expect(await failureOf(third.api.call("clusterLeaderTransfer", { body: {} }))).toMatchObject({
			code: "wrong-state",
			message: expect.stringContaining("This node was removed from the cluster"),
		});

		const otherCluster = crypto.randomUUID();
		expect(await forged({})).toEqual({ accepted: false, said: "removed-node" });
		expect(await forged({ fromNodeId: removedId })).toEqual({ accepted: false, said: "removed-node" });
		expect(await forged({ asNodeId: second.nodeId })).toEqual({ accepted: false, said: "bad-certificate" });
		expect(await forged({ selfMade: true })).toEqual({ accepted: false, said: "bad-certificate" });
		expect(await forged({ selfMade: true, asNodeId: second.nodeId })).toEqual({
			...{ accepted: false, said: "bad-certificate" },
		});
		expect(await forged({ clusterId: otherCluster })).toEqual({ accepted: false, said: "wrong-cluster" });
		await expectUndisturbed(first, before);
		expect((await first.api.call("clusterGet")).body.name).toBe("after");

		await cluster.join(third, first);
		expect(third.nodeId).not.toBe(removedId);
		await waitUntil("three members", stepMs, () => cluster.haveVotes([first, second, third]));
		await rename(third, "again");
		expect((await second.api.call("clusterGet")).body.name).toBe("again");
	},
	limitMs,
);

test(
	"a copied data folder: the second node with one id is refused while the first is there",
	async () => {
		await using cluster = await LabCluster.start(3);
		const [first, second, third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
		await rename(first, "before");
		third.pause();
		const copy = await third.copyDisk("copied").finally(() => third.resume());
		const double = await cluster.addNode();
		await double.kill9();
		await double.putDiskBack(copy);
		const before = await reign(first);
		await double.start();
		await double.identify();
		expect(double.nodeId).toBe(third.nodeId);
		const saysWhy = ({ daemon }: ClusterNode) => daemon.log().includes("Was its data folder copied?");
		await waitUntil("the double to be refused", stepMs, () => saysWhy(first) && saysWhy(second));
		expect((await statusOf(double))?.quorum).toBe(false);
		expect((await failureOf(rename(double, "by-the-double"))).code).toBe("unavailable");
		await rename(third, "by-the-third");
		await expectUndisturbed(first, before);
		expect((await second.api.call("clusterGet")).body.name).toBe("by-the-third");
	},
	limitMs,
);
