/**
 * What becomes of what a node brings when it joins a cluster. The preview shows the clashes of this plan, and the import
 * does what it says (store/apply/node-import.ts). Pure.
 */

import type { JoinClash } from "./cluster.ts";
import type { Network } from "./network.ts";
import { networksCollide } from "./network-rules.ts";
import type { Image, Pool, Volume } from "./storage.ts";
import { isShared, isSamePlace as samePlace } from "./storage-rules.ts";
import type { Vm, VmSpec } from "./vm.ts";

export type Holdings = {
	pools: readonly Pick<Pool, "id" | "name" | "type" | "config">[];
	networks: readonly Pick<Network, "id" | "name" | "config">[];
	images: readonly Pick<Image, "id" | "name" | "nodeId" | "poolId">[];
	volumes: readonly Pick<Volume, "id" | "name" | "nodeId" | "poolId">[];
	vms: readonly (Pick<Vm, "id" | "name" | "nodeId"> & { spec: Pick<VmSpec, "nics"> })[];
};
/** `nodeId` and `nodeName`: of the node that joins, as it has been until now. */
export type Brought = Holdings & {
	nodeId: string;
	nodeName: string;
	/** Ids of VMs that run on its host now, whoever's they are; absent where that is not known. */
	runs?: readonly string[];
};
/** `memberIds`: nodes of the cluster that have not left it. */
export type Present = Holdings & { memberIds: readonly string[] };

/**
 * new: comes along. same: it is the one with this id. back: the cluster has it, on this node before it was removed. elsewhere:
 * the cluster has it, on another node, where it stays. left: nobody needs it.
 */
export type Fate = { as: "new"; name: string } | { as: "same"; id: string } | { as: "back" | "elsewhere" | "left" };
export type Kind = keyof Holdings;
export type JoinPlan = { clashes: JoinClash[]; fates: Record<Kind, Map<string, Fate>> };

/**
 * Nothing is renamed: what a person is told before. `wasMember`: of this cluster, whose shared pools are what it knows; one that was
 * deleted since holds nothing of it any more.
 */
export const clashesOf = (mine: Brought, theirs: Present, wasMember = false): JoinClash[] => [
	...planJoin(mine, theirs, null).clashes,
	...(wasMember ? [] : sharedPoolClashes(mine, theirs)),
];

/**
 * Of another cluster: what is in them has no node, so nothing says whose it is; their credentials are sealed with that cluster's key, and
 * marks, host ids and the system id of a volume group are made of ids that end with it. No part of the plan: the import means the same
 * on members of every version.
 */
export function sharedPoolClashes({ pools, nodeName }: Brought, theirs: Pick<Present, "pools">): JoinClash[] {
	const known = new Set(theirs.pools.map(({ id }) => id));
	return pools
		.filter((pool) => isShared(pool) && !known.has(pool.id))
		.map(({ name }) => ({ kind: "pool", name, message: sharedStaysBehind(nodeName), renamable: false }));
}

const sharedStaysBehind = (nodeName: string): string =>
	`Pools of this type are not brought along. Move the volumes in it to a local pool, or delete them, and the images in it, too; then delete it on ${nodeName}. Once ${nodeName} has joined, make it in the cluster.`;

/** With `renameSuffix`, names that are taken become NAME-SUFFIX, and are no clashes. */
export function planJoin(mine: Brought, theirs: Present, renameSuffix: string | null): JoinPlan {
	const plan = new Plan(mine, theirs, renameSuffix);
	if (theirs.memberIds.includes(mine.nodeId)) {
		const message = `The cluster has the node that ${mine.nodeName} is, or is a copy of.`;
		plan.clash("node", mine.nodeName, message);
		return plan;
	}
	planPools(plan);
	planNetworks(plan);
	for (const image of mine.images) plan.settle("images", image, (theirsToo) => plan.returned(theirsToo));
	planVolumes(plan);
	for (const vm of mine.vms) plan.settle("vms", vm, (theirsToo) => plan.returned(theirsToo));
	checkMacs(plan);
	checkRunsOnce(plan);
	return plan;
}

