/**
 * What a node had been before it joined becomes the cluster's: all of it or nothing. Where each thing goes is decided by
 * model/join-clashes.ts; here it is checked as if it were made anew, and written. Objects keep ids and generations.
 */
import { AppError } from "../../lib/errors.ts";
import { withHostIds } from "../../model/host-ids.ts";
import { type Brought, type Fate, type JoinPlan, type Kind, planJoin } from "../../model/join-clashes.ts";
import { Network } from "../../model/network.ts";
import { networkConfigProblems } from "../../model/network-rules.ts";
import type { Node } from "../../model/node.ts";
import { Name } from "../../model/schema.ts";
import { Snapshot } from "../../model/snapshot.ts";
import { Image, Pool, Volume } from "../../model/storage.ts";
import { poolPhase } from "../../model/storage-rules.ts";
import { validated } from "../../model/validate.ts";
import { Vm } from "../../model/vm.ts";
import { runningAlsoOn } from "../../model/vm-rules.ts";
import type { BodyOf } from "../codec/values.ts";
import type { Tables } from "../store.ts";
import type { ApplyContext } from "./context.ts";
import type { Handlers } from "./handler.ts";
import { memberOf, setPhase } from "./node.ts";
import { checkPathFree } from "./pool.ts";
import { removeSnapshotsOf } from "./snapshot.ts";
import { attachVolumes, checkVmSpec } from "./vm-spec.ts";

export const nodeImportHandlers: Handlers<"nodeImport"> = {
	nodeImport(context, body) {
		const node = memberOf(context, body.nodeId);
		if (node.status.phase !== "joining") return null;
		const brought = checkedBody(body);
		if (node.witness && brought.vms.length + brought.volumes.length + brought.images.length > 0)
			throw new AppError("invalid", "A witness runs no VMs and holds no volumes and no images.");
		const theirs = {
			pools: context.state.all("pool"),
			networks: context.state.all("network"),
			images: context.state.all("image"),
			volumes: context.state.all("volume"),
			vms: context.state.all("vm"),
			memberIds: context.state.all("node").flatMap(({ id, status }) => (status.phase === "left" ? [] : [id])),
		};
		const plan = planJoin({ ...brought, nodeName: node.name }, theirs, body.renameSuffix);
		refuseClashes(plan);
		// Whatever a witness had of these, it has no use for.
		if (!node.witness) new Import(context, node, brought, plan, body.givesHostIds === true).run();
		setPhase(context, node, "not-ready", "Starting");
		return null;
	},
};

type Given = Omit<Brought, "nodeName" | Kind> & {
	pools: Pool[];
	networks: Network[];
	images: Image[];
	volumes: Volume[];
	vms: Vm[];
	snapshots: Snapshot[];
};

function checkedBody(body: BodyOf<"nodeImport">): Given {
	if (body.renameSuffix !== null) validated(Name, body.renameSuffix, "The suffix");
	return {
		nodeId: body.formerNodeId,
		pools: body.pools.map((given) => validated(Pool, given, "The storage pool")),
		networks: body.networks.map((given) => validated(Network, given, "The network")),
		images: body.images.map((given) => validated(Image, given, "The image")),
		volumes: body.volumes.map((given) => validated(Volume, given, "The volume")),
		vms: body.vms.map((given) => validated(Vm, given, "The VM")),
		snapshots: (body.snapshots ?? []).map((given) => validated(Snapshot, given, "The snapshot")),
	};
}

const maxClashes = 20;

function refuseClashes({ clashes }: JoinPlan): void {
	const [first] = clashes;
	if (first === undefined) return;
	const fields = clashes.slice(0, maxClashes).map(({ kind, name, message }) => ({ path: `/${kind}/${name}`, message }));
	throw new AppError("already-exists", `What the node brings does not fit: ${first.message}`, { fields });
}

class Import {
	readonly #context: ApplyContext;
	readonly #node: Node;
	readonly #given: Given;
	readonly #fates: JoinPlan["fates"];
	readonly #givesHostIds: boolean;

