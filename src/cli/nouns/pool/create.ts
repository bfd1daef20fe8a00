/** `pool create`. */
import { resolveId } from "../../names.ts";
import { choice, texts } from "../../options.ts";
import { given } from "../../pages.ts";
import { finishObject, waitOptions } from "../../tasks.ts";
import { verb } from "../../verb.ts";
import { description } from "../common-options.ts";
import { newReach } from "./reach.ts";
import { overwriteOption, poolTypes, reachOptions } from "./reach-options.ts";
import { getPool, showPool } from "./show.ts";

/** Each of its nodes is asked, and a server that hangs is given up there. */
export const probeTimeoutMs = 180_000;

export const createVerb = verb({
	name: "create",
	summary: "Create a storage pool",
	description:
		"It is tried on each of its nodes first; when it does not work on one, nothing is made. The folder of a local pool is made when it is not there. For iscsi-lvm the LUN has to be empty, or all that it holds named with --overwrite: that is destroyed.",
	examples: [
		"limiquantix pool create fast --path /srv/nvme",
		"limiquantix pool create shared --type nfs --nfs-server nas1 --export /export/vms --nfs-version 4.2",
		"limiquantix pool create rbd --type ceph-rbd --ceph-conf ceph.conf --keyring ceph.client.vms.keyring --ceph-pool vms",
		"limiquantix pool create san --type iscsi-lvm --portal 10.0.0.5 --target iqn.2026-01.net.example:disks --wwid naa.6001405a1b2c3d4e5f60718293a4b5c6 --chap-user node --chap-password-file chap.txt",
	],
	arguments: { "<name>": "name of the storage pool" },
	options: {
		type: choice("--type <type>", poolTypes, "kind of storage (default local)"),
		node: texts(
			"--node <node>",
			"node that has it (default: all; of a local or thin one, the one asked); several times",
		),
		description,
		...reachOptions,
		overwrite: overwriteOption,
		...waitOptions,
	},
	async run(cli, { name }, { type = "local", node, description: about, overwrite, wait, timeout, ...reach }) {
		const reached = await newReach(cli, type, reach);
		const nodeIds = await Promise.all(node.map((one) => resolveId(cli, "node", one)));
		const body = { name, type, ...reached, ...given({ description: about, nodeIds, overwrite }) };
		const result = await cli.call("poolCreate", { body, timeoutMs: probeTimeoutMs });
		const made = await finishObject(cli, result, { wait, timeout }, () => getPool(cli, result.body.id));
		await showPool(cli, made);
	},
});
