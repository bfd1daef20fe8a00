/** Storage pools. */

import { withHostIds, withOwnHostIds } from "../../model/host-ids.ts";
import type { PoolConfig } from "../../model/pool-config.ts";
import {
	Pool,
	PoolCreate,
	PoolDiscover,
	PoolDiscovered,
	PoolPage,
	PoolProbe,
	PoolProbed,
	PoolType,
	PoolUpdate,
} from "../../model/storage.ts";
import { Task } from "../../model/task.ts";
import { workerOfPool } from "../../store/storage-worker.ts";
import type { StoreReader } from "../../store/store.ts";
import { firstHeard, knownPool, lostNodes } from "../as-known.ts";
import type { RequestContext } from "../context.ts";
import { anyOf, idParams, listQuery, nodeQuery } from "../parameters.ts";
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
	mutateRebased,
	newMetadata,
	newTask,
	nodeOfQuery,
	shown,
} from "../resources.ts";
import { type Route, route } from "../route.ts";
import {
	checkCredentials,
	checkEverybodyHas,
	checkEverybodyKnows,
	checkedConfig,
	checkFolders,
	checkNodes,
	checkOverwrite,
	checkSamePlaces,
	chosenNodes,
	makerOf,
} from "./plan-pool.ts";
import { probeHere, probeOn, requireAnswered, requireWorks } from "./probe.ts";

const tag = "pools" as const;

/** A node that is away tries the pool when it is back, and says then how it is there. */
const heardOf = (store: StoreReader, nodeIds: readonly string[]): string[] => {
	const lost = new Set(lostNodes(store).map(({ id }) => id));
	return nodeIds.filter((id) => !lost.has(id));
};

/** So that nobody else has got one of these numbers meanwhile. */
const checkingHostIds = (context: RequestContext, config: PoolConfig) =>
	"hostIds" in config && context.services.cluster.everybodyHas("host-ids-1") ? { checksHostIds: true as const } : {};

const showPool = (context: RequestContext, id: string) =>
	shown(knownPool(context.services.store, find(context, "pool", id)));

const poolProbe: Route = route({
	operationId: "poolProbe",
	method: "POST",
	path: "/v1/pools/actions/probe",
	summary: "Try a storage pool",
	description:
		"On each of the nodes: reaches it, writes and removes something small, and leaves nothing behind. What is on a LUN is named in found, and stays; with those names in overwrite it is no error. With nodeId in the query only that node is asked. The credentials of the pool poolId are used at its own monitors or portals only: for others they are given again.",
	tag,
	query: nodeQuery("Only on this node"),
	body: PoolProbe,
	responses: { 200: PoolProbed },
	longLived: true,
	direct: true,
	at: nodeOfQuery,
	async handler({ context, query, body }) {
		const { poolId, type, nodeIds, overwrite } = body;
		const config = checkedConfig(context, type, body.config);
		checkOverwrite(context.services.store.all("pool"), type, overwrite);
		const known = poolId === undefined ? null : context.services.store.get("pool", poolId);
		const id = poolId ?? context.services.ids.newId();
		const named = overwrite === undefined ? {} : { overwrite };
		const pool = { id, name: known?.name ?? "new", type, config, credentials: body.credentials ?? null, ...named };
		if (query.nodeId !== undefined) return ok({ nodes: [await probeHere(context, pool)] });
		const { store } = context.services;
		checkCredentials(type, config, body.credentials, known && store.sealedCredentials(known.id) ? known : null);
		const asked = chosenNodes(context, { name: pool.name, type, config, ...(nodeIds ? { nodeIds } : {}) });
		// As it would be made: with its locks, if it has any.
		const numbered = withOwnHostIds(config, asked, context.services.store.all("pool"), id);
		const { nodes } = await probeOn(context, poolProbe, { ...pool, config: numbered }, asked);
		return ok({ nodes });
	},
});