	constructor(context: ApplyContext, node: Node, given: Given, plan: JoinPlan, givesHostIds: boolean) {
		this.#context = context;
		this.#node = node;
		this.#given = given;
		this.#fates = plan.fates;
		this.#givesHostIds = givesHostIds;
	}

	run(): void {
		const { pools, networks, images, volumes, vms } = this.#given;
		for (const pool of pools) this.#pool(pool);
		for (const network of networks) this.#network(network);
		for (const image of images) this.#image(image);
		for (const volume of volumes) this.#volume(volume);
		for (const vm of vms) this.#vm(vm);
		for (const volume of volumes) this.#detachUnlessDisk(volume);
		for (const vm of vms) this.#snapshotsOf(vm);
	}

	/** The VM of a volume may have stayed elsewhere, or have another disk since. */
	#detachUnlessDisk({ id, vmId }: Volume): void {
		if (vmId === null || this.#fate("volumes", id).as !== "new") return;
		const vm = this.#context.get("vm", vmId);
		const isDisk = vm?.nodeId === this.#node.id && vm.spec.disks.some((disk) => disk.volumeId === id);
		if (!isDisk) this.#change("volume", id, { vmId: null });
	}

	#fate(kind: Kind, id: string): Fate {
		return this.#fates[kind].get(id) ?? { as: "elsewhere" };
	}

	/** Where a reference leads now. */
	#idOf(kind: Kind, id: string): string {
		const fate = this.#fate(kind, id);
		return fate.as === "same" ? fate.id : id;
	}

	/** The node's own report, under its new id: it is as true as it was. */
	#reports<T extends { nodeId: string }>(reports: readonly T[]): T[] {
		return reports
			.filter(({ nodeId }) => nodeId === this.#given.nodeId)
			.map((report) => ({ ...report, nodeId: this.#node.id }));
	}

	#change<T extends "volume" | "image" | "vm">(table: T, id: string, changes: Partial<Tables[T]>): void {
		const before = this.#context.need(table, id);
		this.#context.update(table, before, { ...before, ...changes });
	}

	#pool(pool: Pool): void {
		const fate = this.#fate("pools", pool.id);
		const reports = this.#reports(pool.nodes);
		if (fate.as === "new") {
			const mine = { ...pool, name: fate.name, nodeIds: [this.#node.id], nodes: reports };
			checkPathFree(this.#context, mine);
			this.#insert("pool", { ...mine, phase: poolPhase(mine) });
		} else if (fate.as === "same") {
			const known = this.#context.need("pool", fate.id);
			if (known.phase === "deleting")
				throw new AppError("wrong-state", `The storage pool ${known.name} is being deleted.`);
			const nodeIds = [...known.nodeIds.filter((id) => id !== this.#node.id), this.#node.id];
			const config = this.#givesHostIds
				? withHostIds(known.config, nodeIds, this.#context.state.all("pool"), known.id)
				: known.config;
			const nodes = sorted([...known.nodes.filter(({ nodeId }) => nodeId !== this.#node.id), ...reports]);
			const after = { ...known, config, nodeIds, nodes };
			checkPathFree(this.#context, after);
			this.#context.update("pool", known, { ...after, phase: poolPhase(after) });
		}
	}

	#network(network: Network): void {
		const fate = this.#fate("networks", network.id);
		const reports = this.#reports(network.nodes);
		if (fate.as === "new") {
			const fields = networkConfigProblems(network.config);
			if (fields.length > 0)
				throw new AppError("invalid", `The addresses of the network ${network.name} do not fit together.`, { fields });
			this.#insert("network", { ...network, name: fate.name, nodes: reports });
		} else if (fate.as === "same") {
			const known = this.#context.need("network", fate.id);
			if (known.deleting) throw new AppError("wrong-state", `The network ${known.name} is being deleted.`);
			const nodes = sorted([...known.nodes.filter(({ nodeId }) => nodeId !== this.#node.id), ...reports]);
			this.#context.update("network", known, { ...known, nodes });
		}
	}

	#image(image: Image): void {
		const fate = this.#fate("images", image.id);
		const nodeId = this.#here(image.nodeId);
		if (fate.as === "back") this.#change("image", image.id, { nodeId });
		else if (fate.as === "new")
			this.#insert("image", {
				...{ ...image, name: fate.name, nodeId, poolId: this.#poolOf(image.poolId) },
				...(image.phase === "importing" ? interrupted : {}),
			});
	}

	#volume(volume: Volume): void {
		const fate = this.#fate("volumes", volume.id);
		const nodeId = this.#here(volume.nodeId);
		if (fate.as === "back") this.#change("volume", volume.id, { nodeId });
		else if (fate.as === "new")
			this.#insert("volume", {
				...{ ...volume, name: fate.name, nodeId, poolId: this.#poolOf(volume.poolId) },
				...whatWorkLeft(volume),
			});
	}

	/** Null stays: in a shared pool. */
	#here(nodeId: string | null): string | null {
		return nodeId === null ? null : this.#node.id;
	}

	#poolOf(givenId: string): string {
		const id = this.#idOf("pools", givenId);
		const pool = this.#context.needReferenced("pool", id, "/poolId");
		if (!pool.nodeIds.includes(this.#node.id))
			throw new AppError("invalid", `The storage pool ${pool.name} is not on the node ${this.#node.name}.`);
		return id;
	}

	#vm(vm: Vm): void {
		const fate = this.#fate("vms", vm.id);
		if (fate.as === "back") this.#change("vm", vm.id, { nodeId: this.#node.id });
		if (fate.as !== "new") return;
		const nics = vm.spec.nics.map((nic) => ({ ...nic, networkId: this.#idOf("networks", nic.networkId) }));
		const spec = { ...vm.spec, nics };
		// Tasks do not come along.
		const status = { ...vm.status, taskId: null };
		// Where else it ran were nodes of another cluster.
		const mine = { ...runningAlsoOn(vm, []), name: fate.name, nodeId: this.#node.id, spec, status };
		for (const { imageId } of spec.cdroms)
			if (imageId !== null) this.#context.needReferenced("image", imageId, "/spec/cdroms");
		// What is in its drives, and is deleted, was allowed to be there.
		checkVmSpec(this.#context, mine, spec, spec);
		this.#insert("vm", mine);
		attachVolumes(this.#context, mine.id, spec);
	}

	/** Of a VM that comes back, the node knows better than the cluster which snapshots its disks have. */
	#snapshotsOf({ id }: Vm): void {
		const fate = this.#fate("vms", id);
		if (fate.as !== "new" && fate.as !== "back") return;
		removeSnapshotsOf(this.#context, id);
		for (const snapshot of this.#given.snapshots)
			if (snapshot.vmId === id)
				this.#insert("snapshot", { ...snapshot, ...(snapshot.phase === "deleting" ? interruptedDeletion : {}) });
	}

	#insert<T extends "pool" | "network" | "image" | "volume" | "vm" | "snapshot">(table: T, object: Tables[T]): void {
		this.#context.insert(table, { ...object, updatedAt: this.#context.time });
	}
}

const interrupted = {
	phase: "error",
	error: { code: "canceled", message: "Its node joined a cluster before it was made." },
} as const;

const interruptedDeletion = {
	phase: "error",
	error: { code: "canceled", message: "Its node joined a cluster while it was being deleted." },
} as const;

/** Tasks do not come along: what they had begun can be asked for again, or has failed. */
function whatWorkLeft({ phase, vmId }: Volume): Partial<Pick<Volume, "phase" | "error">> {
	if (phase === "resizing") return { phase: "ready" };
	if (phase !== "creating" && phase !== "pending") return {};
	// The next start of its VM makes it.
	return vmId === null ? interrupted : { phase: "pending" };
}

const sorted = <T extends { nodeId: string }>(reports: T[]): T[] =>
	reports.sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1));
