/**
 * LimiQuantix: the built executable, as many nodes as wanted, joined over their peer links, asked over HTTPS. No libvirt runs: what is
 * measured is the state of the cluster, and what a client writes is the name of a volume, the smallest change that is
 * audited.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type OperationTypes, operations } from "../../../gen/api.ts";
import { type ApiClient, createApiClient } from "../../../lib/api-client.ts";
import { present } from "../../../lib/assert.ts";
import { executablePath } from "../../lab/daemon.ts";
import { waitUntil } from "../../lab/wait-until.ts";
import { fillState } from "../filled-state.ts";
import { type Cluster, type ClusterOptions, type Member, settled, type View } from "./cluster.ts";
import type { Exchange } from "./exchange.ts";
import type { LoadClient } from "./load.ts";
import { memberProcess } from "./member-process.ts";
import type { Host } from "./network.ts";

export type OurOptions = ClusterOptions & {
	name: string;
	/** VMs (with a volume each) in the state before the first node starts; without any, clients have nothing to write. */
	vmCount: number;
	/** Another one than dist/'s, to compare two builds. */
	executable?: string;
	/** Further settings of `limiquantix serve`. */
	settings?: readonly string[];
};

export type OurCluster = Cluster & {
	readonly members: readonly OurNode[];
	/**
	 * One more node, with `vmCount` VMs of its own, joins. Resolves when it votes and its VMs are known to the others, to
	 * the milliseconds since it was asked to.
	 */
	grow(vmCount?: number): Promise<number>;
};

export type OurNode = Member & {
	readonly url: string;
	readonly dataDir: string;
	/** As root, over its socket. */
	readonly api: ApiClient<OperationTypes>;
};

const apiPort = 8443;
const peerPort = 8444;
const startLimitMs = 120_000;

export async function startOurCluster(options: OurOptions): Promise<OurCluster> {
	const { name, network, load, executable = executablePath, settings = [] } = options;
	const folder = mkdtempSync("/tmp/lqx-bench-ours-");
	const nodes: OurNode[] = [];
	const stop = async () => {
		await Promise.all(nodes.map(({ process }) => process.end()));
		rmSync(folder, { recursive: true, force: true });
	};
	const addNode = async (vmCount: number): Promise<OurNode> => {
		const host = await network.addHost();
		const command = [executable, "serve", ...settings];
		const node = prepareNode(join(folder, `node-${nodes.length}`), host, nodes.length, command);
		if (vmCount > 0) await fillState(node.dataDir, vmCount);
		nodes.push(node);
		node.process.start();
		await waitUntil(`node ${nodes.length - 1} to answer`, startLimitMs, () => answers(node));
		return node;
	};
	const ids: string[] = [];
	try {
		const first = await addNode(options.vmCount);
		ids.push((await statusOf(first)).nodeId);
		const session = await signIn(load, first);
		const grow = async (vmCount = 0): Promise<number> => {
			const node = await addNode(vmCount);
			const { body } = await first.api.call("joinTokenCreate", { body: {} });
			const began = performance.now();
			const { body: join } = await node.api.call("clusterJoin", { body: { token: body.secret, rename: true } });
			if (!join.joining) throw new Error(`The node does not join: ${JSON.stringify(join.clashes.slice(0, 3))}`);
			await waitUntil("the node to be a voter", startLimitMs, () => isVoter(node, first), { everyMs: 20 });
			const { nodeId } = await statusOf(node);
			if (vmCount > 0)
				await waitUntil("the VMs of the node", startLimitMs, () => hasVmsOf(first, nodeId), { everyMs: 20 });
			const tookMs = performance.now() - began;
			ids.push(nodeId);
			return tookMs;
		};
		while (nodes.length < options.members) await grow();
		const volumes = await listVolumes(load, first, session.headers);
		const volumeAt = (client: number): string => `/v1/volumes/${present(volumes[client], "a volume for each client")}`;
		const cluster: OurCluster = {
			...{ name, version: session.version, members: nodes, grow, stop },
			view: (member) => view(present(nodes[member], "the node"), ids),
			write: (client, member) => ({
				...request(present(nodes[member], "the node"), "PATCH", volumeAt(client), session.headers),
				bodies: ["a", "b"].map((letter) => JSON.stringify({ name: `bench-${client}-${letter}` })),
			}),
			read: (client, member) =>
				request(present(nodes[member], "the node"), "GET", volumeAt(client), {
					authorization: session.headers.authorization,
				}),
		};
		if (volumes.length > 0) await settled(cluster, load);
		return cluster;
	} catch (error) {
		const said = nodes.map(({ process }) => process.log().slice(-3000)).join("\n");
		await stop();
		throw new Error(`The cluster does not come up:\n${said}`, { cause: error });
	}
}

