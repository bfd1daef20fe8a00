/** `limiquantix vm create` and `vm create-demo`. */
import type { Cli } from "../../cli.ts";
import { usageError } from "../../failure.ts";
import { resolveId } from "../../names.ts";
import { flag, list, off, text, texts } from "../../options.ts";
import { given } from "../../pages.ts";
import { finishObject, waitOptions } from "../../tasks.ts";
import { type Verb, verb } from "../../verb.ts";
import { tags } from "../common-options.ts";
import { cloudInitBody, cloudInitOptions } from "./cloud-init-options.ts";
import { attachmentOf } from "./disk-options.ts";
import {
	autostartBody,
	type DiskRequest,
	diskBody,
	diskOption,
	hardwareBody,
	hardwareOptions,
	nicBody,
	parseNic,
} from "./hardware-options.ts";
import { getVm, showVm } from "./show.ts";

const demoTimeoutMs = 120_000;
const noDisk: DiskRequest = {
	...{ sizeBytes: undefined, image: undefined, volume: undefined, pool: undefined },
	...{ format: undefined, provisioning: undefined, fullCopy: undefined },
	...attachmentOf({}),
};

export const createVerb: Verb = verb({
	name: "create",
	summary: "Create a VM, and start it",
	description:
		"Only the name is needed. The first disk is made of --image; --disk then says how large it is. Without --network it joins the first network.",
	examples: [
		"limiquantix vm create web --image debian-13 --disk 20GiB --cpus 2 --memory 2GiB --cloud-init-user anna --ssh-key @/home/anna/.ssh/id_ed25519.pub",
		"limiquantix vm create install --disk 40GiB --cdrom debian-13-netinst --firmware uefi",
		"limiquantix vm create db --image debian-13 --disk 20GiB --disk size=200GiB,pool=fast,bus=scsi --network office --no-start",
	],
	arguments: { "<name>": "name of the VM" },
	options: {
		image: text("--image <image>", "image that the first disk is made of"),
		disk: diskOption,
		fullCopy: flag("--full-copy", "copy all of the image now, instead of as blocks are written"),
		pool: text("--pool <pool>", "storage pool of new disks"),
		cdrom: texts("--cdrom <image>", "ISO image in a CD-ROM drive; several times for several drives"),
		network: list(
			"--network <network>",
			"network, also NAME,model=virtio|e1000e,mac=…; several times for several NICs",
			parseNic,
		),
		nic: off("--no-nic", "no NIC at all"),
		node: text("--node <node>", "node that it is made on"),
		tag: tags,
		...hardwareOptions,
		...cloudInitOptions,
		start: off("--no-start", "do not start it"),
		...waitOptions,
	},
	async run(cli, { name }, options) {
		const { node, cdrom, network, nic, tag, start } = options;
		if (!nic && network.length > 0) throw usageError("--network and --no-nic contradict each other.");
		const disks = await disksOf(cli, options);
		const nics = nic ? await inOrder(network, (one) => nicBody(cli, one)) : [];
		const cdroms = await inOrder(cdrom, async (one) => ({ imageId: await resolveId(cli, "image", one) }));
		const cloudInit = await cloudInitBody(cli, options);
		const autostart = autostartBody(options, { enabled: false, order: 100, delayMs: 0 });
		const result = await cli.call("vmCreate", {
			body: {
				name,
				...hardwareBody(options),
				...given({
					tags: tag,
					disks,
					cdroms,
					nics,
					cloudInit,
					autostart,
					nodeId: node === undefined ? undefined : await resolveId(cli, "node", node),
				}),
				...(nic ? {} : { nics: [] }),
				...(start ? {} : { start: false }),
			},
		});
		await showVm(cli, await finishObject(cli, result, options, () => getVm(cli, result.body.id)));
	},
});

/** --image makes the first disk; what else --disk says of it counts too. */
async function disksOf(
	cli: Cli,
	options: { image: string | undefined; disk: DiskRequest[]; fullCopy: boolean; pool: string | undefined },
) {
	const { image, fullCopy, pool } = options;
	const disks = [...options.disk];
	if (image !== undefined) {
		const first = disks[0] ?? noDisk;
		if (first.image !== undefined || first.volume !== undefined)
			throw usageError("The first --disk names what it is made of already: leave --image away.");
		disks[0] = { ...first, image, fullCopy: fullCopy || first.fullCopy ? true : undefined };
	} else if (fullCopy) throw usageError("--full-copy goes together with --image.");
	return inOrder(disks, (disk) => diskBody(cli, disk, pool));
}

/** One after the other: names are looked up by requests. */
async function inOrder<T, R>(items: readonly T[], each: (item: T) => Promise<R>): Promise<R[]> {
	const results: R[] = [];
	for (const item of items) results.push(await each(item));
	return results;
}

export const createDemoVerb: Verb = verb({
	name: "create-demo",
	summary: "Create and start the demo VM",
	description: "A small Linux that comes with the node, to look at.",
	examples: ["limiquantix vm create-demo"],
	options: waitOptions,
	async run(cli, _, wait) {
		const result = await cli.call("vmCreateDemo", { timeoutMs: demoTimeoutMs });
		await showVm(cli, await finishObject(cli, result, wait, () => getVm(cli, result.body.id)));
	},
});
