/** `limiquantix vm list` and `vm show`. */
import { powerStates } from "../../../model/vm.ts";
import { bytes, relativeTime } from "../../format.ts";
import { namesById, resolveId } from "../../names.ts";
import { choices, text, texts } from "../../options.ts";
import { allPages, given, listOptions } from "../../pages.ts";
import { type Verb, verb } from "../../verb.ts";
import { getVm, showVm, vmArgument } from "./show.ts";

export const listVerb: Verb = verb({
	name: "list",
	summary: "List VMs",
	examples: [
		"limiquantix vm list",
		"limiquantix vm list --state running --sort -memoryBytes",
		"limiquantix vm list --tag web --output json",
	],
	options: {
		state: choices("--state <state>", powerStates, "only these; several times for several"),
		node: text("--node <node>", "only those on this node"),
		tag: texts("--tag <tag>", "only those with this tag; several times for any of several"),
		...listOptions(["name", "createdAt", "memoryBytes", "vcpus"]),
	},
	async run(cli, _, { state, node, tag, limit, search, sort }) {
		const nodeId = node === undefined ? undefined : [await resolveId(cli, "node", node)];
		const vms = await allPages(cli, "vmList", given({ powerState: state, nodeId, tag, search, sort }), limit);
		const nodeName = await namesById(cli, "node");
		const now = cli.io.clock.nowMs();
		await cli.output.list(
			vms,
			[
				{ header: "NAME", value: (vm) => vm.name },
				{
					header: "STATE",
					value: ({ deleting, status }) => `${status.powerState}${deleting ? " (deleting)" : ""}`,
					state: true,
				},
				{ header: "CPUS", value: (vm) => vm.spec.cpu.vcpus, right: true },
				{ header: "MEMORY", value: (vm) => bytes(vm.spec.memory.sizeBytes), right: true },
				{ header: "ADDRESSES", value: ({ status }) => status.addresses.map(({ address }) => address).join(", ") },
				{
					header: "NODE",
					value: ({ nodeId: on, alsoRunsOn = [] }) =>
						`${nodeName(on)}${alsoRunsOn.length > 0 ? ` (RUNS ALSO ON ${alsoRunsOn.map(nodeName).join(", ")})` : ""}`,
				},
				{ header: "TAGS", value: (vm) => vm.tags.join(", ") },
				{ header: "CREATED", value: (vm) => relativeTime(vm.createdAt, now) },
				{ header: "ID", value: (vm) => vm.id },
			],
			(vm) => vm.id,
		);
	},
});

export const showVerb: Verb = verb({
	name: "show",
	summary: "Show a VM",
	examples: ["limiquantix vm show web", "limiquantix vm show web --output yaml"],
	arguments: vmArgument,
	async run(cli, { vm }) {
		const id = await resolveId(cli, "vm", vm);
		await showVm(cli, (await getVm(cli, id)).body);
	},
});
