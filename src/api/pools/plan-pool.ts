/** Body of `POST /v1/pools` and `PATCH /v1/pools/{id}` + state → what the pool will be. Whether it works is tried by probe.ts. */
import { AppError } from "../../lib/errors.ts";
import { credentialsObstacle, foreignPlaces } from "../../model/kept-credentials.ts";
import { type PoolConfig, type PoolCredentials, poolConfigs } from "../../model/pool-config.ts";
import type { Pool, PoolCreate, PoolType, Provisioning } from "../../model/storage.ts";
import { isInOneTree, poolPlace } from "../../model/storage-rules.ts";
import type { Feature } from "../../store/command-features.ts";
import type { RequestContext } from "../context.ts";
import { checkHostPath } from "../host-path.ts";
import { fieldErrors } from "../validation.ts";
import { FieldErrors } from "../vms/plan-state.ts";

const thinIsNotWiped =
	"Only thick volumes are overwritten. Thin ones share blocks, so writing would fill others instead; each block is zeroed before a volume gets it.";

/** The configuration as it is stored; `invalid` with the fields that do not fit the type. */
export function checkedConfig(context: RequestContext, type: PoolType, config: PoolConfig): PoolConfig {
	const errors = new FieldErrors();
	for (const { path, message } of fieldErrors(poolConfigs[type], config)) errors.add(`/config${path}`, message);
	if ("layout" in config && config.layout === "thin" && config.wipeOnDelete)
		errors.add("/config/wipeOnDelete", thinIsNotWiped);
	errors.check("The storage pool cannot be made");
	if (!("path" in config)) return config;
	return { path: checkHostPath(config.path, "/config/path", { dataDir: context.services.dataDir, use: "pool" }) };
}

/** Two pools in one folder, or one inside the other, would each take what is the other's for leftovers. */
export function checkFolders(pools: readonly Pool[], { id, config }: Pick<Pool, "id" | "config">): void {
	const other = pools.find((pool) => pool.id !== id && isInOneTree(pool.config, config));
	if (!other) return;
	const message = `The storage pool ${other.name} is in ${poolPlace(other.config)}: none can be in, or around, the folder of another one.`;
	throw new AppError("already-exists", message, { fields: [{ path: "/config", message }] });
}

/** The nodes of a new pool: as asked, else all that run VMs for one that nodes share, this one for a local one. */
export function chosenNodes(context: RequestContext, { type, config, nodeIds }: PoolCreate): string[] {
	const { store, node } = context.services;
	const works = store.all("node").filter(({ witness, status }) => !witness && status.phase !== "left");
	const forOneNode = type === "local" || ("layout" in config && config.layout === "thin");
	const chosen = nodeIds ?? (forOneNode ? [node.nodeId] : works.map(({ id }) => id));
	checkNodes(context, chosen);
	return chosen;
}

export function checkNodes(context: RequestContext, nodeIds: readonly string[]): void {
	const errors = new FieldErrors();
	for (const [index, nodeId] of nodeIds.entries()) {
		const node = context.services.store.get("node", nodeId);
		if (!node || nodeIds.indexOf(nodeId) !== index)
			errors.add(`/nodeIds/${index}`, "There is no such node, or it is named twice.");
		else if (node.witness) errors.add(`/nodeIds/${index}`, `The node ${node.name} is a witness and has no pools.`);
	}
	errors.check("The storage pool cannot be made");
}

/**
 * Those that the type takes and needs; `invalid` names what is missing or out of place. `known`: the pool that has some already, unless
 * `given` are new ones, all of them; they are used at its own monitors or portals only.
 */
