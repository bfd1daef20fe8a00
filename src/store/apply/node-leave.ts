/** How nodes go: by themselves, when they are empty, or given up for gone. Their records stay while something refers to them. */
import { AppError } from "../../lib/errors.ts";
import type { Node } from "../../model/node.ts";
import { poolPhase } from "../../model/storage-rules.ts";
import type { Task } from "../../model/task.ts";
import type { Vm } from "../../model/vm.ts";
import { runningAlsoOn } from "../../model/vm-rules.ts";
import type { ApplyContext } from "./context.ts";
import type { Handlers } from "./handler.ts";
import { memberOf, setPhase } from "./node.ts";

export const nodeLeaveHandlers: Handlers<"nodeRemove" | "nodeGone"> = {
	nodeRemove(context, { id, leaving, confirmName }) {
		const node = memberOf(context, id);
		const stay = context.state.all("node").some((other) => other.id !== id && other.status.phase !== "left");
		if (!stay) throw new AppError("wrong-state", `${node.name} is the last node of the cluster.`);
		if (leaving) checkEmpty(context, node);
		else checkConfirmed(node, confirmName);
		const what = leaving ? "left" : "was removed from";
		setPhase(context, node, "left", `It ${what} the cluster.`);
		const reason = `Its node, ${node.name}, ${what} the cluster.`;
		for (const { id: vmId } of heldBy(context, "vm", id)) {
			const vm = context.need("vm", vmId);
			const status = { ...vm.status, powerState: "unknown" as const, reason, taskId: null, updatedAt: context.time };
			context.update("vm", vm, { ...vm, status });
		}
		for (const vm of runningOn(context, id))
			context.update(
				"vm",
				vm,
				runningAlsoOn(
					vm,
					(vm.alsoRunsOn ?? []).filter((nodeId) => nodeId !== id),
				),
			);
		endTasks(context, node, `The node ${node.name} ${what} the cluster.`);
		forgetReports(context, id);
		return null;
	},

	nodeGone(context, { id }) {
		const node = context.need("node", id);
		if (node.status.phase !== "left")
			throw new AppError("wrong-state", `The node ${node.name} is a member of the cluster.`);
		for (const table of tablesOnNodes)
			if (heldBy(context, table, id, 1).length > 0)
				throw new AppError("in-use", `Objects of the cluster are still on the node ${node.name}.`);
		removeDesertedPools(context);
		context.remove("node", node);
		return null;
	},
};

/** What lies on one node. */
const tablesOnNodes = ["vm", "volume", "image"] as const;

const heldBy = (
	context: ApplyContext,
	table: (typeof tablesOnNodes)[number],
	nodeId: string,
	limit = -1,
): { id: string; name: string }[] =>
	context.state.rows(`SELECT id, name FROM ${table} WHERE node_id = ? ORDER BY name, id LIMIT ?`, nodeId, limit);

/** VMs of others that run there: whoever removed the node has said that it is off. */
function runningOn(context: ApplyContext, nodeId: string): Vm[] {
	const marked = context.state.rows<{ doc: string }>(
		"SELECT doc FROM vm WHERE json_extract(doc, '$.alsoRunsOn') IS NOT NULL ORDER BY id",
	);
	return marked.map(({ doc }) => JSON.parse(doc) as Vm).filter(({ alsoRunsOn }) => alsoRunsOn?.includes(nodeId));
}

const maxNames = 10;

function checkEmpty(context: ApplyContext, node: Node): void {
	const held = tablesOnNodes.flatMap((table) => heldBy(context, table, node.id, maxNames + 1));
	if (held.length === 0) return;
	const names = held.slice(0, maxNames).map(({ name }) => name);
	const more = held.length > maxNames ? " and others" : "";
	throw new AppError("in-use", `On the node ${node.name} are ${names.join(", ")}${more}. Move or delete them first.`);
}

function checkConfirmed(node: Node, confirmName: string | null): void {
	if (confirmName === node.name) return;
	const message = `To remove it, confirm that it is off, with its name, ${node.name}.`;
	throw new AppError("invalid", message, { fields: [{ path: "/confirmName", message }] });
}

function endTasks(context: ApplyContext, node: Node, message: string): void {
	const unfinished = context.state.rows<{ doc: string }>(
		"SELECT doc FROM task WHERE node_id = ? AND state IN ('pending', 'running') ORDER BY created_at, id",
		node.id,
	);
	const end = { state: "failed", finishedAt: context.time, cancelable: false } as const;
	for (const { doc } of unfinished) {
		const task = JSON.parse(doc) as Task;
		context.update("task", task, { ...task, ...end, error: { code: "unavailable", message } });
	}
}

function forgetReports(context: ApplyContext, nodeId: string): void {
	for (const pool of context.state.all("pool")) {
		const nodeIds = pool.nodeIds.filter((id) => id !== nodeId);
		const nodes = pool.nodes.filter((report) => report.nodeId !== nodeId);
		const after = { ...pool, nodeIds, nodes };
		context.update("pool", pool, { ...after, phase: poolPhase(after) });
	}
	for (const network of context.state.all("network"))
		context.update("network", network, {
			...network,
			nodes: network.nodes.filter((report) => report.nodeId !== nodeId),
		});
	removeDesertedPools(context);
}

/** A pool that is on no node any more, and holds nothing, is of no use to anybody. */
function removeDesertedPools(context: ApplyContext): void {
	for (const pool of context.state.all("pool")) {
		const holds = (["volume", "image"] as const).some(
			(table) => context.state.row(`SELECT id FROM ${table} WHERE pool_id = ? LIMIT 1`, pool.id) !== null,
		);
		if (pool.nodeIds.length === 0 && !holds) context.remove("pool", pool);
	}
}
