/** Storage pools. */

import { AppError } from "../../lib/errors.ts";
import { hostIdsProblem } from "../../model/host-ids.ts";
import { poolConfigs } from "../../model/pool-config.ts";
import { Pool, PoolNodeStatus } from "../../model/storage.ts";
import { fixedPart, isSamePlace, localPath, poolContentObstacle, poolPhase } from "../../model/storage-rules.ts";
import type { Task, TaskKind } from "../../model/task.ts";
import { validated } from "../../model/validate.ts";
import {
	asCreated,
	checkGeneration,
	checkNameFree,
	checkWorks,
	createTask,
	describedChanges,
	endTasksOf,
} from "./checks.ts";
import type { ApplyContext } from "./context.ts";
import type { Handlers } from "./handler.ts";

export const poolHandlers: Handlers<
	"poolCreate" | "poolUpdate" | "poolDelete" | "poolNodeStatus" | "poolGone" | "secretsKeySet"
> = {
	poolCreate(context, body) {
		const pool = validated(Pool, body.pool, "The storage pool");
		validated(poolConfigs[pool.type], pool.config, "The storage pool");
		checkPool(context, pool);
		if (body.checksHostIds === true) checkHostIds(context, pool);
		context.insert("pool", { ...asCreated(context, pool), phase: "pending", nodes: [] });
		if (body.sealedCredentials !== undefined) setCredentials(context, pool.id, body.sealedCredentials);
		return createTask(context, body.task, ["pool.create"]);
	},

	poolUpdate(context, { kind: _kind, id, expectedGeneration, sealedCredentials, checksHostIds, ...changes }) {
		const pool = context.need("pool", id);
		checkGeneration(pool, expectedGeneration, "pool");
		checkNotDeleting(pool);
		const { config, nodeIds } = changes;
		if (changes.name !== undefined) checkNameFree(context, "pool", changes.name, id);
		const after: Pool = {
			...pool,
			...describedChanges<Pool>(changes),
			...(config === undefined ? {} : { config }),
			...(nodeIds === undefined ? {} : { nodeIds }),
		};
		validated(Pool, after, "The change");
		if (config !== undefined) checkConfigChange(context, pool, after);
		if (nodeIds !== undefined) checkNodesChange(context, pool, after);
		if (checksHostIds === true) checkHostIds(context, after);
		const nodes = pool.nodes.filter((node) => after.nodeIds.includes(node.nodeId));
		const phase = poolPhase({ ...after, nodes });
		context.updateSpec("pool", pool, { ...after, nodes, phase });
		if (sealedCredentials !== undefined) setCredentials(context, id, sealedCredentials);
		return null;
	},

	poolDelete(context, body) {
		const pool = context.need("pool", body.id);
		if (
			pool.phase === "deleting" &&
			context.state.unfinishedTasksOf(pool.id).some((task) => task.kind === "pool.delete")
		)
			throw new AppError("wrong-state", "The storage pool is being deleted already.");
		checkEmpty(context, pool);
		context.update("pool", pool, { ...pool, phase: "deleting" });
		cancelOrphanDeletions(context, pool);
		return createTask(context, body.task, ["pool.delete"]);
	},

	poolNodeStatus(context, body) {
		const pool = context.need("pool", body.id);
		const status = validated(PoolNodeStatus, body.status, "The status");
		if (!pool.nodeIds.includes(status.nodeId))
			throw new AppError("wrong-state", "The storage pool is not for this node.");
		const nodes = [...pool.nodes.filter((node) => node.nodeId !== status.nodeId), status].sort(byNodeId);
		context.update("pool", pool, { ...pool, nodes, phase: poolPhase({ ...pool, nodes }) });
		return null;
	},

	poolGone(context, body) {
		const pool = context.need("pool", body.id);
		if (pool.phase !== "deleting") throw new AppError("wrong-state", "Nobody asked to delete this storage pool.");
		checkEmpty(context, pool);
		endTasksOf(context, pool.id, "pool.delete", "storage pool");
		context.remove("pool", pool);
		context.state.setSealedCredentials(pool.id, null);
		return null;
	},

	secretsKeySet(context, { keyId, replaces }) {
		if (!/^[0-9a-f]{32}$/.test(keyId)) throw new AppError("invalid", "This is not the fingerprint of a key.");
		if ((context.state.secretsKeyId() ?? "") !== replaces)
			throw new AppError("already-exists", "The cluster has another key for its credentials already.");
		context.state.setSecretsKeyId(keyId);
		return null;
	},
};

