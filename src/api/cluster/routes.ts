/** The cluster and its nodes. */

import { AppError } from "../../lib/errors.ts";
import { ClusterInfo } from "../../model/api.ts";
import {
	Cluster,
	ClusterUpdate,
	Node,
	NodeChange,
	NodeMetrics,
	NodeMetricsHistory,
	NodePage,
} from "../../model/node.ts";
import { intervals } from "../../node/limits.ts";
import type { RequestContext } from "../context.ts";
import { afterMs, historyQuery, idParams, listQuery } from "../parameters.ts";
import { ok } from "../reply.ts";
import { expected, find, listed, nodeServiceFor, shown, theCluster } from "../resources.ts";
import { type Route, route } from "../route.ts";
import { checkPeerAddresses } from "./peer-addresses.ts";

const tag = "cluster" as const;

export const clusterRoutes: Route[] = [
	route({
		operationId: "clusterGet",
		method: "GET",
		path: "/v1/cluster",
		summary: "Get the cluster",
		tag,
		responses: { 200: ClusterInfo },
		handler({ context }) {
			const { store, node, version } = context.services;
			const cluster = theCluster(context);
			const { quorum, leader } = store.status();
			const firstRun = store.count("vm") === 0 && store.count("image") === 0;
			const demoAvailable = node.demoImagePath() !== null;
			const body = { ...cluster, version, quorum, leaderNodeId: leader, demoAvailable, firstRun };
			return ok(body, { etag: cluster.generation });
		},
	}),
	route({
		operationId: "clusterUpdate",
		method: "PATCH",
		path: "/v1/cluster",
		summary: "Rename the cluster",
		tag,
		body: ClusterUpdate,
		responses: { 200: Cluster },
		ifMatch: true,
		async handler({ context, body }) {
			const { id } = theCluster(context);
			await context.mutate(() => ({ kind: "clusterUpdate", id, name: body.name, ...expected(context) }));
			return shown(theCluster(context));
		},
	}),
	route({
		operationId: "clusterBackupGet",
		method: "GET",
		path: "/v1/cluster/backup",
		summary: "Download the state of the cluster",
		description:
			"A snapshot of everything but the disks, for `limiquantix cluster restore`. The hashes of all passwords, sessions and tokens are in it, so it is answered over the local socket only.",
		tag,
		responses: { 200: { contentType: "application/octet-stream", description: "A snapshot of the state" } },
		longLived: true,
		async handler({ context }) {
			const { sizeBytes, stream } = await context.services.store.backup();
			return ok(stream, { downloadName: "limiquantix-state.db", contentLength: sizeBytes });
		},
	}),
	route({
		operationId: "nodeList",
		method: "GET",
		path: "/v1/nodes",
		summary: "List nodes",
		tag,
		query: listQuery(["name", "createdAt"] as const, {}),
		responses: { 200: NodePage },
		handler: ({ context, query }) => listed(context, "node", query),
	}),
	route({
		operationId: "nodeGet",
		method: "GET",
		path: "/v1/nodes/{id}",
		summary: "Get a node",
		tag,
		params: idParams,
		responses: { 200: Node },
		handler: ({ context, params }) => shown(find(context, "node", params.id)),
	}),
	route({
		operationId: "nodeUpdate",
		method: "PATCH",
		path: "/v1/nodes/{id}",
		summary: "Rename a node, or say where the others reach it",
		description:
			"The other nodes use new peerAddresses for their next links; the node's own listener is its setting `peer-listen`. Refused when another node looks and does not find it at any of them, unless confirmUnreached says that it will be.",
		tag,
		params: idParams,
		body: NodeChange,
		responses: { 200: Node },
		ifMatch: true,
		async handler({ context, params, body }) {
			const { name, peerAddresses, confirmUnreached = false } = body;
			checkPeerAddresses(peerAddresses ?? [], "/peerAddresses");
			if (!confirmUnreached) await checkReached(context, params.id, peerAddresses ?? []);
			await context.mutate(() => ({
				kind: "nodeUpdate",
				id: params.id,
				...(name === undefined ? {} : { name }),
				...(peerAddresses === undefined ? {} : { peerAddresses }),
				...expected(context),
			}));
			return shown(find(context, "node", params.id));
		},
	}),
	route({
		operationId: "nodeMetricsGet",
		method: "GET",
		path: "/v1/nodes/{id}/metrics",
		summary: "Live figures of a node",
		tag,
		params: idParams,
		responses: { 200: NodeMetrics },
		at: ({ services, params }) => find({ services }, "node", params.id).id,
		handler({ context, params }) {
			const { id } = find(context, "node", params.id);
			const metrics = nodeServiceFor(context, id).nodeMetrics();
			if (!metrics) throw new AppError("unavailable", "There are no figures yet.", { retryAfterMs: 2000 });
			return ok(metrics);
		},
	}),
	route({
		operationId: "nodeMetricsHistoryGet",
		method: "GET",
		path: "/v1/nodes/{id}/metrics/history",
		summary: "Figures of a node in the last hour",
		description: "Kept in memory by the node itself: they begin anew when its service does.",
		tag,
		params: idParams,
		query: historyQuery,
		responses: { 200: NodeMetricsHistory },
		at: ({ services, params }) => find({ services }, "node", params.id).id,
		handler({ context, params, query }) {
			const { id } = find(context, "node", params.id);
			const items = nodeServiceFor(context, id).nodeMetricsHistory(afterMs(query));
			return ok({ intervalMs: intervals.metricsHistoryMs, items });
		},
	}),
];

/** The others would lose it: `invalid`, with the field that confirms it. */
async function checkReached(context: RequestContext, id: string, addresses: readonly string[]): Promise<void> {
	const { name, peerAddresses } = find(context, "node", id);
	if (addresses.length === 0 || addresses.join() === peerAddresses.join()) return;
	const problem = await context.services.cluster.whyUnreached(id, addresses);
	if (problem === null) return;
	const message = `The other nodes do not reach ${name} there. ${problem} Nothing was changed.`;
	throw new AppError("invalid", message, { fields: [{ path: "/confirmUnreached", message }] });
}
