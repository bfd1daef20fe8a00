/**
 * A cluster of a version that is really older (lab/older-version.ts), and this one: what it has written, its log, its snapshots, what
 * it says over the links. What this one has new is switched off in it where nodes of both join: neither is let in with other features than
 * the members all have. A feature that the older one lacks is switched off in the older code, so that it is one that is asked for by a command.
 * The older one has another schema of the database (3, and 4 since volumes have snapshots).
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { MiB } from "../../lib/units.ts";
import { isFinished } from "../../model/task.ts";
import { buildWithout } from "../../scripts/build.ts";
import { features } from "../../store/command-features.ts";
import type { ClusterNode } from "../cluster/cluster-node.ts";
import { untilSame } from "../cluster/convergence.ts";
import { Creations } from "../cluster/creations.ts";
import { LabCluster } from "../cluster/lab-cluster.ts";
import { networkBody } from "../cluster/register.ts";
import { executablePath } from "../lab/daemon.ts";
import { failureOf } from "../lab/libvirt-client.ts";
import { type PrivateLibvirtd, startLibvirtd } from "../lab/libvirtd.ts";
import { missingCommit, type OlderExecutables, olderExecutables } from "../lab/older-executable.ts";
import { olderCommit } from "../lab/older-version.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { Random } from "../simulation/random.ts";

const limitMs = 300_000;
const stepMs = 60_000;
const feature = "vm-move-1";
/** Of this version, since the older one: features are only ever added at the end. */
const newFeatures = features.slice(features.indexOf(feature) + 1);
const password = "correct horse battery";

const missing = await missingCommit(olderCommit);
const libvirtds: PrivateLibvirtd[] = [];

/** With libvirt's mock hypervisor, so that nodes are ready for VMs. */
async function libvirtUri(name: string): Promise<string> {
	const libvirtd = await startLibvirtd({ name });
	libvirtds.push(libvirtd);
	return libvirtd.testUri;
}

const upgradeTo = async (executable: string, node: ClusterNode): Promise<void> => {
	await node.term();
	node.executable = executable;
	await node.start();
};

async function joinAs(cluster: LabCluster, executable: string, member: ClusterNode): Promise<ClusterNode> {
	cluster.executable = executable;
	const node = await cluster.addNode();
	await cluster.join(node, member);
	return node;
}

const untilReady = (asked: ClusterNode, count: number) =>
	waitUntil(`${count} nodes to be ready`, stepMs, async () => {
		const { items } = (await asked.api.call("nodeList").catch(() => ({ body: { items: [] } }))).body;
		return items.filter(({ status }) => status.phase === "ready").length === count;
	});

async function makeVm(asked: ClusterNode, name: string, nodeId: string): Promise<string> {
	const body = {
		...({ name, nodeId, firmware: "bios", memoryBytes: 64 * MiB, vcpus: 1 } as const),
		...{ disks: [], nics: [], start: false },
	};
	const { id } = (await asked.api.call("vmCreate", { body })).body;
	await waitUntil(`the VM ${name} to be made`, stepMs, async () => {
		const { status } = (await asked.api.call("vmGet", { path: { id } })).body;
		return status.powerState === "stopped";
	});
	return id;
}

/** Changes until the logs of all these nodes begin after what there is now: whoever has no more than that needs a snapshot, whoever leads. */
async function untilLogIsCut(nodes: readonly ClusterNode[]): Promise<void> {
	const node = present(nodes[0], "a node");
	const { id } = (await node.api.call("networkCreate", { body: networkBody(`cut-${crypto.randomUUID()}`) })).body;
	const { appliedIndex } = (await node.api.call("clusterStatusGet")).body;
	await waitUntil("the logs to be cut", stepMs, async () => {
		const changes = Array.from({ length: 32 }, () =>
			node.api.call("networkUpdate", { path: { id }, body: { description: `${crypto.randomUUID()} `.repeat(12) } }),
		);
		await Promise.all(changes);
		return (await Promise.all(nodes.map(firstOfLog))).every((first) => first > appliedIndex);
	});
}

/** The first entry that is in the files of its log. */
async function firstOfLog(node: ClusterNode): Promise<number> {
	const names = (await node.run("ls", [join(node.daemon.dataDir, "raft")])).split("\n");
	const found = names.flatMap((name) => /^(\d{16})(?:-\d+)?\.log$/.exec(name)?.[1] ?? []).map(Number);
	return found.length === 0 ? 0 : Math.min(...found);
}