/** Commands that ask for it do: members of before would take what this refuses ("host-ids-1"). */
function checkHostIds(context: ApplyContext, pool: Pool): void {
	const problem = hostIdsProblem(pool, context.state.all("pool"));
	if (problem !== null) throw new AppError("wrong-state", problem);
}

const maxSealedLength = 8192;

function setCredentials(context: ApplyContext, poolId: string, sealed: string): void {
	if (typeof sealed !== "string" || sealed.length > maxSealedLength || !/^[A-Za-z0-9.+/=_-]+$/.test(sealed))
		throw new AppError("invalid", "The sealed credentials are malformed.");
	context.state.setSealedCredentials(poolId, sealed);
}

/** What says which data it holds stays; how they are reached may change. */
function checkConfigChange(context: ApplyContext, pool: Pool, after: Pool): void {
	validated(poolConfigs[pool.type], after.config, "The change");
	if (fixedPart(after.config) !== fixedPart(pool.config)) {
		const message = "A storage pool stays where its data are. Make another pool instead.";
		throw new AppError("invalid", message, { fields: [{ path: "/config", message }] });
	}
	checkPlaceFree(context, after);
}

function checkNodesChange(context: ApplyContext, pool: Pool, after: Pool): void {
	checkNodeIds(context, after.nodeIds, (nodeId) => !pool.nodeIds.includes(nodeId));
	checkPlaceFree(context, after);
	for (const nodeId of pool.nodeIds.filter((id) => !after.nodeIds.includes(id))) {
		const name = context.get("node", nodeId)?.name ?? nodeId;
		const refuse = (what: string): never => {
			const message = `The node ${name} needs the storage pool: ${what}.`;
			throw new AppError("in-use", message, { fields: [{ path: "/nodeIds", message }] });
		};
		for (const volume of context.state.all("volume").filter((one) => one.poolId === pool.id)) {
			if (volume.nodeId === nodeId) refuse(`it has the volume ${volume.name}`);
			const vm = volume.vmId === null ? null : context.get("vm", volume.vmId);
			if (vm?.nodeId === nodeId) refuse(`its VM ${vm.name} has the volume ${volume.name}`);
		}
		if (volumeMovesInto(context, pool.id).some((task) => task.nodeId === nodeId))
			refuse("a volume is moved to it there");
		const flattened = targetsOf(context, "volume.flatten", nodeId)
			.map((id) => context.get("volume", id))
			.find((volume) => volume?.poolId === pool.id);
		if (flattened) refuse(`it makes the volume ${flattened.name} stand alone`);
		if (
			context.state
				.unfinishedTasksOf(pool.id)
				.some((task) => task.kind === "pool.deleteOrphans" && task.nodeId === nodeId)
		)
			refuse("what no record names is being deleted there");
		// Only these: an older member would let imports of other sources pass.
		const copied = targetsOf(context, "image.import", nodeId)
			.map((id) => context.get("image", id))
			.find((image) => image?.poolId === pool.id && image.source.kind === "image");
		if (copied) refuse(`it copies the image ${copied.name} into it`);
		for (const image of context.state.all("image").filter((one) => one.poolId === pool.id)) {
			if (image.nodeId === nodeId) refuse(`it has the image ${image.name}`);
			const vm = context.state.linked("vm", "imageId", image.id).find((one) => one.nodeId === nodeId);
			if (vm) refuse(`its VM ${vm.name} has the image ${image.name} in a drive`);
		}
	}
}

/** What the node is working at in unfinished tasks of this kind. */
const targetsOf = (context: ApplyContext, kind: TaskKind, nodeId: string): string[] =>
	context.state
		.unfinishedTasksOfKind(kind)
		.filter((task) => task.nodeId === nodeId)
		.flatMap(({ targets }) => targets.map(({ id }) => id));

const byNodeId = (a: { nodeId: string }, b: { nodeId: string }): number => (a.nodeId < b.nodeId ? -1 : 1);

