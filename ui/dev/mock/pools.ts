/**
 * The mock's pools: made, changed, tried, discovered. What is at a host whose name begins with "closed" answers nowhere; with "partly",
 * everywhere but on the last node. LUN 1 of a target holds something.
 */
import { GiB, TiB } from "../../../src/lib/units.ts";
import type { PoolDiscover, PoolDiscovered, PoolProbeResult } from "../../../src/model/storage.ts";
import type { Pool, PoolCreate } from "../../api/types.ts";
import { checkMatch, checkName, find, type HandlerTable, MockProblem } from "./request.ts";
import { healthyOn } from "./seed-pools.ts";
import type { MockState } from "./state.ts";

const takenWwid = "naa.60014051a1b1c1d1e1f1112131415161";
const takenBy = ["gpt", "LVM2_member of group data"];
const totalBytes = 2 * TiB;
const availableBytes = 1.5 * TiB;

export function pools(state: MockState): HandlerTable {
	const nodesOf = ({ type, nodeIds }: { type: Pool["type"]; nodeIds?: string[] }): string[] =>
		nodeIds ??
		(type === "local"
			? [state.nodeId]
			: [...state.tables.node.values()].filter(({ witness }) => !witness).map(({ id }) => id));
	const probe = (
		config: Pool["config"],
		nodeIds: readonly string[],
		overwrite: readonly string[] = [],
	): PoolProbeResult[] =>
		nodeIds.map((nodeId, at) => {
			if ("wwid" in config && config.wwid === takenWwid && !takenBy.every((name) => overwrite.includes(name))) {
				const message = `The LUN is not empty: ${takenBy.join(", ")} is on it. Nothing was changed.`;
				const nothing = { ok: false, totalBytes: null, availableBytes: null };
				return { nodeId, ...nothing, error: { code: "wrong-state", message }, found: [...takenBy] };
			}
			const host = hostOf(config);
			const fails = host.startsWith("closed") || (host.startsWith("partly") && at === nodeIds.length - 1);
			const error = { code: "storage" as const, message: `${host} does not answer (no route to host).` };
			return fails
				? { nodeId, ok: false, totalBytes: null, availableBytes: null, error }
				: { nodeId, ok: true, totalBytes, availableBytes, error: null };
		});
	const requireWorks = (config: Pool["config"], nodeIds: readonly string[], overwrite: readonly string[] = []) => {
		const name = (id: string) => state.tables.node.get(id)?.name ?? id;
		const failed = probe(config, nodeIds, overwrite).filter(({ ok }) => !ok);
		const [first] = failed;
		if (!first) return;
		const fields = failed.map(({ nodeId, error }) => ({
			path: `/nodeIds/${nodeIds.indexOf(nodeId)}`,
			message: `${name(nodeId)}: ${error?.message}`,
		}));
		if (first.found)
			fields.push({ path: "/overwrite", message: `What is there has to be named: ${first.found.join(", ")}.` });
		const where = failed.map(({ nodeId }) => name(nodeId)).join(", ");
		const message = `The storage pool does not work on ${where}: ${first.error?.message}`;
		throw new MockProblem(422, "invalid", message, fields);
	};
	return {
		poolCreate: ({ body }) => {
			checkName(state, "pool", body.name);
			const { credentials: _, description = "", nodeIds: asked, overwrite, ...about } = body as PoolCreate;
			const nodeIds = nodesOf({ type: about.type, ...(asked ? { nodeIds: asked } : {}) });
			requireWorks(about.config, nodeIds, overwrite);
			const pool = state.put("pool", {
				...{ ...state.metadata(), ...about, description, nodeIds },
				...{ phase: "pending", nodes: [] },
			});
			const task = state.startTask("pool.create", [state.refOf("pool", pool.id)], {
				steps: 2,
				onDone: () => {
					const nodes = nodeIds.map((id) => healthyOn(id, about.type, totalBytes, totalBytes - availableBytes));
					state.change("pool", pool.id, { phase: "ready", nodes });
				},
			});
			return { status: 201, body: pool, task };
		},
		poolUpdate: ({ id, body, headers }) => {
			const pool = find(state, "pool", id) as Pool;
			checkMatch(headers, pool);
			if (typeof body.name === "string") checkName(state, "pool", body.name, id);
			const { credentials, ...change } = body as Partial<PoolCreate>;
			const isTried = credentials !== undefined || change.config !== undefined || change.nodeIds !== undefined;
			if (isTried) requireWorks(change.config ?? pool.config, change.nodeIds ?? pool.nodeIds);
			const nodeIds = change.nodeIds ?? pool.nodeIds;
			const nodes = pool.nodes.filter(({ nodeId }) => nodeIds.includes(nodeId));
			state.change("pool", id, { ...change, nodes, generation: pool.generation + 1 });
			return { body: find(state, "pool", id) };
		},
		poolProbe: ({ body }) => {
			const asked = body as { type: Pool["type"]; config: Pool["config"]; nodeIds?: string[]; overwrite?: string[] };
			return { body: { nodes: probe(asked.config, nodesOf(asked), asked.overwrite) } };
		},
		poolDiscover: ({ body }) => ({ body: discovered(body as PoolDiscover) }),
	};
}

function hostOf(config: Pool["config"]): string {
	if ("path" in config) return "";
	if ("exportPath" in config) return config.server;
	return ("cephPool" in config ? config.monitors : config.portals)[0] ?? "";
}

function discovered(asked: PoolDiscover): PoolDiscovered {
	const nothing: PoolDiscovered = { exports: [], cephPools: [], targets: [], luns: [] };
	const hosts = asked.type === "nfs" ? [asked.server] : asked.type === "ceph-rbd" ? asked.monitors : asked.portals;
	const closed = hosts.find((host) => host.startsWith("closed"));
	if (closed) throw new MockProblem(502, "storage", `${closed} does not answer (no route to host).`);
	if (asked.type === "nfs") {
		if (asked.server.startsWith("empty")) return nothing;
		const exports = [
			{ path: "/export/vms", clients: ["10.0.0.0/24"] },
			{ path: "/export/homes", clients: ["*.example.net", "10.0.3.7"] },
		];
		return { ...nothing, exports };
	}
	if (asked.type === "ceph-rbd") {
		const cephPools = [
			{ name: "vms", namespaces: ["berlin", "paris"], erasureCoded: false },
			{ name: "backup", namespaces: [], erasureCoded: false },
			{ name: "coded", namespaces: [], erasureCoded: true },
		];
		return { ...nothing, cephPools };
	}
	if (asked.target === null) {
		const portals = ["10.0.1.5:3260", "10.0.2.5:3260"];
		const targets = ["iqn.2026-01.net.example:storage.disks", "iqn.2026-01.net.example:storage.archive"];
		return { ...nothing, targets: targets.map((name) => ({ name, portals })) };
	}
	const disk = { vendor: "LIO-ORG", model: "block" };
	const luns = [
		{ wwid: "naa.60014050a0b0c0d0e0f0102030405060", lun: 0, sizeBytes: 2 * TiB, content: null, ...disk },
		{
			...{ wwid: takenWwid, lun: 1, sizeBytes: 500 * GiB, ...disk },
			content: takenBy.join(", "),
		},
	];
	return { ...nothing, luns };
}