type Wait = (what: string) => Promise<unknown>;

/** How often it came up, inside its process, too. */
const startsOf = ({ daemon }: ClusterNode): number => daemon.log().split('"message":"ready"').length - 1;

/** As somebody with this token, and not as root. */
async function asToken(node: ClusterNode, secret: string, path: string): Promise<number> {
	const { status } = await fetch(`http://localhost${path}`, {
		...{ unix: node.daemon.socketPath, keepalive: false },
		headers: { authorization: `Bearer ${secret}` },
	} as RequestInit);
	return status;
}

/** Of each kind something, and what each node has to say of it later. */
async function writeSome(nodes: readonly ClusterNode[]) {
	const [first, second] = [present(nodes[0], "a node"), present(nodes[1], "another one")];
	const user = (await second.api.call("userCreate", { body: { name: "anna", role: "admin", password } })).body;
	const session = (await first.api.call("sessionCreate", { body: { username: "anna", password } })).body;
	const made = await fetch("http://localhost/v1/tokens", {
		...{ unix: first.daemon.socketPath, method: "POST", body: JSON.stringify({ name: "robot", role: "viewer" }) },
		headers: { authorization: `Bearer ${session.token}`, "content-type": "application/json" },
	} as RequestInit);
	const { secret } = (await made.json()) as { secret: string };
	const vms: string[] = [];
	for (const node of nodes) vms.push(await makeVm(second, `vm-of-${node.name}`, node.nodeId));
	const volume = { name: "data", nodeId: second.nodeId, sizeBytes: 8 * MiB };
	const volumeId = (await first.api.call("volumeCreate", { body: volume })).body.id;
	await waitUntil("the volume to be made", stepMs, async () => {
		const { phase } = (await first.api.call("volumeGet", { path: { id: volumeId } })).body;
		return phase === "ready";
	});
	const seenBy = async ({ api }: ClusterNode) => ({
		vms: await Promise.all(
			vms.map(async (id) => {
				const { name, nodeId, generation, spec } = (await api.call("vmGet", { path: { id } })).body;
				return { name, nodeId, generation, spec };
			}),
		),
		volume: (await api.call("volumeGet", { path: { id: volumeId } })).body,
		user: (await api.call("userGet", { path: { id: user.id } })).body,
	});
	return { secret, seenBy, written: await seenBy(first) };
}

const lab = test.skipIf(missing !== null);
const note = missing === null ? "" : ` (skipped: ${missing})`;
let older: OlderExecutables;
let folder: string;
/** This tree, with the older one's features. */
let newer: string;
beforeAll(async () => {
	folder = mkdtempSync("/tmp/lqx-older-");
	newer = join(folder, "limiquantix");
	if (missing !== null) return;
	older = await olderExecutables(olderCommit, [feature]);
	await buildWithout(newFeatures, newer);
}, limitMs);
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterAll(async () => void (await Promise.all(libvirtds.map((libvirtd) => libvirtd.stop()))));

