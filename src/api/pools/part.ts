/** Which node is asked about a part of a pool: each has its own of a local one. */
import { AppError } from "../../lib/errors.ts";
import type { Pool } from "../../model/storage.ts";
import { isShared } from "../../model/storage-rules.ts";
import { workerOfPool } from "../../store/storage-worker.ts";
import type { ApiServices, RequestContext } from "../context.ts";
import { find, nodeOfQuery } from "../resources.ts";

type Place = { services: ApiServices; params: { id: string }; query: { nodeId?: string } };

/** Any node sees all of a pool that is shared; one on which it works is asked. */
export function at({ services, params, query }: Place): string | null {
	if (query.nodeId !== undefined) return nodeOfQuery({ services, query });
	const pool = find({ services }, "pool", params.id);
	return isShared(pool) ? workerOfPool(services.store, pool) : null;
}

/** The one that has it, where only one does. */
export function atOne(place: Place): string | null {
	const pool = find(place, "pool", place.params.id);
	const [only, ...others] = pool.nodeIds;
	if (place.query.nodeId === undefined && !isShared(pool) && only !== undefined && others.length === 0) return only;
	return at(place);
}

/** As `atOne`, for work on what is there: its node, which has a part of the pool. */
export function workerOf(context: RequestContext, pool: Pool, nodeId: string | undefined): string {
	const { services } = context;
	const place = { services, params: { id: pool.id }, query: nodeId === undefined ? {} : { nodeId } };
	const worker = atOne(place) ?? services.node.nodeId;
	checkPart(pool, nodeId, worker);
	return worker;
}

export const checkOneNode = ({ services: { node } }: RequestContext, pool: Pool, nodeId: string | undefined): void =>
	checkPart(pool, nodeId, node.nodeId);

function checkPart(pool: Pool, nodeId: string | undefined, worker: string): void {
	if (!pool.nodeIds.includes(worker))
		throw new AppError("invalid", `The storage pool ${pool.name} is not on that node.`, {
			fields: [{ path: "/nodeId", message: "has no part of the pool" }],
		});
	if (nodeId === undefined && !isShared(pool) && pool.nodeIds.length > 1)
		throw new AppError("invalid", `Each node has its own part of the storage pool ${pool.name}: say which.`, {
			fields: [{ path: "/nodeId", message: "is missing" }],
		});
}
