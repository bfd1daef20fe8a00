/** What may happen to a cluster of real processes, each with an end: one entry in a list is one sort of fault. */
import type { Host } from "../bench/cluster/network.ts";
import type { Random } from "../simulation/random.ts";
import type { ClusterNode } from "./cluster-node.ts";
import type { LabCluster } from "./lab-cluster.ts";

export type FaultContext = {
	cluster: LabCluster;
	/** Nodes that this fault may take at this moment: members, as far as anybody knows. */
	members(): readonly ClusterNode[];
	/** Nobody else takes them before the end of this fault. To be called before anything else is awaited. */
	claim(nodes: readonly ClusterNode[]): void;
	random: Random;
};

export type Fault = {
	name: string;
	/** How long it lasts, about. */
	lastsMs: number;
	/** What was done, for the log, and how it ends. Null: not possible now. */
	begin(context: FaultContext): Promise<{ what: string; end(): Promise<void> } | null>;
};

const none = async (): Promise<void> => {};
const names = (nodes: readonly ClusterNode[]): string => nodes.map(({ name }) => name).join(", ");
const hostsOf = (nodes: readonly ClusterNode[]): Host[] => nodes.map(({ host }) => host);

const isThere = (node: ClusterNode): boolean => node.runs && !node.paused;

/** Often the one that leads: what happens to it matters most. */
async function takeOne({ cluster, members, random, claim }: FaultContext): Promise<ClusterNode | null> {
	const leader = random.chance(0.5) ? await cluster.leader(500).catch(() => null) : null;
	const there = members().filter(isThere);
	const node = leader !== null && there.includes(leader) ? leader : (random.pick(there) ?? null);
	if (node !== null) claim([node]);
	return node;
}

function shuffled(context: FaultContext): ClusterNode[] {
	const rest = [...context.members()];
	const order: ClusterNode[] = [];
	while (rest.length > 0) order.push(...rest.splice(context.random.below(rest.length), 1));
	return order;
}

export const processFaults: readonly Fault[] = [
	{
		name: "kill",
		lastsMs: 1_500,
		async begin(context) {
			const node = await takeOne(context);
			if (!node) return null;
			await node.kill9();
			return { what: `kill -9 ${node.name}`, end: () => node.start() };
		},
	},
	{
		name: "kill-all",
		lastsMs: 300,
		async begin({ members, claim }) {
			const killed = members().filter((node) => node.runs);
			claim(killed);
			await Promise.all(killed.map((node) => node.kill9()));
			const end = async () => void (await Promise.all(killed.map((node) => node.start())));
			return { what: `kill -9 ${names(killed)}`, end };
		},
	},
	{
		name: "stop",
		lastsMs: 2_500,
		async begin(context) {
			const node = await takeOne(context);
			if (!node) return null;
			node.pause();
			return { what: `SIGSTOP ${node.name}`, end: async () => node.resume() };
		},
	},
	{
		name: "full-disk",
		lastsMs: 3_000,
		async begin(context) {
			const node = await takeOne(context);
			if (!node) return null;
			await node.fillDisk();
			return { what: `full disk of ${node.name}`, end: () => node.freeDisk() };
		},
	},
	{
		name: "disk-filled-by-vms",
		lastsMs: 3_000,
		async begin(context) {
			const node = await takeOne(context);
			if (!node) return null;
			// It writes in the place of its ballast, and what it gave up is taken, too.
			await node.fillFreeSpace();
			const end = async () => {
				await node.fillFreeSpace();
				await node.kill9();
				await node.start();
				await node.freeDisk();
			};
			return { what: `disk of ${node.name} filled, then kill -9`, end };
		},
	},
	{
		name: "full-disk-and-kill",
		lastsMs: 1_000,
		async begin(context) {
			const node = await takeOne(context);
			if (!node) return null;
			await node.fillDisk();
			await node.kill9();
			const end = async () => {
				await node.freeDisk();
				await node.start();
			};
			return { what: `full disk of ${node.name}, then kill -9`, end };
		},
	},
];

export const linkFaults: readonly Fault[] = [
	{
		name: "cut",
		lastsMs: 3_000,
		async begin(context) {
			const node = await takeOne(context);
			if (!node) return null;
			await context.cluster.partitions.separate([node.host], hostsOf(context.members()));
			return { what: `${node.name} cut off`, end: () => context.cluster.partitions.healAll() };
		},
	},
	{
		name: "deaf",
		lastsMs: 3_000,
		async begin(context) {
			const node = await takeOne(context);
			if (!node) return null;
			await context.cluster.partitions.deafen(node.host, hostsOf(context.members()));
			return { what: `${node.name} hears nobody`, end: () => context.cluster.partitions.healAll() };
		},
	},
	{
		name: "mute",
		lastsMs: 3_000,
		async begin(context) {
			const node = await takeOne(context);
			if (!node) return null;
			await Promise.all(context.members().map(({ host }) => context.cluster.partitions.deafen(host, [node.host])));
			return { what: `nobody hears ${node.name}`, end: () => context.cluster.partitions.healAll() };
		},
	},
	{
		name: "bridge",
		lastsMs: 3_000,
		async begin(context) {
			const [middle, ...rest] = shuffled(context);
			if (!middle || rest.length < 2) return null;
			const half = Math.ceil(rest.length / 2);
			await context.cluster.partitions.separate(hostsOf(rest.slice(0, half)), hostsOf(rest.slice(half)));
			return { what: `only ${middle.name} reaches all`, end: () => context.cluster.partitions.healAll() };
		},
	},
	{
		name: "halves",
		lastsMs: 3_000,
		async begin(context) {
			const order = shuffled(context);
			const half = order.slice(0, Math.floor(order.length / 2));
			if (half.length === 0) return null;
			await context.cluster.partitions.separate(hostsOf(half), hostsOf(order.slice(half.length)));
			return { what: `${names(half)} apart from the others`, end: () => context.cluster.partitions.healAll() };
		},
	},
	{
		name: "flapping",
		lastsMs: 100,
		async begin(context) {
			const node = await takeOne(context);
			if (!node) return null;
			for (let round = 0; round < 4; round++) {
				await context.cluster.partitions.separate([node.host], hostsOf(context.members()));
				await Bun.sleep(50 + context.random.below(400));
				await context.cluster.partitions.healAll();
				await Bun.sleep(context.random.below(200));
			}
			return { what: `the link of ${node.name} flaps`, end: none };
		},
	},
];
