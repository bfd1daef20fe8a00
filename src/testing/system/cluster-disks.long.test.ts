/** Disks of a cluster's nodes: full, lost, put back from an old copy, or of somebody else. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { MiB } from "../../lib/units.ts";
import type { ClusterNode } from "../cluster/cluster-node.ts";
import { untilSame } from "../cluster/convergence.ts";
import { LabCluster, statusOf, untilMissed } from "../cluster/lab-cluster.ts";
import { networkBody } from "../cluster/register.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { waitUntil } from "../lab/wait-until.ts";

const limitMs = 150_000;
const stepMs = 40_000;

const rename = (node: ClusterNode, name: string) =>
	node.api.call("clusterUpdate", { body: { name }, signal: AbortSignal.timeout(15_000) });
const create = (node: ClusterNode, name: string) =>
	node.api.call("networkCreate", { body: networkBody(name), signal: AbortSignal.timeout(15_000) });
const nameAt = async (node: ClusterNode) => (await node.api.call("clusterGet")).body.name;
/** Tries until it is done: what a client does with 503 and 507. */
const untilRenamed = (node: ClusterNode, name: string) =>
	waitUntil(
		`${node.name} to take a write`,
		stepMs,
		() =>
			rename(node, name).then(
				() => true,
				() => false,
			),
		{ everyMs: 200 },
	);

/** What the node has on its disk beside its log. */
async function hardStateOf(node: ClusterNode): Promise<{ recoveries: number; recovering: boolean }> {
	const line = await node.run("cat", [join(node.daemon.dataDir, "raft", "hard-state")]);
	return JSON.parse(line.slice(0, line.lastIndexOf(" ")));
}

/**
 * Puts an old copy back under a node that does not lead, and waits until it says on its disk that something was lost. False when
 * there was another leader meanwhile: only the one that it answered before can know what it has lost.
 */
async function noticesOldDisk(node: ClusterNode, copy: string, asked: ClusterNode): Promise<boolean> {
	const term = (await statusOf(asked))?.term;
	await node.kill9();
	await node.putDiskBack(copy);
	const { recoveries } = await hardStateOf(node);
	await node.start();
	return waitUntil(`${node.name} to notice`, stepMs, async () => {
		if ((await hardStateOf(node)).recoveries > recoveries) return true;
		const now = (await statusOf(asked))?.term;
		return now !== undefined && now !== term ? false : undefined;
	});
}

async function leaderAndOthers(cluster: LabCluster): Promise<[ClusterNode, ClusterNode, ClusterNode]> {
	const leader = await cluster.leader();
	const [one, other] = cluster.nodes.filter((node) => node !== leader);
	return [leader, present(one, "a follower"), present(other, "another one")];
}

test(
	"a full disk is an error for clients and costs no vote",
	async () => {
		await using cluster = await LabCluster.start(3);
		const [leader, follower, other] = await leaderAndOthers(cluster);

		// A follower that can keep nothing: the others go on without it.
		await follower.fillDisk();
		await rename(other, "without-the-follower");
		await untilRenamed(leader, "still-without");
		expect(await nameAt(other)).toBe("still-without");
		await follower.freeDisk();
		await untilSame(cluster.nodes, cluster.folder, stepMs);

		// The leader's: refused with the reason, or somebody else leads; never in silence, and never lost.
		await leader.fillDisk();
		const outcome = await rename(leader, "on-a-full-leader").then(
			() => "done" as const,
			(error) => error.code as string,
		);
		expect(["done", "no-space", "unavailable", "timeout"]).toContain(outcome);
		// The others are a majority, and may have taken it: then they have it.
		if (outcome === "done") expect(await nameAt(other)).toBe("on-a-full-leader");
		await untilRenamed(other, "somebody-else");
		await leader.freeDisk();
		await untilRenamed(leader, "room-again");
		await untilSame(cluster.nodes, cluster.folder, stepMs);

		// Two full disks: no majority can keep anything. It goes on by itself once there is room.
		const [, one, two] = await leaderAndOthers(cluster);
		await one.fillDisk();
		await two.fillDisk();
		const refused = await failureOf(rename(one, "nowhere-to-keep-it"));
		expect(["no-space", "unavailable", "timeout"]).toContain(refused.code);
		// Three: there is nobody to lead who could take it, so what makes the state larger is refused for want of room and nothing else.
		const [third] = cluster.nodes.filter((node) => node !== one && node !== two);
		await present(third, "the third node").fillDisk();
		for (const node of cluster.nodes) {
			const { code } = await failureOf(create(node, "no-room-anywhere"));
			expect([node.name, code]).toEqual([node.name, "no-space"]);
		}
		await present(third, "the third node").freeDisk();
		await one.kill9();
		await one.freeDisk();
		await two.freeDisk();
		await one.start();
		await untilRenamed(one, "all-room");
		const { index } = await untilSame(cluster.nodes, cluster.folder, stepMs);
		expect(index).toBeGreaterThan(0);
		for (const node of cluster.nodes) expect([node.died, await nameAt(node)]).toEqual([false, "all-room"]);
		await create(one, "no-room-anywhere");
	},
	limitMs,
);

