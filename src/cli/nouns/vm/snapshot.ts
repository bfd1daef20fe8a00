/** `limiquantix vm snapshot`: what the disks of a VM held at one moment. */
import type { Snapshot } from "../../../gen/api.ts";
import type { Cli } from "../../cli.ts";
import { usageError } from "../../failure.ts";
import { bytes, fullTime, relativeTime } from "../../format.ts";
import { namesById, resolveId, theOne } from "../../names.ts";
import { text } from "../../options.ts";
import type { Field } from "../../output.ts";
import { given } from "../../pages.ts";
import { confirm } from "../../prompt.ts";
import { finishObject, finishTask, waitOptions } from "../../tasks.ts";
import { type Verb, verb } from "../../verb.ts";
import { yes } from "../common-options.ts";
import { vmArgument } from "./show.ts";

const snapshotArgument = { ...vmArgument, "<snapshot>": "name or id of the snapshot" } as const;
const description = text("--description <text>", "what it is for");

export const snapshotVerbs: readonly Verb[] = [
	verb({
		name: "snapshot list",
		summary: "List the snapshots of a VM as a tree",
		description:
			"Each stands below the one that the VM was at when it was taken. The VM is at the one marked with a star.",
		examples: ["limiquantix vm snapshot list web"],
		arguments: vmArgument,
		async run(cli, { vm }) {
			const found = await snapshotsOf(cli, await resolveId(cli, "vm", vm));
			const now = cli.io.clock.nowMs();
			const tree = treeOf(found);
			await cli.output.list(
				tree.map(({ snapshot }) => snapshot),
				[
					{ header: "NAME", value: ({ id, name }) => `${tree.find((one) => one.snapshot.id === id)?.branch}${name}` },
					{ header: "AT", value: ({ current }) => (current ? "*" : "") },
					{ header: "PHASE", value: ({ phase }) => phase, state: true },
					{ header: "VM WAS", value: ({ powerState }) => powerState },
					{ header: "CONSISTENT", value: ({ consistency }) => consistency },
					{ header: "DISKS", value: ({ disks }) => disks.length, right: true },
					{ header: "CREATED", value: ({ createdAt }) => relativeTime(createdAt, now) },
					{ header: "ID", value: ({ id }) => id },
				],
				({ id }) => id,
			);
		},
	}),
	verb({
		name: "snapshot create",
		summary: "Take a snapshot of a VM",
		description:
			"Keeps what all its disks hold at one moment, with its UEFI variables and its TPM. A VM that runs halts for a moment and goes on; its memory is not kept, so to the guest it is as after a power cut.",
		examples: ["limiquantix vm snapshot create web before-upgrade"],
		arguments: { ...vmArgument, "<name>": "name of the snapshot" },
		options: { description, ...waitOptions },
		async run(cli, { vm, name }, { description: said, ...wait }) {
			const id = await resolveId(cli, "vm", vm);
			const body = { name, ...given({ description: said }) };
			const result = await cli.call("snapshotCreate", { path: { id }, body });
			await showOne(cli, await finishObject(cli, result, wait, () => get(cli, result.body.id)));
		},
	}),
	verb({
		name: "snapshot show",
		summary: "Show a snapshot",
		examples: ["limiquantix vm snapshot show web before-upgrade"],
		arguments: snapshotArgument,
		async run(cli, { vm, snapshot }) {
			await showOne(cli, (await get(cli, await snapshotId(cli, vm, snapshot))).body);
		},
	}),
	verb({
		name: "snapshot edit",
		summary: "Rename or describe a snapshot",
		examples: ["limiquantix vm snapshot edit web before-upgrade --name with-php-8"],
		arguments: snapshotArgument,
		options: { name: text("--name <name>", "the new name"), description },
		async run(cli, { vm, snapshot }, { name, description: said }) {
			const body = given({ name, description: said });
			if (Object.keys(body).length === 0) throw usageError("Nothing is to be changed: give --name or --description.");
			const id = await snapshotId(cli, vm, snapshot);
			await showOne(cli, (await cli.call("snapshotUpdate", { path: { id }, body })).body);
		},
	}),
	verb({
		name: "snapshot revert",
		summary: "Set a VM back to a snapshot",
		description: "The VM is off. What was written since the last snapshot is lost; all snapshots stay.",
		examples: ["limiquantix vm snapshot revert web before-upgrade --yes"],
		arguments: snapshotArgument,
		options: { yes, ...waitOptions },
		async run(cli, { vm, snapshot }, { yes: sure, ...wait }) {
			const id = await snapshotId(cli, vm, snapshot);
			await confirm(
				cli,
				`Set the VM ${vm} back to the snapshot ${snapshot}? What was written since its last snapshot is lost.`,
				sure,
			);
			await finishTask(cli, (await cli.call("snapshotRevert", { path: { id } })).body, wait);
		},
	}),
	verb({
		name: "snapshot delete",
		summary: "Delete a snapshot",
		description:
			"The VM stays as it is, and so do its other snapshots. It may run, unless a disk of it is in an iscsi-lvm pool; in pools of files it halts for a moment.",
		examples: ["limiquantix vm snapshot delete web before-upgrade --yes"],
		arguments: snapshotArgument,
		options: { yes, ...waitOptions },
		async run(cli, { vm, snapshot }, { yes: sure, ...wait }) {
			const id = await snapshotId(cli, vm, snapshot);
			await confirm(cli, `Delete the snapshot ${snapshot} of the VM ${vm}?`, sure);
			await finishTask(cli, (await cli.call("snapshotDelete", { path: { id } })).body, wait);
		},
	}),
];