function prepareNode(folder: string, host: Host, number: number, command: readonly string[]): OurNode {
	const dataDir = join(folder, "data");
	const runDir = join(folder, "run");
	const socketPath = join(runDir, "limiquantix.sock");
	return {
		...{ host, dataDir },
		url: `https://${host.address}:${apiPort}`,
		process: memberProcess(
			[
				...[...host.prefix, ...command, "--data-dir", dataDir, "--run-dir", runDir],
				...["--listen", `${host.address}:${apiPort}`, "--peer-listen", `${host.address}:${peerPort}`],
				...["--libvirt", `qemu+unix:///system?socket=${join(folder, "no-libvirt")}`, "--accelerator", "tcg"],
				...["--node-name", `node-${number}`, "--log-level", "warn"],
			],
			`${folder}.log`,
		),
		api: createApiClient<OperationTypes>(operations, {
			baseUrl: "http://localhost",
			fetch: (address, init) => fetch(address, { ...init, unix: socketPath } as RequestInit),
		}),
	};
}

const answers = (node: OurNode): Promise<boolean> => {
	if (!node.process.alive) throw new Error("The node ended.");
	return node.api.call("healthGet").then(
		() => true,
		() => false,
	);
};

type Session = { version: string; headers: { authorization: string; "content-type": string } };

async function signIn(load: LoadClient, node: OurNode): Promise<Session> {
	const password = readFileSync(join(node.dataDir, "initial-admin-password"), "utf8").trim();
	const { status, body } = await load.call({
		...request(node, "POST", "/v1/sessions", { "content-type": "application/json" }),
		bodies: [JSON.stringify({ username: "admin", password })],
	});
	if (status >= 300) throw new Error(`Signing in answered ${status}: ${body}`);
	const { token } = JSON.parse(body) as { token: string };
	const { version } = (await node.api.call("clusterGet")).body;
	return { version, headers: { authorization: `Bearer ${token}`, "content-type": "application/json" } };
}

const request = (node: OurNode, method: string, path: string, headers: Record<string, string>): Exchange => ({
	...{ url: `${node.url}${path}`, method, headers, bodies: [], status: 200 },
});

/** The first ones: more than there are clients. */
async function listVolumes(load: LoadClient, node: OurNode, headers: Session["headers"]): Promise<string[]> {
	const { status, body } = await load.call(request(node, "GET", "/v1/volumes?limit=100", headers));
	if (status !== 200) throw new Error(`The volumes answered ${status}: ${body}`);
	return (JSON.parse(body) as { items: { id: string }[] }).items.map(({ id }) => id);
}

async function statusOf(node: OurNode) {
	return (await node.api.call("clusterStatusGet")).body;
}

/** Of the node's socket, which a cut link does not reach. */
async function view(node: OurNode, ids: readonly string[]): Promise<View> {
	const { leaderNodeId, term, appliedIndex } = await statusOf(node);
	const leader = leaderNodeId === null ? -1 : ids.indexOf(leaderNodeId);
	return { leader: leader < 0 ? null : leader, term, appliedIndex };
}

async function isVoter(node: OurNode, first: OurNode): Promise<boolean> {
	try {
		const [own, members] = await Promise.all([statusOf(node), statusOf(first)]);
		const found = members.members.find(({ nodeId }) => nodeId === own.nodeId);
		return found !== undefined && found.role !== "learner" && own.leaderNodeId !== null;
	} catch {
		// It begins anew.
		return false;
	}
}

async function hasVmsOf(asked: OurNode, nodeId: string): Promise<boolean> {
	const { body } = await asked.api.call("vmList", { query: { nodeId: [nodeId], limit: 1 } });
	return body.items.length > 0;
}