test(
	"a node that loses its disk is nobody, votes for nobody, and joins again as another one",
	async () => {
		await using cluster = await LabCluster.start(3);
		const [first, second, third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
		await rename(first, "kept");
		const lostId = third.nodeId;
		await third.kill9();
		await third.wipeDisk();
		await third.start();
		await third.identify();
		expect(third.nodeId).not.toBe(lostId);
		expect(await nameAt(third)).not.toBe("kept");

		// It is no vote: with one more node away there is no majority.
		const status = present(await statusOf(first), "the status");
		await second.kill9();
		const refused = await failureOf(rename(first, "by-two"));
		expect(["unavailable", "timeout"]).toContain(refused.code);
		await second.start();
		await untilRenamed(first, "by-two-again");
		await untilMissed(first, lostId);
		expect(status.members).toHaveLength(3);

		await first.api.call("nodeRemove", { path: { id: lostId }, body: { confirmName: third.name } });
		await cluster.join(third, second);
		await waitUntil("three members", stepMs, () => cluster.haveVotes(cluster.nodes));
		expect(await nameAt(third)).toBe("by-two-again");
		await untilSame(cluster.nodes, cluster.folder, stepMs);
	},
	limitMs,
);

test(
	"parts of a member's data are lost: the state is made again, a lost log or vote is refused",
	async () => {
		await using cluster = await LabCluster.start(3);
		const [first, , third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
		await rename(first, "before");
		await third.kill9();
		const copy = await third.copyDisk("whole");
		const data = third.daemon.dataDir;
		const remove = (...names: string[]) => third.run("rm", ["-r", ...names.map((name) => join(data, name))]);

		await third.run("find", [data, "-maxdepth", "1", "-name", "state.db*", "-delete"]);
		await third.start();
		await untilSame(cluster.nodes, cluster.folder, stepMs);
		await third.kill9();

		await third.putDiskBack(copy);
		await remove("raft");
		const refused = await third.daemon.startRefused();
		expect([refused.exitCode, refused.said.includes("Nothing was changed")]).toEqual([1, true]);

		await third.putDiskBack(copy);
		await third.start();
		await untilRenamed(third, "after");
		await untilSame(cluster.nodes, cluster.folder, stepMs);
	},
	limitMs,
);

test(
	"an old data folder put back is noticed, and nothing acknowledged is lost",
	async () => {
		await using cluster = await LabCluster.start(3);
		const [first, second, third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
		await third.term();
		const old = await third.copyDisk("old");
		await third.start();
		await untilRenamed(third, "newer");
		// Terms in which the third has voted since.
		for (const to of [second, first, second])
			await to.api.call("clusterLeaderTransfer", { body: { nodeId: to.nodeId } }).catch(() => {});
		await untilRenamed(first, "newest");
		await untilSame(cluster.nodes, cluster.folder, stepMs);
		while (!(await noticesOldDisk(third, old, first))) await untilSame(cluster.nodes, cluster.folder, stepMs);
		await untilRenamed(first, "with-the-old-one");
		await untilSame(cluster.nodes, cluster.folder, stepMs);
		for (const node of cluster.nodes) expect(await nameAt(node)).toBe("with-the-old-one");
		const { recovering } = await hardStateOf(third);
		expect(recovering).toBe(false);
	},
	limitMs,
);

test(
	"a node with an old data folder does not decide an election until it has everything again",
	async () => {
		await using cluster = await LabCluster.start(3);
		const [first, third] = [cluster.node(0), cluster.node(2)];
		await third.term();
		const old = await third.copyDisk("old");
		await third.start();
		// More than there will be room for, so that it cannot get it again.
		const description = "x".repeat(4_000);
		const create = (name: string) => first.api.call("networkCreate", { body: { ...networkBody(name), description } });
		for (let batch = 0; batch < 20; batch++)
			await Promise.all(Array.from({ length: 20 }, (_, number) => create(`large-${batch}-${number}`)));
		await untilSame(cluster.nodes, cluster.folder, stepMs);
		// It waits for a leader that confirms what it says, as long as there is one.
		const ownView = async () => {
			const { body } = await third.api.call("clusterStatusGet");
			return { ...body, recovering: body.members.find(({ nodeId }) => nodeId === third.nodeId)?.recovering };
		};
		const termOf = async (node: ClusterNode) => (await statusOf(node))?.term;
		const putBack = async () => {
			const term = await termOf(first);
			await third.kill9();
			await third.putDiskBack(old);
			await third.fillDisk(MiB);
			await third.start();
			return waitUntil("it to notice", stepMs, async () => {
				const now = await ownView();
				// Only the leader that it answered before can know what it has lost.
				return now.recovering ? now : (await termOf(first)) !== term ? null : undefined;
			});
		};
		let said = await putBack();
		while (said === null) {
			await third.freeDisk();
			await untilSame(cluster.nodes, cluster.folder, stepMs);
			said = await putBack();
		}
		expect(said.problem).toContain("does not vote until it has everything again");
		const [leader, ...followers] = await leaderAndOthers(cluster);
		const other = present(
			followers.find((node) => node !== third),
			"the other one",
		);
		await untilRenamed(other, "without-the-old-one");

		// Its vote would be the second of three, for a node that has everything.
		await leader.kill9();
		expect(["unavailable", "timeout"]).toContain((await failureOf(rename(other, "by-its-vote"))).code);
		const alone = present(await statusOf(other), "the status");
		expect([alone.quorum, alone.term]).toEqual([false, said.term]);
		expect((await ownView()).recovering).toBe(true);

		// With room it gets all of it from a leader that others elected, and then its vote is one again.
		await third.freeDisk();
		await leader.start();
		await untilRenamed(other, "all-there");
		// It begins anew with the state that it gets.
		await waitUntil("it to have recovered", stepMs, async () => {
			const now = await ownView().catch(() => null);
			return now?.recovering === false;
		});
		await untilSame(cluster.nodes, cluster.folder, stepMs);
		const last = await cluster.leader();
		const gone = last === third ? leader : last;
		await gone.kill9();
		await untilRenamed(third, "by-its-vote-again");
	},
	limitMs,
);

test(
	"a snapshot of another cluster is not taken",
	async () => {
		await using cluster = await LabCluster.start(3);
		await using others = await LabCluster.start(1);
		const [first, , third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
		await rename(first, "ours");
		const stranger = others.node(0);
		await stranger.api.call("clusterUpdate", { body: { name: "theirs" } });
		const backup = join(cluster.folder, "theirs.db");
		await Bun.write(backup, (await stranger.api.call("clusterBackupGet")).body);
		await third.kill9();
		const data = third.daemon.dataDir;
		await third.run("find", [data, "-maxdepth", "1", "-name", "state.db*", "-delete"]);
		await third.run("find", [join(data, "snapshots"), "-type", "f", "-delete"]);
		await third.run("cp", [backup, join(data, "snapshots", "0000000000000001.db")]);
		const came = await third.start().then(
			() => true,
			() => false,
		);
		if (came) {
			await untilSame(cluster.nodes, cluster.folder, stepMs);
			expect(await nameAt(third)).toBe("ours");
		} else expect(third.daemon.log()).toMatch(/another cluster|Nothing was changed/);
		await untilRenamed(first, "still-ours");
	},
	limitMs,
);