lab(
	`an older cluster takes nodes of this version, is upgraded node by node while clients write, and tells an older one why it cannot follow; the copies are the same${note}`,
	async () => {
		await using cluster = await LabCluster.start(3, { executable: older.whole, libvirtUri });
		const { folder } = cluster;
		const olds = [...cluster.nodes];
		await untilReady(cluster.node(0), 3);
		const { secret, seenBy, written } = await writeSome(olds);
		const leader = await cluster.leader();
		const followers = olds.filter((node) => node !== leader);
		const follower = present(followers[0], "a follower");

		// A new node, which gets the state as a snapshot of the older leader.
		await untilLogIsCut(cluster.nodes);
		const young = await joinAs(cluster, newer, follower);
		expect(await firstOfLog(young)).toBeGreaterThan(1);
		await untilSame(cluster.nodes, folder, stepMs);

		const loads: Creations[] = [];
		/** Clients write through all of them meanwhile; then all hold the same, and what was acknowledged. */
		const underLoad = async (members: readonly ClusterNode[], work: (more: Wait) => Promise<void>) => {
			const wrong: string[] = [];
			const load = new Creations(
				{
					...{ prefix: `load-${loads.length}`, random: new Random(loads.length) },
					targets: () => members.map(({ name, api }) => ({ name, client: api })),
					onWrong: (what) => void wrong.push(what),
				},
				4,
			);
			loads.push(load);
			await work((what) => {
				const before = load.acknowledged;
				return waitUntil(what, stepMs, () => load.acknowledged > before + 4);
			});
			await load.stop();
			expect(wrong).toEqual([]);
			await untilSame(members, folder, stepMs);
			for (const { api } of members) for (const each of loads) expect(await each.missing(api)).toEqual([]);
		};

		await underLoad([...cluster.nodes], async (untilMore) => {
			for (const node of [...followers, leader]) {
				await node.term();
				node.executable = newer;
				await untilMore("writes without it");
				await node.start();
				await untilMore("writes with it");
				await untilSame([node], folder, stepMs);
			}
		});

		// An older node comes to those that are new: it knows all that they know, but not the schema of their database.
		await untilLogIsCut(cluster.nodes);
		cluster.executable = older.whole;
		const late = await cluster.addNode();
		await late.joinWith(await cluster.token(follower), [follower.peerAddress], stepMs);
		await waitUntil("it to say why it stays behind", stepMs, () => /schema version/.test(late.daemon.log()));
		await underLoad(
			cluster.nodes.filter((node) => node !== late),
			async (untilMore) => {
				await untilMore("writes beside one that stays behind");
				await upgradeTo(newer, late);
				await cluster.untilVotes(late, follower);
				await untilMore("writes with it");
			},
		);
		const away = await firstOfLog(late);
		expect(away).toBeGreaterThan(1);
		await underLoad([...cluster.nodes], async (untilMore) => {
			// A snapshot when it is a follower already, and was away for long.
			await late.kill9();
			await untilMore("writes while it is away");
			await untilLogIsCut(cluster.nodes.filter((node) => node !== late));
			const starts = startsOf(late);
			await late.start();
			await waitUntil("it to begin anew with a snapshot", stepMs, () => startsOf(late) >= starts + 2);
			expect(await firstOfLog(late)).toBeGreaterThan(away);
			// No way back over a change of the schema: it is said, and nothing is lost.
			await young.term();
			young.executable = older.whole;
			expect((await failureOf(young.start())).message).toContain("Install a version at least as new");
			young.executable = newer;
			await young.start();
			await untilMore("writes with it again");
		});
		for (const node of cluster.nodes) {
			expect(await seenBy(node)).toEqual(written);
			expect(await asToken(node, secret, "/v1/vms")).toBe(200);
		}
		const signedIn = await follower.api.call("sessionCreate", { body: { username: "anna", password } });
		expect(signedIn.body.token).toBeString();
	},
	limitMs,
);

lab(
	`an older version that lacks a feature: what needs it waits for all members, and who lacks it does not join those that have it${note}`,
	async () => {
		await using cluster = await LabCluster.start(2, { executable: older.without, libvirtUri });
		const [first, second] = [cluster.node(0), cluster.node(1)];
		await untilReady(first, 2);
		const id = await makeVm(second, "mover", second.nodeId);
		await upgradeTo(executablePath, first);
		await untilReady(first, 2);
		const move = () => first.api.call("vmMove", { path: { id }, body: { nodeId: first.nodeId } });
		const refusal = await waitUntil("the nodes to be ready", stepMs, async () => {
			const said = (await failureOf(move())).message;
			return said.includes("not-ready") ? undefined : said;
		});
		expect(refusal).toEndWith("Install this node's version of LimiQuantix on: node-2.");

		await upgradeTo(executablePath, second);
		await untilReady(first, 2);
		const { body: asked } = await waitUntil("it to be known", stepMs, () => move().catch(() => undefined));
		const task = await waitUntil("the move to end", stepMs, async () => {
			const { body: now } = await first.api.call("taskGet", { path: { id: asked.id } });
			return isFinished(now.state) ? now : undefined;
		});
		expect([task.state, task.error]).toEqual(["succeeded", null]);
		await untilSame(cluster.nodes, cluster.folder, stepMs);

		cluster.executable = older.without;
		const stranger = await cluster.addNode();
		const joining = stranger.joinWith(await cluster.token(first), [first.peerAddress], stepMs);
		expect((await failureOf(joining)).message).toContain("is older than the cluster's: it does not know vm-move-1");
		await upgradeTo(executablePath, stranger);
		await cluster.join(stranger, first);
		await untilSame(cluster.nodes, cluster.folder, stepMs);
	},
	limitMs,
);
