/** `limiquantix node`: the machines of the cluster. */
import type { Node } from "../../gen/api.ts";
import { bytes, fullTime, percent, relativeTime, share } from "../format.ts";
import { resolveId } from "../names.ts";
import { allPages, given, listOptions } from "../pages.ts";
import { type Noun, verb } from "../verb.ts";
import { historyOption, historyQuery } from "./common-options.ts";

const nodeArgument = { "<node>": "name or id of the node" } as const;

export const nodeNoun: Noun = {
	name: "node",
	summary: "the machines of the cluster",
	verbs: [
		verb({
			name: "list",
			summary: "List nodes",
			examples: ["limiquantix node list"],
			options: listOptions(["name", "createdAt"]),
			async run(cli, _, { limit, search, sort }) {
				const nodes = await allPages(cli, "nodeList", given({ search, sort }), limit);
				const now = cli.io.clock.nowMs();
				await cli.output.list(
					nodes,
					[
						{ header: "NAME", value: (node) => node.name },
						{ header: "PHASE", value: ({ status }) => status.phase, state: true },
						{ header: "CPUS", value: ({ status }) => status.cpuCount, right: true },
						{ header: "MEMORY", value: ({ status }) => bytes(status.memoryBytes), right: true },
						{ header: "HYPERVISOR", value: ({ status }) => status.hypervisor, state: true },
						{ header: "ACCELERATOR", value: ({ status }) => status.accelerator },
						{ header: "VERSION", value: ({ status }) => status.version },
						{ header: "BOOTED", value: ({ status }) => relativeTime(status.bootedAt, now) },
						{ header: "ID", value: (node) => node.id },
					],
					(node) => node.id,
				);
			},
		}),
		verb({
			name: "show",
			summary: "Show a node",
			examples: ["limiquantix node show node1"],
			arguments: nodeArgument,
			async run(cli, { node }) {
				const id = await resolveId(cli, "node", node);
				const { body } = await cli.call("nodeGet", { path: { id } });
				await cli.output.object(body, nodeFields(body, cli.io.clock.nowMs()), body.id);
			},
		}),
		verb({
			name: "rename",
			summary: "Give a node another name",
			examples: ["limiquantix node rename node1 rack2-node1"],
			arguments: { ...nodeArgument, "<name>": "the new name" },
			async run(cli, { node, name }) {
				const id = await resolveId(cli, "node", node);
				const { body } = await cli.call("nodeUpdate", { path: { id }, body: { name } });
				await cli.output.object(body, [["name", body.name]], body.id);
			},
		}),
		verb({
			name: "metrics",
			summary: "Show live figures of a node",
			examples: ["limiquantix node metrics node1"],
			arguments: nodeArgument,
			async run(cli, { node }) {
				const id = await resolveId(cli, "node", node);
				const { body } = await cli.call("nodeMetricsGet", { path: { id } });
				await cli.output.object(
					body,
					[
						["CPU", percent(body.cpuUsedRatio)],
						["memory", share(body.memoryUsedBytes, body.memoryTotalBytes)],
						["load (1 min)", body.load1.toFixed(2)],
						["running VMs", body.vmsRunning],
						["sampled", fullTime(body.sampledAt, cli.io.clock.nowMs())],
					],
					id,
				);
			},
		}),
		verb({
			name: "metrics-history",
			summary: "List figures of a node in the last hour",
			examples: ["limiquantix node metrics-history node1", "limiquantix node metrics-history node1 --last 5m -o json"],
			arguments: nodeArgument,
			options: { last: historyOption },
			async run(cli, { node }, { last }) {
				const id = await resolveId(cli, "node", node);
				const query = historyQuery(cli, last);
				const { items } = (await cli.call("nodeMetricsHistoryGet", { path: { id }, query })).body;
				await cli.output.list(
					items,
					[
						{ header: "SAMPLED", value: (sample) => sample.sampledAt },
						{ header: "CPU", value: (sample) => percent(sample.cpuUsedRatio), right: true },
						{ header: "MEMORY", value: (sample) => bytes(sample.memoryUsedBytes), right: true },
						{ header: "LOAD", value: (sample) => sample.load1.toFixed(2), right: true },
						{ header: "RUNNING VMS", value: (sample) => sample.vmsRunning, right: true },
					],
					(sample) => sample.sampledAt,
				);
			},
		}),
	],
};

function nodeFields(node: Node, nowMs: number) {
	const { status } = node;
	return [
		["name", node.name],
		["id", node.id],
		["phase", status.phase],
		["reason", status.reason],
		["witness", node.witness],
		["addresses for nodes", node.peerAddresses.join(", ")],
		["version", status.version],
		["hypervisor", `${status.hypervisor}${status.hypervisorVersion ? ` (${status.hypervisorVersion})` : ""}`],
		["accelerator", status.accelerator],
		["", status.acceleratorReason],
		["CPU", `${status.cpuCount} × ${status.cpuModel ?? "unknown model"}`],
		["memory", bytes(status.memoryBytes)],
		["bridges", status.bridges.join(", ")],
		["booted", fullTime(status.bootedAt, nowMs)],
		["reported", fullTime(status.updatedAt, nowMs)],
	] as const;
}
