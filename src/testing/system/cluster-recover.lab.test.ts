/** Disaster recovery with real daemons: two of three are lost, the third goes on alone, and what comes back is a stranger. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { isAppError } from "../../lib/errors.ts";
import { type ClusterNode, peerPort } from "../cluster/cluster-node.ts";
import { healLimitMs, LabCluster, statusOf } from "../cluster/lab-cluster.ts";
import { askStranger } from "../cluster/stranger.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { waitUntil } from "../lab/wait-until.ts";

const limitMs = 240_000;
/** An election now and then is nobody's fault. */
const termsByItself = 10;

const rename = (node: ClusterNode, name: string) => node.api.call("clusterUpdate", { body: { name } });
const nameOn = async (node: ClusterNode) => (await node.api.call("clusterGet")).body.name;
const recover = (node: ClusterNode, ...words: string[]) =>
	node.run(node.executable, ["cluster", "recover", "--data-dir", node.daemon.dataDir, "-o", "json", ...words]);

test(
	"the survivor is a single-node cluster, takes changes, and has new members; who comes back is refused, and joins again",
	async () => {
		await using cluster = await LabCluster.start(3);
		const [first, second, survivor] = [cluster.node(0), cluster.node(1), cluster.node(2)];
		const vm = { name: "kept", disks: [], nics: [], start: false, nodeId: first.nodeId };
		const { id: vmId } = (await first.api.call("vmCreate", { body: vm })).body;
		await rename(first, "acknowledged");
		await waitUntil("the survivor to have it", healLimitMs, async () => (await nameOn(survivor)) === "acknowledged");
		const { id: formerId } = (await survivor.api.call("clusterGet")).body;
		// One that leads has what nobody agreed to in its log, and goes on with it.
		if ((await cluster.leader()) === survivor)
			await first.api.call("clusterLeaderTransfer", { body: { nodeId: first.nodeId } });
		await Promise.all([first.kill9(), second.kill9()]);
		expect(await failureOf(rename(survivor, "nobody-agrees"))).toMatchObject({ code: "unavailable" });
		// Not while it runs, and not by mistake.
		const refusals = [await failed(recover(survivor, "--confirm", survivor.name))];
		await survivor.term();
		refusals.push(await failed(recover(survivor, "--confirm", first.name)), await failed(recover(survivor)));
		expect(refusals[0]).toContain("is in use by another LimiQuantix daemon");
		expect(refusals[1]).toContain(`The name of this node is ${survivor.name}`);
		expect(refusals[2]).toContain("--confirm");
		await second.start();
		expect(await failed(recover(survivor, "--confirm", survivor.name))).toContain(`answers there: ${second.name}.`);
		await second.kill9();

		const said = JSON.parse(await recover(survivor, "--confirm", survivor.name)) as Record<string, unknown>;
		expect(said).toMatchObject({ membersLeft: [first.name, second.name] });
		await survivor.start();
		const alone = present(await statusOf(survivor), "the status of the survivor");
		expect(alone).toMatchObject({ quorum: true, leaderNodeId: survivor.nodeId, members: [{ role: "leader" }] });
		const { body: now } = await survivor.api.call("clusterGet");
		expect([now.name, now.id === formerId, now.id]).toEqual(["acknowledged", false, String(said.clusterId)]);
		await rename(survivor, "goes-on");
		const { body: audit } = await survivor.api.call("auditList");
		expect(audit.items.find(({ operation }) => operation === "clusterRecover")).toMatchObject({
			confirmation: `${survivor.name}; ${first.name} is off; ${second.name} is off`,
			requester: { kind: "local" },
		});
		const fresh = await cluster.addNode();
		await cluster.join(fresh, survivor);
		await rename(fresh, "with-a-new-member");

		// One of before comes back, with its log and a vote for itself; and so does somebody with its key.
		const before = present(await statusOf(survivor), "the status of the survivor");
		const identityPath = join(await first.copyDisk("before"), "peer", "identity.pem");
		await first.start();
		const told = await waitUntil("it to be told", healLimitMs, async () => {
			const status = await statusOf(first);
			return status?.recoveredElsewhere ? status : undefined;
		});
		expect(told).toMatchObject({ quorum: false, problem: expect.stringContaining("was recovered elsewhere") });
		await waitUntil("the logs of both to say so", healLimitMs, async () => {
			const says = survivor.daemon.log().includes("It was a member before this cluster was recovered");
			return says && first.daemon.log().includes("was recovered elsewhere");
		});
		const stranger = await cluster.addHost();
		const forged = (clusterId: string) =>
			askStranger(stranger, {
				...{ kind: "forge", to: { host: survivor.host.address, port: peerPort }, toNodeId: survivor.nodeId },
				...{ identityPath, selfMade: false, clusterId, asNodeId: first.nodeId, fromNodeId: first.nodeId },
			});
		for (const clusterId of [formerId, now.id])
			expect(await forged(clusterId)).toEqual({ accepted: false, said: "wrong-cluster" });
		const refusal = { code: "wrong-state", message: expect.stringContaining("was recovered elsewhere") };
		expect(await failureOf(rename(first, "from-before"))).toMatchObject(refusal);
		expect(await failureOf(first.api.call("clusterLeaderTransfer", { body: {} }))).toMatchObject(refusal);
		const after = present(await statusOf(survivor), "the status of the survivor");
		expect({ ...after, members: after.members.length }).toMatchObject({
			...{ quorum: true, members: 2 },
		});
		// A forged one is of the last term that there is.
		expect(after.term).toBeLessThan(before.term + termsByItself);
		await rename(survivor, "undisturbed");
		expect(await nameOn(first)).toBe("acknowledged");

		// As its documentation says: it joins, once somebody has typed its name.
		const joins = async (...more: string[]) =>
			first.joinWith(await cluster.token(survivor), [survivor.peerAddress], healLimitMs, more);
		expect(await failed(joins())).toContain(`--confirm ${first.name}`);
		expect(await failed(joins("--confirm", survivor.name))).toContain(`The name of this node is ${first.name}`);
		await joins("--confirm", first.name);
		await cluster.untilVotes(first, survivor);
		await waitUntil("what is its own to come along", healLimitMs, async () => {
			const { body } = await survivor.api.call("vmGet", { path: { id: vmId } });
			return body.nodeId === first.nodeId;
		});
		await waitUntil("three that vote", healLimitMs, () => cluster.haveVotes([first, survivor, fresh]));
		await rename(first, "together");
		await waitUntil("all to have it", healLimitMs, async () => {
			const names = await Promise.all([survivor, fresh].map(nameOn));
			return names.every((name) => name === "together");
		});
	},
	limitMs,
);