export function checkCredentials(
	type: PoolType,
	config: PoolConfig,
	given: PoolCredentials | undefined,
	known: Pick<Pool, "name" | "config"> | null,
): void {
	const errors = new FieldErrors();
	const obstacle = given === undefined && known !== null ? credentialsObstacle(known, config) : null;
	const wanted = wantedCredentials(type, config);
	for (const name of Object.keys(given ?? {}) as (keyof PoolCredentials)[])
		if (!(name in wanted)) errors.add(`/credentials/${name}`, "This pool has no use for it.");
	if (given !== undefined || known === null || obstacle !== null)
		for (const [name, why] of Object.entries(wanted))
			if (given?.[name as keyof PoolCredentials] === undefined) errors.add(`/credentials/${name}`, obstacle ?? why);
	errors.check("The credentials do not fit the storage pool");
}

/**
 * For new credentials of a pool, planned again since the pool has changed: `asked` is how it was reached when they came. They were meant for
 * those monitors or portals, so others are not shown them.
 */
export function checkSamePlaces({ name, config }: Pick<Pool, "name" | "config">, asked: PoolConfig): void {
	const others = foreignPlaces(asked, config);
	if (others.length === 0) return;
	throw new AppError(
		"wrong-state",
		`The storage pool ${name} is reached by way of ${others.join(", ")} since a moment ago. The credentials were not used there: look whether they are meant for that, and give them again.`,
	);
}

function wantedCredentials(type: PoolType, config: PoolConfig): Partial<Record<keyof PoolCredentials, string>> {
	if (type === "ceph-rbd") return { cephKey: "The key of the Ceph user is needed." };
	if (!("wwid" in config)) return {};
	return {
		...(config.chapUser === null ? {} : { chapPassword: "A CHAP user needs a password." }),
		...(config.mutualChapUser === null ? {} : { mutualChapPassword: "The target's CHAP user needs a password." }),
	};
}

/**
 * The node that carries out the making of a pool: of one on a LUN, the one that makes the volume group (the lowest host id, as
 * src/storage/iscsi-lvm/create.ts has it). Null when that makes no difference.
 */
export function makerOf(config: PoolConfig): string | null {
	if (!("hostIds" in config)) return null;
	const [first] = Object.entries(config.hostIds).sort(([, one], [, other]) => one - other);
	return first?.[0] ?? null;
}

/** `overwrite`: what may be on the LUN and goes. */
export function checkOverwrite(
	pools: readonly Pick<Pool, "id" | "name">[],
	type: PoolType,
	overwrite: readonly string[] | undefined,
): void {
	if (overwrite === undefined || overwrite.length === 0) return;
	const own = pools.find(({ id }) => overwrite.some((name) => name.toLowerCase().includes(id)));
	if (own) {
		const message = `On the LUN is the storage pool ${own.name} of this cluster. Delete that one first.`;
		throw new AppError("in-use", message, { fields: [{ path: "/overwrite", message }] });
	}
	if (type === "iscsi-lvm") return;
	const message = "Only the LUN of a pool of type iscsi-lvm is overwritten.";
	throw new AppError("invalid", message, { fields: [{ path: "/overwrite", message }] });
}

/** A local pool is what it always was: everything else waits until all members keep one state of it. */
export function checkEverybodyKnows(context: RequestContext, pool: Pick<Pool, "type">): void {
	if (pool.type !== "local") checkEverybodyHas(context);
}

/** That volumes are thick or thin is said in their documents, which older members would refuse. */
export function checkEverybodyProvisions(
	context: RequestContext,
	volumes: readonly { provisioning?: Provisioning }[] = [],
): void {
	if (volumes.some(({ provisioning }) => provisioning !== undefined)) checkEverybodyHas(context, "thick-1");
}

/** Limits of disks came with shared storage. */
export function checkEverybodyLimits(context: RequestContext, disks: readonly { limits?: object }[] = []): void {
	if (disks.some(({ limits }) => limits !== undefined)) checkEverybodyHas(context);
}

export function checkEverybodyHas({ services: { cluster } }: RequestContext, feature: Feature = "storage-1"): void {
	if (cluster.everybodyHas(feature)) return;
	const names = cluster.lacking(feature).join(", ");
	throw new AppError("unsupported", `This waits until all nodes are upgraded: ${names} cannot yet.`);
}