const poolDiscover: Route = route({
	operationId: "poolDiscover",
	method: "POST",
	path: "/v1/pools/actions/discover",
	summary: "What a storage server offers",
	description:
		"Exports of an NFS server, pools of a Ceph cluster, targets of iSCSI portals and what is behind one of them; as seen from the node that is asked. Nothing is kept: whoever was not logged in before is not afterwards. The credentials of the pool poolId are used at its own monitors or portals only: for others they are given again.",
	tag,
	query: nodeQuery("As seen from this node"),
	body: PoolDiscover,
	responses: { 200: PoolDiscovered },
	longLived: true,
	direct: true,
	at: nodeOfQuery,
	handler: async ({ context, body }) => ok(await context.services.node.discoverStorage(body)),
});

export const poolRoutes: Route[] = [
	route({
		operationId: "poolList",
		method: "GET",
		path: "/v1/pools",
		summary: "List storage pools",
		description:
			"While a node is not heard of (its status.lost), what it last said of its part is not given: that part is in error, with the reason, here and wherever pools are answered.",
		tag,
		query: listQuery(["name", "createdAt"] as const, { phase: anyOf(Pool.properties.phase), type: anyOf(PoolType) }),
		responses: { 200: PoolPage },
		handler({ context, query }) {
			const { store } = context.services;
			if (lostNodes(store).length === 0) return listed(context, "pool", query);
			const wanted = query.phase;
			// Those that are worse only because of their node are stored as what they were.
			const more = wanted?.some((phase) => phase === "degraded" || phase === "error")
				? { phase: [...new Set([...wanted, "ready", "degraded"])] }
				: {};
			const page = listPage(context, "pool", { ...query, ...more });
			const items = page.items.map((pool) => knownPool(store, pool));
			return ok({ ...page, items: items.filter(({ phase }) => wanted?.includes(phase) ?? true) });
		},
	}),
	route({
		operationId: "poolCreate",
		method: "POST",
		path: "/v1/pools",
		summary: "Create a storage pool",
		description:
			"Tried on each of its nodes that is heard of first: an answer with errors says what failed where, and nothing was made. The folder of a local pool is made when it is not there; it must not be one that the system or LimiQuantix uses. A LUN has to be empty, or all that it holds named in overwrite: then it is destroyed, once, by the node that makes the volume group, which has to be reached.",
		tag,
		body: PoolCreate,
		responses: { 201: Pool },
		idempotent: true,
		longLived: true,
		handler: ({ context, body }) =>
			created(context, "pool", async () => {
				const { secrets, store } = context.services;
				checkEverybodyKnows(context, body);
				checkOverwrite(context.services.store.all("pool"), body.type, body.overwrite);
				const nodeIds = chosenNodes(context, body);
				const metadata = newMetadata(context);
				const wanted = checkedConfig(context, body.type, body.config);
				const numbered = () => withHostIds(wanted, nodeIds, store.all("pool"), metadata.id);
				checkCredentials(body.type, wanted, body.credentials, null);
				const tried: Pool = {
					...metadata,
					name: body.name,
					description: body.description ?? "",
					type: body.type,
					config: numbered(),
					nodeIds,
					phase: "pending",
					nodes: [],
				};
				checkFolders(store.all("pool"), tried);
				const credentials = body.credentials ?? null;
				const named = (body.overwrite ?? []).length > 0 ? { overwrite: body.overwrite } : {};
				const heard = heardOf(store, nodeIds);
				const probed = await probeOn(context, poolProbe, { ...tried, credentials, ...named }, heard);
				requireWorks(context, nodeIds, probed);
				// It may have taken a minute, and others may have got the numbers.
				const config = numbered();
				const pool = { ...tried, config };
				checkFolders(store.all("pool"), pool);
				const maker = makerOf(config);
				if (named.overwrite) requireAnswered(context, maker, heard, probed);
				// Made by another one, it would only be waited for.
				const nodeId = maker !== null && heard.includes(maker) ? maker : firstHeard(store, nodeIds);
				const task = newTask(context, "pool.create", refTo("pool", pool), { nodeId, input: named });
				const sealed = credentials === null ? {} : { sealedCredentials: await secrets.seal(pool.id, credentials) };
				return { kind: "poolCreate", pool, task, ...sealed, ...checkingHostIds(context, config) };
			}),
	}),
	poolProbe,
	poolDiscover,
	route({
		operationId: "poolGet",
		method: "GET",
		path: "/v1/pools/{id}",
		summary: "Get a storage pool",
		tag,
		params: idParams,
		responses: { 200: Pool },
		handler: ({ context, params }) => showPool(context, params.id),
	}),
	route({
		operationId: "poolUpdate",
		method: "PATCH",
		path: "/v1/pools/{id}",
		summary: "Change a storage pool",
		description:
			"Name, description, the nodes that use it, and how it is reached; where its data are stays. Changes of how it is reached are tried on each of its nodes first, and take effect on a node when nothing there uses the pool. New monitors or portals need the credentials again: those that are kept are not shown to them. A node that needs the pool cannot be taken out of it.",
		tag,
		params: idParams,
		body: PoolUpdate,
		responses: { 200: Pool },
		ifMatch: true,
		longLived: true,
		async handler({ context, params, body }) {
			const { credentials, config: given, nodeIds, ...described } = body;
			let asked: PoolConfig | null = null;
			await mutateRebased(context, async () => {
				const change = { kind: "poolUpdate" as const, id: params.id, ...described, ...expected(context) };
				if (credentials === undefined && given === undefined && nodeIds === undefined) return change;
				const { secrets, store } = context.services;
				const pool = findForWrite(context, "pool", params.id);
				asked ??= pool.config;
				if (credentials !== undefined && given === undefined) checkSamePlaces(pool, asked);
				checkEverybodyHas(context);
				if (nodeIds !== undefined) checkNodes(context, nodeIds);
				const wanted = given === undefined ? pool.config : checkedConfig(context, pool.type, given);
				const used = nodeIds ?? pool.nodeIds;
				const numbered = () => withOwnHostIds(wanted, used, store.all("pool"), pool.id);
				checkCredentials(pool.type, wanted, credentials, store.sealedCredentials(pool.id) === null ? null : pool);
				const isNew = (nodeId: string) => !pool.nodeIds.includes(nodeId);
				const tried = given === undefined && credentials === undefined ? used.filter(isNew) : used;
				const probed = { ...pool, config: numbered(), credentials: credentials ?? null };
				requireWorks(context, used, await probeOn(context, poolProbe, probed, heardOf(store, tried)));
				const config = numbered();
				if (given !== undefined) checkFolders(store.all("pool"), { id: pool.id, config });
				const isOther = JSON.stringify(config) !== JSON.stringify(pool.config);
				return {
					...change,
					// Trying takes up to a minute: what others change meanwhile is neither undone, nor mixed with what was tried.
					expectedGeneration: pool.generation,
					...(isOther ? { config } : {}),
					...checkingHostIds(context, config),
					...(nodeIds === undefined ? {} : { nodeIds }),
					...(credentials === undefined ? {} : { sealedCredentials: await secrets.seal(pool.id, credentials) }),
				};
			});
			return showPool(context, params.id);
		},
	}),
	route({
		operationId: "poolDelete",
		method: "DELETE",
		path: "/v1/pools/{id}",
		summary: "Delete a storage pool",
		description:
			"Refused while volumes or images are in it. A place that cannot be cleared keeps nobody from it: the message of the task says what stays there, and the node goes on trying.",
		tag,
		params: idParams,
		responses: { 202: Task },
		ifMatch: true,
		handler: ({ context, params }) =>
			accepted(context, () => {
				const pool = findForWrite(context, "pool", params.id);
				// Where it works, its place can be cleared.
				const nodeId = workerOfPool(context.services.store, pool);
				return {
					kind: "poolDelete",
					id: pool.id,
					task: newTask(context, "pool.delete", refTo("pool", pool), { nodeId }),
				};
			}),
	}),
];
