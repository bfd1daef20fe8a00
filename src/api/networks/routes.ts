/** Networks that NICs connect to. */

import { NetworkLeaseList } from "../../model/api.ts";
import { Network, NetworkCreate, NetworkPage, NetworkUpdate } from "../../model/network.ts";
import { Task } from "../../model/task.ts";
import { ofAllNodes } from "../all-nodes.ts";
import { knownNetwork, lostNodes } from "../as-known.ts";
import type { RequestContext } from "../context.ts";
import { idParams, listQuery, nodeQuery } from "../parameters.ts";
import { refTo } from "../refs.ts";
import { ok } from "../reply.ts";
import {
	accepted,
	created,
	expected,
	find,
	findForWrite,
	listed,
	listPage,
	newMetadata,
	newTask,
	nodeOfQuery,
	shown,
} from "../resources.ts";
import { type Route, route } from "../route.ts";

const tag = "networks" as const;

const showNetwork = (context: RequestContext, id: string) =>
	shown(knownNetwork(context.services.store, find(context, "network", id)));

const leaseRoute: Route = route({
	operationId: "networkLeaseList",
	method: "GET",
	path: "/v1/networks/{id}/leases",
	summary: "Addresses that guests on a network got",
	description:
		"The network has a DHCP server of its own on each node. Of one node, or of all that answer: `unanswered` names the others.",
	tag,
	params: idParams,
	query: nodeQuery("Default: all nodes"),
	responses: { 200: NetworkLeaseList },
	at: nodeOfQuery,
	async handler({ context, params, query }) {
		const { id } = find(context, "network", params.id);
		const own = () => context.services.node.networkLeases(id);
		if (query.nodeId !== undefined || context.passedOn) return ok({ items: await own() });
		return ok(await ofAllNodes(context, { route: leaseRoute, params, answer: NetworkLeaseList, own }));
	},
});

export const networkRoutes: Route[] = [
	route({
		operationId: "networkList",
		method: "GET",
		path: "/v1/networks",
		summary: "List networks",
		description:
			"While a node is not heard of (its status.lost), it is not said how a network is there, here and wherever networks are answered.",
		tag,
		query: listQuery(["name", "createdAt"] as const, {}),
		responses: { 200: NetworkPage },
		handler({ context, query }) {
			const { store } = context.services;
			if (lostNodes(store).length === 0) return listed(context, "network", query);
			const page = listPage(context, "network", query);
			return ok({ ...page, items: page.items.map((network) => knownNetwork(store, network)) });
		},
	}),
	route({
		operationId: "networkCreate",
		method: "POST",
		path: "/v1/networks",
		summary: "Create a network",
		description: "nat: a network of its own behind each node. bridge: a Linux bridge that is there already.",
		tag,
		body: NetworkCreate,
		responses: { 201: Network },
		idempotent: true,
		handler: ({ context, body }) =>
			created(context, "network", () => {
				const network: Network = {
					...newMetadata(context),
					name: body.name,
					description: body.description ?? "",
					config: body.config,
					nodes: [],
					deleting: false,
				};
				const task = newTask(context, "network.create", refTo("network", network));
				return { kind: "networkCreate", network, task };
			}),
	}),
	route({
		operationId: "networkGet",
		method: "GET",
		path: "/v1/networks/{id}",
		summary: "Get a network",
		tag,
		params: idParams,
		responses: { 200: Network },
		handler: ({ context, params }) => showNetwork(context, params.id),
	}),
	route({
		operationId: "networkUpdate",
		method: "PATCH",
		path: "/v1/networks/{id}",
		summary: "Change name or description of a network",
		tag,
		params: idParams,
		body: NetworkUpdate,
		responses: { 200: Network },
		ifMatch: true,
		async handler({ context, params, body }) {
			await context.mutate(() => ({ kind: "networkUpdate", id: params.id, ...body, ...expected(context) }));
			return showNetwork(context, params.id);
		},
	}),
	route({
		operationId: "networkDelete",
		method: "DELETE",
		path: "/v1/networks/{id}",
		summary: "Delete a network",
		description: "Refused while NICs use it.",
		tag,
		params: idParams,
		responses: { 202: Task },
		ifMatch: true,
		handler: ({ context, params }) =>
			accepted(context, () => {
				const network = findForWrite(context, "network", params.id);
				const task = newTask(context, "network.delete", refTo("network", network));
				return { kind: "networkDelete", id: network.id, task };
			}),
	}),
	leaseRoute,
];
