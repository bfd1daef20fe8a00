/** Storage pools. */

import { AppError } from "../../lib/errors.ts";
import { Pool, PoolNodeStatus, PoolUpdate } from "../../model/storage.ts";
import { localPath, poolPhase } from "../../model/storage-rules.ts";
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

export const poolHandlers: Handlers<"poolCreate" | "poolUpdate" | "poolDelete" | "poolNodeStatus" | "poolGone"> = {
	poolCreate(context, body) {
		const pool = validated(Pool, body.pool, "The storage pool");
		checkPool(context, pool);
		context.insert("pool", { ...asCreated(context, pool), phase: "pending", nodes: [] });
		return createTask(context, body.task, ["pool.create"]);
	},

	poolUpdate(context, { kind: _kind, id, expectedGeneration, ...changes }) {
		const pool = context.need("pool", id);
		checkGeneration(pool, expectedGeneration, "pool");
		checkNotDeleting(pool);
		validated(PoolUpdate, changes, "The change");
		if (changes.name !== undefined) checkNameFree(context, "pool", changes.name, id);
		context.updateSpec("pool", pool, describedChanges<Pool>(changes));
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
		return null;
	},
};

const byNodeId = (a: { nodeId: string }, b: { nodeId: string }): number => (a.nodeId < b.nodeId ? -1 : 1);

export function checkPool(context: ApplyContext, pool: Pool): void {
	checkNameFree(context, "pool", pool.name, null);
	pool.nodeIds.forEach((nodeId, position) => {
		checkWorks(context.needReferenced("node", nodeId, `/nodeIds/${position}`));
	});
	if (new Set(pool.nodeIds).size !== pool.nodeIds.length)
		throw new AppError("invalid", "A node is named twice.", { fields: [{ path: "/nodeIds", message: "is repeated" }] });
	checkPathFree(context, pool);
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

function checkEmpty(context: ApplyContext, pool: Pool): void {
	const { state } = context;
	if (state.row("SELECT id FROM volume WHERE pool_id = ? LIMIT 1", pool.id) !== null)
		throw new AppError("in-use", `The storage pool ${pool.name} holds volumes.`);
	if (state.row("SELECT id FROM image WHERE pool_id = ? LIMIT 1", pool.id) !== null)
		throw new AppError("in-use", `The storage pool ${pool.name} holds images.`);
}
