/** Cluster and nodes. */
import { AppError } from "../../lib/errors.ts";
import { User } from "../../model/access.ts";
import { Network } from "../../model/network.ts";
import { Cluster, ClusterUpdate, Node, NodeStatus, NodeUpdate } from "../../model/node.ts";
import { Pool } from "../../model/storage.ts";
import { validated } from "../../model/validate.ts";
import { asCreated, checkGeneration, checkNameFree } from "./checks.ts";
import type { Handlers } from "./handler.ts";
import { checkNetwork } from "./network.ts";
import { checkPool } from "./pool.ts";

export const clusterHandlers: Handlers<"clusterInit" | "clusterUpdate" | "nodeUpdate" | "nodeStatus"> = {
	clusterInit(context, body) {
		if (context.state.row("SELECT id FROM cluster LIMIT 1") !== null)
			throw new AppError("already-exists", "This cluster was set up before.");
		context.insert("cluster", asCreated(context, validated(Cluster, body.cluster, "The cluster")));
		context.insert("node", asCreated(context, validated(Node, body.node, "The node")));
		for (const given of body.pools) {
			const pool = validated(Pool, given, "The storage pool");
			checkPool(context, pool);
			context.insert("pool", { ...asCreated(context, pool), phase: "pending", nodes: [] });
		}
		for (const given of body.networks) {
			const network = validated(Network, given, "The network");
			checkNetwork(context, network);
			context.insert("network", { ...asCreated(context, network), nodes: [], deleting: false });
		}
		const admin = validated(User, body.admin, "The first user");
		if (admin.role !== "admin" || !admin.enabled)
			throw new AppError("invalid", "The first user is an administrator, and enabled.");
		context.insert("user", asCreated(context, admin));
		context.state.setPasswordHash(admin.id, body.adminPasswordHash);
		return null;
	},

	clusterUpdate(context, body) {
		const cluster = context.need("cluster", body.id);
		checkGeneration(cluster, body.expectedGeneration, "cluster");
		validated(ClusterUpdate, { name: body.name }, "The cluster");
		context.updateSpec("cluster", cluster, { name: body.name });
		return null;
	},

	nodeUpdate(context, body) {
		const node = context.need("node", body.id);
		checkGeneration(node, body.expectedGeneration, "node");
		validated(NodeUpdate, { name: body.name }, "The node");
		checkNameFree(context, "node", body.name, node.id);
		context.updateSpec("node", node, { name: body.name });
		return null;
	},

	nodeStatus(context, body) {
		const node = context.need("node", body.id);
		context.update("node", node, { ...node, status: validated(NodeStatus, body.status, "The status") });
		return null;
	},
};
