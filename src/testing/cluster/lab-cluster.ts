/**
 * A cluster of real daemons for tests: each node in its own network namespace, made members with the commands that a person
 * types. Everything ends with `stop()`, or with this process.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import type { ClusterStatus } from "../../model/cluster.ts";
import { type Network, startNetwork } from "../bench/cluster/network.ts";
import { executablePath } from "../lab/daemon.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { Partitions } from "./cluster-network.ts";
import { ClusterNode } from "./cluster-node.ts";

const joinLimitMs = 60_000;
/** What an election may take on a machine that has other work, and the way there. */
export const healLimitMs = 60_000;

export type LabClusterOptions = {
	/** Another build than that of this folder. */
	executable?: string;
	/** Where the node of this name finds libvirt; left out: nowhere. */
	libvirtUri?: (name: string) => Promise<string>;
	/** Pool and data of each node lie on one file system. */
	sharedDisks?: boolean;
};

export class LabCluster implements AsyncDisposable {
	readonly folder: string;
	readonly partitions = new Partitions();
	readonly #network: Network;
	/** All that were ever made; a node that left is one of them. */
	readonly nodes: ClusterNode[] = [];

	/** Of nodes that are added. */
	executable: string;
	readonly #libvirtUri: LabClusterOptions["libvirtUri"];
	readonly #sharedDisk: boolean;

	private constructor(network: Network, { executable, libvirtUri, sharedDisks = false }: LabClusterOptions) {
		this.executable = executable ?? executablePath;
		this.#libvirtUri = libvirtUri;
		this.#sharedDisk = sharedDisks;
		this.folder = mkdtempSync(`/tmp/lqx-cluster-${process.pid}-`);
		this.#network = network;
	}

	/** A cluster of `count` members that all have caught up. */
	static async start(count: number, options: LabClusterOptions = {}): Promise<LabCluster> {
		removeLeftFolders();
		const cluster = new LabCluster(await startNetwork(), options);
		try {
			const first = await cluster.addNode();
			if (count > 1) {
				await first.cli(joinLimitMs, "cluster", "init", "--name", "lab", "--address", first.peerAddress);
				for (let number = 1; number < count; number++) await cluster.join(await cluster.addNode(), first);
				await waitUntil(`${count} members`, healLimitMs, () => cluster.haveVotes(cluster.nodes));
			}
			return cluster;
		} catch (error) {
			cluster.#tellLogs();
			await cluster.stop();
			throw error;
		}
	}

	node(number: number): ClusterNode {
		return present(this.nodes[number], `node ${number}`);
	}

	/** A node of its own, started, and no member yet. */
	async addNode(): Promise<ClusterNode> {
		const name = `node-${this.nodes.length + 1}`;
		const { executable } = this;
		const libvirt = this.#libvirtUri && { libvirtUri: await this.#libvirtUri(name) };
		const host = await this.#network.addHost();
		const sharedDisk = this.#sharedDisk;
		const folder = join(this.folder, name);
		const node = await ClusterNode.make({ name, folder, host, executable, sharedDisk, ...libvirt });
		this.nodes.push(node);
		await node.start();
		await node.identify();
		return node;
	}

	/** `addNode`'s place in the network for something that is no node: a stranger. */
	addHost(): ReturnType<Network["addHost"]> {
		return this.#network.addHost();
	}

	/** A token's text. */
	async token(member: ClusterNode, uses = 1): Promise<string> {
		return (await member.api.call("joinTokenCreate", { body: { uses } })).body.secret;
	}

	/** The commands `token create` and `join`; resolves when the member says that the node votes, and the node that it is one of them. */
	async join(node: ClusterNode, member: ClusterNode, limitMs = joinLimitMs): Promise<void> {
		await node.joinWith(await this.token(member), [member.peerAddress], limitMs);
		await this.untilVotes(node, member, limitMs);
		await waitUntil(`${node.name} to know the cluster`, limitMs, async () => (await statusOf(node))?.quorum);
	}

	async untilVotes(node: ClusterNode, member: ClusterNode, limitMs = joinLimitMs): Promise<void> {
		await waitUntil(`${node.name} to be a voter`, limitMs, async () =>
			(await statusOf(member))?.members.some(({ nodeId, role }) => nodeId === node.nodeId && role !== "learner"),
		);
	}

	/** Does each of these see all of them as members that vote, nobody else, and a leader? */
	async haveVotes(members: readonly ClusterNode[]): Promise<boolean> {
		const wanted = members.map(({ nodeId }) => nodeId).sort();
		const all = await Promise.all(members.map((node) => statusOf(node)));
		return all.every((status) => {
			if (!status?.quorum || status.leaderNodeId === null) return false;
			const voters = status.members.filter(({ role }) => role !== "learner").map(({ nodeId }) => nodeId);
			return status.members.length === wanted.length && voters.sort().join() === wanted.join();
		});
	}

	/** The member that the others follow. */
	async leader(limitMs = healLimitMs): Promise<ClusterNode> {
		return waitUntil("a leader", limitMs, async () => {
			for (const node of this.nodes) {
				const status = node.paused ? undefined : await statusOf(node);
				if (status && status.leaderNodeId === status.nodeId && status.quorum) return node;
			}
			return undefined;
		});
	}

	/** All faults of links, pauses and full disks end, and what was killed is started. */
	async heal(nodes: readonly ClusterNode[] = this.nodes): Promise<void> {
		await this.partitions.healAll();
		await Promise.all(
			nodes.map(async (node) => {
				node.resume();
				await node.freeDisk();
				if (!node.runs) await node.start();
			}),
		);
	}

	async stop(): Promise<void> {
		await Promise.all(this.nodes.map((node) => node.stop()));
		await this.#network.stop();
		rmSync(this.folder, { recursive: true, force: true });
	}

	[Symbol.asyncDispose](): Promise<void> {
		if (process.env.LIMIQUANTIX_TEST_LOG === "1") this.#tellLogs();
		return this.stop();
	}

	#tellLogs(): void {
		for (const node of this.nodes) console.error(`── ${node.name}\n${node.daemon.log().slice(-8000)}`);
	}
}

/** Of processes that died in the middle: namespaces and small disks went with them, folders are still there. */
function removeLeftFolders(): void {
	for (const name of readdirSync("/tmp")) {
		const pid = /^lqx-cluster-(\d+)-/.exec(name)?.[1];
		if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmSync(join("/tmp", name), { recursive: true, force: true });
	}
}

/** What this node says of the cluster; undefined when it does not answer. */
export async function statusOf(node: Pick<ClusterNode, "api">): Promise<ClusterStatus | undefined> {
	try {
		return (await node.api.call("clusterStatusGet", { signal: AbortSignal.timeout(2_000) })).body;
	} catch {
		return undefined;
	}
}

/** The node that is asked knows that another one does not answer any more: before that it does not let it be removed. */
export async function untilMissed(asked: Pick<ClusterNode, "api">, nodeId: string): Promise<void> {
	await waitUntil("the other node to be missed", 30_000, async () => {
		const status = await statusOf(asked);
		const member = status?.members.find((one) => one.nodeId === nodeId);
		// A leader that has just been elected takes everybody for present at first: it has to have missed it, too.
		const led = status?.quorum === true && status.leaderNodeId !== null && status.leaderNodeId !== nodeId;
		return led && member?.reachable === false && member.latencyMs === null;
	});
}
