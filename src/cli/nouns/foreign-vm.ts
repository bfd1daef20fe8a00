/** `limiquantix foreign-vm`: domains that libvirt has and we do not. */

import { bytes } from "../format.ts";
import { namesById, theOne } from "../names.ts";
import { finishTask, waitOptions } from "../tasks.ts";
import { warnOfUnanswered } from "../unanswered.ts";
import { type Noun, verb } from "../verb.ts";

const libvirtUuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export const foreignVmNoun: Noun = {
	name: "foreign-vm",
	summary: "VMs on the nodes that are not theirs: made outside LimiQuantix, or on another node by now",
	verbs: [
		verb({
			name: "list",
			summary: "List VMs that were made outside LimiQuantix, or that another node has by now",
			examples: ["limiquantix foreign-vm list"],
			async run(cli) {
				const { items, unanswered } = (await cli.call("foreignVmList")).body;
				const nodeName = await namesById(cli, "node");
				await warnOfUnanswered(cli, unanswered);
				await cli.output.list(
					items,
					[
						{ header: "NAME", value: (vm) => vm.name },
						{ header: "NODE", value: (vm) => nodeName(vm.nodeId) },
						{ header: "STATE", value: (vm) => vm.powerState, state: true },
						{ header: "CPUS", value: (vm) => vm.vcpus, right: true },
						{ header: "MEMORY", value: (vm) => bytes(vm.memoryBytes), right: true },
						{
							header: "ADOPTABLE",
							value: ({ obstacles }) => (obstacles.length === 0 ? "yes" : `no: ${obstacles.join("; ")}`),
						},
						{ header: "UUID", value: (vm) => vm.id },
					],
					(vm) => vm.id,
				);
			},
		}),
		verb({
			name: "adopt",
			summary: "Make such a VM one of the cluster",
			examples: ["limiquantix foreign-vm adopt old-web"],
			arguments: { "<vm>": "name or libvirt UUID" },
			options: waitOptions,
			async run(cli, { vm }, wait) {
				const { items, unanswered } = (await cli.call("foreignVmList")).body;
				const byId = libvirtUuid.test(vm) ? vm.toLowerCase() : null;
				const found = items.filter(({ id, name }) => (byId === null ? name === vm : id.toLowerCase() === byId));
				// It may be on one of those.
				if (found.length === 0) await warnOfUnanswered(cli, unanswered);
				const { id, nodeId } = theOne(found, "foreign VM", vm);
				await finishTask(cli, (await cli.call("foreignVmAdopt", { path: { id }, query: { nodeId } })).body, wait);
			},
		}),
	],
};