const get = (cli: Cli, id: string) => cli.call("snapshotGet", { path: { id } });

/** A VM has far fewer than fit on a page. */
const snapshotsOf = async (cli: Cli, id: string): Promise<Snapshot[]> =>
	(await cli.call("snapshotList", { path: { id }, query: { limit: 1000 } })).body.items;

/** Names are unique in their VM only. */
async function snapshotId(cli: Cli, vm: string, nameOrId: string): Promise<string> {
	const all = await snapshotsOf(cli, await resolveId(cli, "vm", vm));
	return theOne(
		all.filter(({ id, name }) => name === nameOrId || id === nameOrId),
		"snapshot",
		nameOrId,
	).id;
}

/** Each behind the one that it was taken after, siblings in the order of their making; `branch` is drawn before its name. */
function treeOf(snapshots: readonly Snapshot[]): { snapshot: Snapshot; branch: string }[] {
	const known = new Set(snapshots.map(({ id }) => id));
	const parentOf = ({ parentId }: Snapshot) => (parentId !== null && known.has(parentId) ? parentId : null);
	const below = (parentId: string | null, before: string): { snapshot: Snapshot; branch: string }[] => {
		const siblings = snapshots.filter((one) => parentOf(one) === parentId);
		return siblings.flatMap((snapshot, at) => {
			const isLast = at === siblings.length - 1;
			const branch = parentId === null ? "" : `${before}${isLast ? "└─ " : "├─ "}`;
			const inside = parentId === null ? "" : `${before}${isLast ? "   " : "│  "}`;
			return [{ snapshot, branch }, ...below(snapshot.id, inside)];
		});
	};
	return below(null, "");
}

async function showOne(cli: Cli, snapshot: Snapshot): Promise<void> {
	const [vmName, volumeName] = [await namesById(cli, "vm"), await namesById(cli, "volume")];
	const now = cli.io.clock.nowMs();
	const fields: Field[] = [
		["id", snapshot.id],
		["name", snapshot.name],
		["description", snapshot.description],
		["VM", vmName(snapshot.vmId)],
		["taken after", snapshot.parentId],
		["the VM is at it", snapshot.current],
		["phase", snapshot.phase],
		["the VM was", snapshot.powerState],
		["consistent", snapshot.consistency],
		...snapshot.disks.map(
			({ diskId, volumeId, sizeBytes }): Field => ["disk", `${diskId} ${volumeName(volumeId)} ${bytes(sizeBytes)}`],
		),
		["created", fullTime(snapshot.createdAt, now)],
		["error", snapshot.error === null ? null : `${snapshot.error.message} (${snapshot.error.code})`],
	];
	await cli.output.object(snapshot, fields, snapshot.id);
}