test(
	"a backup of the cluster on one of its machines: alone, as the node that it was",
	async () => {
		await using cluster = await LabCluster.start(3);
		const [first, second] = [cluster.node(0), cluster.node(1)];
		await rename(first, "backed-up");
		const backup = `${cluster.folder}/backup.db`;
		await first.cli(60_000, "cluster", "backup", backup, "--unsealed");
		await rename(first, "later");
		await second.term();
		const elsewhere = await second.copyDisk("before");
		const named = (name: string) => [second.daemon.dataDir, "-maxdepth", "1", "-name", name];
		for (const name of ["raft", "snapshots", "state.db*"])
			await second.run("find", [...named(name), "-exec", "rm", "-r", "{}", "+"]);
		const restored = await second.run(second.executable, [
			"cluster",
			"restore",
			backup,
			"--data-dir",
			second.daemon.dataDir,
		]);
		expect(restored).toContain("as a cluster of node-2 alone");
		await second.start();
		expect(await nameOn(second)).toBe("backed-up");
		await second.identify();
		expect((await statusOf(second))?.members).toHaveLength(1);
		await rename(second, "of-its-own");
		// The others go on without it, and do not mix with it.
		await rename(first, "without-it");
		expect((await statusOf(first))?.members).toHaveLength(3);
		expect(await nameOn(second)).toBe("of-its-own");
		// And what it was still is a member.
		await second.term();
		await second.putDiskBack(elsewhere);
		await second.start();
		await waitUntil("it to be back", healLimitMs, async () => (await nameOn(second)) === "without-it");
	},
	limitMs,
);

async function failed(work: Promise<unknown>): Promise<string> {
	const error = await work.then(
		() => new Error("it worked"),
		(failure: unknown) => failure,
	);
	return isAppError(error) ? String(error.context?.stderr ?? error.message) : String(error);
}
