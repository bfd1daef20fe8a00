/** `limiquantix foreign-vm`: domains that libvirt has and we do not. */

import { bytes } from "../format.ts";
import { theOne } from "../names.ts";
import { finishTask, waitOptions } from "../tasks.ts";
import { type Noun, verb } from "../verb.ts";

const libvirtUuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export const foreignVmNoun: Noun = {
	name: "foreign-vm",
	summary: "VMs on the node that were made outside LimiQuantix",
	verbs: [
		verb({
			name: "list",
			summary: "List VMs that were made outside LimiQuantix",
			examples: ["limiquantix foreign-vm list"],
			async run(cli) {
				const { items } = (await cli.call("foreignVmList")).body;
				await cli.output.list(
					items,
					[
						{ header: "NAME", value: (vm) => vm.name },
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
				const id = libvirtUuid.test(vm) ? vm.toLowerCase() : await idOf(vm);
				await finishTask(cli, (await cli.call("foreignVmAdopt", { path: { id } })).body, wait);

				async function idOf(name: string): Promise<string> {
					const { items } = (await cli.call("foreignVmList")).body;
					return theOne(
						items.filter((one) => one.name === name),
						"foreign VM",
						name,
					).id;
				}
			},
		}),
	],
};