/** Somebody took it over while this node was away. Once it has joined it would be there twice. */
function checkRunsOnce(plan: Plan): void {
	for (const id of plan.mine.runs ?? []) {
		const theirs = plan.find("vms", id);
		if (theirs !== null && theirs.nodeId !== plan.mine.nodeId)
			plan.clash(
				"vm",
				theirs.name,
				`It runs on ${plan.mine.nodeName}, and another node of the cluster has it now. Shut it down on this host first: virsh shutdown ${id}, or virsh destroy ${id}.`,
			);
	}
}

const kinds = { pools: "pool", networks: "network", images: "image", volumes: "volume", vms: "vm" } as const;
const nouns = { pools: "storage pool", networks: "network", images: "image", volumes: "volume", vms: "VM" } as const;

type Thing<K extends Kind> = Holdings[K][number];

class Plan implements JoinPlan {
	readonly clashes: JoinClash[] = [];
	readonly fates: JoinPlan["fates"] = {
		...{ pools: new Map(), networks: new Map(), images: new Map(), volumes: new Map(), vms: new Map() },
	};
	readonly mine: Brought;
	readonly theirs: Present;
	readonly #suffix: string | null;
	readonly #byId: { [K in Kind]?: Map<string, Thing<K>> } = {};
	/** Names that are taken, by kind (for volumes: by pool), in lower case. */
	readonly #taken = new Map<string, Set<string>>();

	constructor(mine: Brought, theirs: Present, suffix: string | null) {
		this.mine = mine;
		this.theirs = theirs;
		this.#suffix = suffix;
	}

	clash(kind: JoinClash["kind"], name: string, message: string, renamable = false): void {
		this.clashes.push({ kind, name, message, renamable });
	}

	find<K extends Kind>(kind: K, id: string): Thing<K> | null {
		let known = this.#byId[kind] as Map<string, Thing<K>> | undefined;
		if (known === undefined) {
			known = new Map(this.theirs[kind].map((thing) => [thing.id, thing as Thing<K>]));
			(this.#byId as Record<Kind, Map<string, Thing<K>>>)[kind] = known;
		}
		return known.get(id) ?? null;
	}

	/** `known`: what to do when the cluster has an object with this id. */
	settle<K extends Kind>(kind: K, thing: Thing<K>, known: (theirs: Thing<K>) => Fate, scope = ""): void {
		const theirs = this.find(kind, thing.id);
		this.fates[kind].set(thing.id, theirs === null ? this.comes(kind, thing, scope) : known(theirs));
	}

	/** The node was a member before: what nobody moved elsewhere since comes back with it. */
	returned({ nodeId }: { nodeId: string | null }): Fate {
		return { as: nodeId === this.mine.nodeId ? "back" : "elsewhere" };
	}

	/** A new object: its name must be free, or is made so. `scope`: where it must be. */
	comes(kind: Kind, { name }: { name: string }, scope = "", suffix = this.#suffix): Fate {
		const taken = this.#names(kind, scope);
		let free = name;
		if (taken.has(name.toLowerCase())) {
			const message = `The cluster has another ${nouns[kind]} with the name ${name}.`;
			if (suffix === null) this.clash(kinds[kind], name, message, true);
			else free = this.#freeName(kind, name, taken, suffix);
		}
		taken.add(free.toLowerCase());
		return { as: "new", name: free };
	}

	/** What is in the cluster, and what this plan has added to it. */
	#names(kind: Kind, scope: string): Set<string> {
		const key = `${kind} ${scope}`;
		let taken = this.#taken.get(key);
		if (taken === undefined) {
			const theirs =
				kind === "volumes" ? this.theirs.volumes.filter(({ poolId }) => poolId === scope) : this.theirs[kind];
			taken = new Set(theirs.map(({ name }) => name.toLowerCase()));
			this.#taken.set(key, taken);
		}
		return taken;
	}