export function checkPool(context: ApplyContext, pool: Pool): void {
	checkNameFree(context, "pool", pool.name, null);
	checkNodeIds(context, pool.nodeIds, () => true);
	checkPlaceFree(context, pool);
}

function checkNodeIds(context: ApplyContext, nodeIds: readonly string[], isNew: (nodeId: string) => boolean): void {
	nodeIds.forEach((nodeId, position) => {
		const node = context.needReferenced("node", nodeId, `/nodeIds/${position}`);
		if (isNew(nodeId)) checkWorks(node);
	});
	if (new Set(nodeIds).size !== nodeIds.length)
		throw new AppError("invalid", "A node is named twice.", { fields: [{ path: "/nodeIds", message: "is repeated" }] });
}

/** Two pools in one place would each take what is the other's for leftovers. */
function checkPlaceFree(context: ApplyContext, pool: Pool): void {
	if (pool.type === "local") {
		checkPathFree(context, pool);
		return;
	}
	const other = context.state
		.all("pool")
		.find(({ id, type, config }) => id !== pool.id && type === pool.type && isSamePlace(config, pool.config));
	if (!other) return;
	const message = `The storage pool ${other.name} is there already.`;
	throw new AppError("already-exists", message, { fields: [{ path: "/config", message }] });
}

/** Two pools in one folder would each delete the other's files. */
export function checkPathFree(context: ApplyContext, pool: Pool): void {
	const path = localPath(pool);
	if (path === undefined) return;
	const normal = normalPath(path);
	for (const other of context.state.all("pool")) {
		if (other.id === pool.id) continue;
		const otherPath = localPath(other);
		if (otherPath === undefined || other.type !== pool.type) continue;
		if (!other.nodeIds.some((nodeId) => pool.nodeIds.includes(nodeId))) continue;
		const taken = normalPath(otherPath);
		if (normal === taken || normal.startsWith(`${taken}/`) || taken.startsWith(`${normal}/`)) {
			const message = `The storage pool ${other.name} uses ${otherPath}.`;
			throw new AppError("already-exists", message, { fields: [{ path: "/config/path", message }] });
		}
	}
}

const normalPath = (path: string): string =>
	path
		.split("/")
		.filter((part) => part !== "" && part !== ".")
		.join("/");

/** For new volumes and images. A pool that has not reported yet may be used; its work waits or fails. */
export function checkPoolUsable(context: ApplyContext, poolId: string, nodeId: string | null): Pool {
	const pool = context.needReferenced("pool", poolId, "/poolId");
	checkNotDeleting(pool);
	if (pool.phase === "error") throw new AppError("wrong-state", `The storage pool ${pool.name} has failed.`);
	if (nodeId !== null && !pool.nodeIds.includes(nodeId)) {
		const message = `The storage pool ${pool.name} is not on that node.`;
		throw new AppError("invalid", message, { fields: [{ path: "/nodeId", message }] });
	}
	return pool;
}

function checkNotDeleting(pool: Pool): void {
	if (pool.phase === "deleting") throw new AppError("wrong-state", `The storage pool ${pool.name} is being deleted.`);
}

/** Unfinished moves of volumes to the pool. */
export const volumeMovesInto = (context: ApplyContext, poolId: string): Task[] =>
	context.state.unfinishedTasksOfKind("volume.move").filter(({ input }) => input.poolId === poolId);

/** They would keep other nodes from leaving the pool. */
function cancelOrphanDeletions(context: ApplyContext, { id }: Pool): void {
	for (const task of context.state.unfinishedTasksOf(id))
		if (task.kind === "pool.deleteOrphans" && task.cancelable)
			context.update("task", task, { ...task, cancelRequested: true });
}

function checkEmpty(context: ApplyContext, pool: Pool): void {
	const { state } = context;
	const obstacle = poolContentObstacle(pool, {
		comes: volumeMovesInto(context, pool.id).length > 0,
		volumes: state.row("SELECT id FROM volume WHERE pool_id = ? LIMIT 1", pool.id) !== null,
		images: state.row("SELECT id FROM image WHERE pool_id = ? LIMIT 1", pool.id) !== null,
	});
	if (obstacle !== null) throw new AppError("in-use", obstacle);
}