	/** Nor may it be a name that something else comes with. */
	#freeName(kind: Kind, name: string, taken: ReadonlySet<string>, suffix: string): string {
		const brought = new Set(this.mine[kind].map((thing) => thing.name.toLowerCase()));
		for (let number = 1; ; number++) {
			const end = `-${suffix.slice(0, maxSuffixLength)}${number === 1 ? "" : `-${number}`}`;
			const candidate = name.slice(0, maxNameLength - end.length) + end;
			const lower = candidate.toLowerCase();
			if (!taken.has(lower) && !brought.has(lower)) return candidate;
		}
	}
}

const maxNameLength = 63;
const maxSuffixLength = 31;

const isSamePlace = (one: Thing<"pools">, other: Thing<"pools">): boolean =>
	one.type === other.type && samePlace(one.config, other.config);
const isSameName = (one: { name: string }, other: { name: string }): boolean =>
	one.name.toLowerCase() === other.name.toLowerCase();

/** Each node has its own part of a pool of type local: the same name and the same folder are one pool. */
function planPools(plan: Plan): void {
	const { volumes, images, nodeName } = plan.mine;
	const inUse = new Set([...volumes, ...images].map(({ poolId }) => poolId));
	for (const pool of plan.mine.pools) {
		const known = plan.find("pools", pool.id);
		const same = known ?? plan.theirs.pools.find((other) => isSameName(other, pool) && isSamePlace(other, pool));
		// One that holds nothing is not worth a clash: each node has one from its first start.
		const suffix = inUse.has(pool.id) ? undefined : nodeName;
		if (!same) plan.fates.pools.set(pool.id, plan.comes("pools", pool, "", suffix));
		else {
			if (!isSamePlace(same, pool))
				plan.clash("pool", pool.name, `The cluster has the storage pool ${pool.name} in another folder.`);
			plan.fates.pools.set(pool.id, { as: "same", id: same.id });
		}
	}
}

/** A NAT network that no VM uses is not worth a clash: each node has one from its first start. */
function planNetworks(plan: Plan): void {
	const used = new Set(plan.mine.vms.flatMap(({ spec }) => spec.nics.map((nic) => nic.networkId)));
	for (const network of plan.mine.networks) {
		const { config } = network;
		const known = plan.find("networks", network.id);
		const same =
			known ?? plan.theirs.networks.find((other) => isSameName(other, network) && sameConfig(other, network));
		if (same) {
			if (!sameConfig(same, network))
				plan.clash("network", network.name, `The cluster has the network ${network.name} with other addresses.`);
			plan.fates.networks.set(network.id, { as: "same", id: same.id });
		} else if (config.kind === "nat" && !used.has(network.id)) plan.fates.networks.set(network.id, { as: "left" });
		else {
			const other = plan.theirs.networks.find((theirs) => networksCollide(theirs.config, config));
			if (other)
				plan.clash("network", network.name, `The network ${other.name} of the cluster has overlapping addresses.`);
			else plan.fates.networks.set(network.id, plan.comes("networks", network));
		}
	}
}

type WithConfig = Pick<Network, "config">;
function sameConfig({ config: one }: WithConfig, { config: other }: WithConfig): boolean {
	if (one.kind === "bridge") return other.kind === "bridge" && one.bridge === other.bridge;
	if (other.kind === "bridge") return false;
	return (["gateway", "prefixLength", "dhcpStart", "dhcpEnd"] as const).every(
		(member) => one[member] === other[member],
	);
}

/** Names of volumes are unique in their pool: the one where they will be. */
function planVolumes(plan: Plan): void {
	for (const volume of plan.mine.volumes) {
		const pool = plan.fates.pools.get(volume.poolId);
		const poolId = pool?.as === "same" ? pool.id : volume.poolId;
		plan.settle("volumes", volume, (theirs) => plan.returned(theirs), poolId);
	}
}

function checkMacs(plan: Plan): void {
	const holders = new Map(plan.theirs.vms.flatMap((vm) => vm.spec.nics.map((nic) => [nic.mac, vm] as const)));
	for (const vm of plan.mine.vms) {
		if (plan.fates.vms.get(vm.id)?.as !== "new") continue;
		for (const { mac } of vm.spec.nics) {
			const holder = holders.get(mac);
			if (holder) plan.clash("vm", vm.name, `The MAC address ${mac} belongs to the VM ${holder.name} of the cluster.`);
		}
	}
}
