/** `limiquantix volume`: the disks of VMs. */
import type { Volume } from "../../gen/api.ts";
import { parseBytes } from "../../lib/units.ts";
import { isCopiedWhole } from "../../model/storage-rules.ts";
import type { Cli } from "../cli.ts";
import { download, safeFileName } from "../download.ts";
import { usageError } from "../failure.ts";
import { bytes, fullTime, relativeTime } from "../format.ts";
import { namesById, resolveId } from "../names.ts";
import { choice, choices, flag, onOff, size, text } from "../options.ts";
import type { Column, Field } from "../output.ts";
import { allPages, given, listOptions } from "../pages.ts";
import { confirm } from "../prompt.ts";
import { finishObject, finishTask, waitOptions } from "../tasks.ts";
import { type Noun, verb } from "../verb.ts";
import { yes } from "./common-options.ts";
import { volumeSnapshotsVerb } from "./volume-snapshots.ts";
import { volumeArgument, volumeWorkVerbs } from "./volume-work.ts";

const formats = ["qcow2", "raw"] as const;
const provisioning = choice(
	"--provisioning <kind>",
	["thin", "thick"] as const,
	"thick: all of its space is set aside now (default: as the pool makes its volumes)",
);
const phases = ["pending", "creating", "ready", "resizing", "deleting", "error"] as const;

export const volumeNoun: Noun = {
	name: "volume",
	summary: "the disks of VMs",
	verbs: [
		verb({
			name: "list",
			summary: "List volumes",
			examples: ["limiquantix volume list", "limiquantix volume list --pool fast --sort -sizeBytes"],
			options: {
				pool: text("--pool <pool>", "only those in this storage pool"),
				vm: text("--vm <vm>", "only those of this VM"),
				phase: choices("--phase <phase>", phases, "only these"),
				...listOptions(["name", "createdAt", "sizeBytes"]),
			},
			async run(cli, _, { pool, vm, phase, limit, search, sort }) {
				const poolId = pool === undefined ? undefined : [await resolveId(cli, "pool", pool)];
				const vmId = vm === undefined ? undefined : [await resolveId(cli, "vm", vm)];
				const volumes = await allPages(cli, "volumeList", given({ poolId, vmId, phase, search, sort }), limit);
				await cli.output.list(volumes, await columns(cli), (volume) => volume.id);
			},
		}),
		verb({
			name: "create",
			summary: "Create a volume",
			description:
				"Empty, or a copy of an image, or of a disk in a snapshot. A volume made from an image is as large as the image, unless --size says more. Blocks are copied as they are written, unless --full-copy is given, or the pool, the format or --provisioning allow nothing but a full copy; in another pool than the image's it always is one.",
			examples: [
				"limiquantix volume create data --size 100GiB",
				"limiquantix volume create web-root --image debian-13 --size 20GiB",
				"limiquantix volume create database --size 200GiB --provisioning thick",
			],
			arguments: { "<name>": "name of the volume" },
			options: {
				size: size("--size <size>", "what the guest sees, for example 20GiB"),
				image: text("--image <image>", "copy this image"),
				snapshot: text("--snapshot <id>", "copy a disk as it was in this snapshot of a VM"),
				disk: text("--disk <volume>", "which disk of the snapshot, if it has several"),
				fullCopy: onOff("--full-copy", "copy all of it now", "copy blocks as they are written"),
				pool: text("--pool <pool>", "storage pool (default: that of the source, or the first)"),
				node: text("--node <node>", "node that holds it, in a pool that is not shared"),
				format: choice("--format <format>", formats, "file format (default qcow2)"),
				provisioning,
				...waitOptions,
			},
			async run(cli, { name }, options) {
				const { size: sizeBytes, image, snapshot, disk, fullCopy, pool, node, format, provisioning, ...wait } = options;
				if (image !== undefined && snapshot !== undefined)
					throw usageError("--image and --snapshot exclude each other.");
				const isCopy = image !== undefined || snapshot !== undefined;
				if (!isCopy && sizeBytes === undefined) throw usageError("--size is missing.");
				if (!isCopy && fullCopy !== undefined)
					throw usageError("--full-copy goes together with --image or --snapshot.");
				if (disk !== undefined && snapshot === undefined) throw usageError("--disk goes together with --snapshot.");
				const poolId = pool === undefined ? undefined : await resolveId(cli, "pool", pool);
				const nodeId = node === undefined ? undefined : await resolveId(cli, "node", node);
				const source =
					snapshot === undefined
						? await imageSource(cli, image, fullCopy, { poolId, nodeId, format, provisioning })
						: await snapshotSource(cli, snapshot, disk, fullCopy);
				const body = { name, ...given({ sizeBytes, poolId, nodeId, format, provisioning, source }) };
				const result = await cli.call("volumeCreate", { body });
				await showOne(cli, await finishObject(cli, result, wait, () => get(cli, result.body.id)));
			},
		}),
		verb({
			name: "show",
			summary: "Show a volume",
			examples: ["limiquantix volume show data"],
			arguments: volumeArgument,
			async run(cli, { volume }) {
				await showOne(cli, (await get(cli, await resolveId(cli, "volume", volume))).body);
			},
		}),
		volumeSnapshotsVerb,
		verb({
			name: "rename",
			summary: "Give a volume another name",
			examples: ["limiquantix volume rename data old-data"],
			arguments: { ...volumeArgument, "<name>": "the new name" },
			async run(cli, { volume, name }) {
				const id = await resolveId(cli, "volume", volume);
				await showOne(cli, (await cli.call("volumeUpdate", { path: { id }, body: { name } })).body);
			},
		}),
		verb({
			name: "resize",
			summary: "Enlarge a volume",
			description: "Volumes only grow. The guest enlarges its partitions and file systems itself.",
			examples: ["limiquantix volume resize data 200GiB"],
			arguments: { ...volumeArgument, "<size>": "the new size, for example 200GiB" },
			options: waitOptions,
			async run(cli, { volume, size: wanted }, wait) {
				const sizeBytes = sizeArgument(wanted);
				const id = await resolveId(cli, "volume", volume);
				await finishTask(cli, (await cli.call("volumeResize", { path: { id }, body: { sizeBytes } })).body, wait);
			},
		}),
		verb({
			name: "clone",
			summary: "Copy a volume",
			description:
				"Blocks are copied as they are written, unless --full-copy is given, or --provisioning thick in a pool that has thin volumes as well, or the copy is in another pool.",
			examples: [
				"limiquantix volume clone data data-copy",
				"limiquantix volume clone data backup --full-copy --pool slow",
			],
			arguments: { ...volumeArgument, "<name>": "name of the copy" },
			options: {
				fullCopy: onOff("--full-copy", "copy everything now", "copy blocks as they are written"),
				pool: text("--pool <pool>", "storage pool of the copy (default: the same)"),
				provisioning,
				...waitOptions,
			},
			async run(cli, { volume, name }, { fullCopy, pool, provisioning, ...wait }) {
				const id = await resolveId(cli, "volume", volume);
				const poolId = pool === undefined ? undefined : await resolveId(cli, "pool", pool);
				const body = { name, ...given({ fullCopy, poolId, provisioning }) };
				const result = await cli.call("volumeClone", { path: { id }, body });
				await showOne(cli, await finishObject(cli, result, wait, () => get(cli, result.body.id)));
			},
		}),
		...volumeWorkVerbs,
		verb({
			name: "delete",
			summary: "Delete a volume and what is on it",
			description: "Refused while it is attached to a VM, is a part of snapshots, or has copies that share its data.",
			examples: ["limiquantix volume delete old-data --yes"],
			arguments: volumeArgument,
			options: { yes, ...waitOptions },
			async run(cli, { volume }, { yes: sure, ...wait }) {
				const id = await resolveId(cli, "volume", volume);
				await confirm(cli, `Delete the volume ${volume} and what is on it?`, sure);
				await finishTask(cli, (await cli.call("volumeDelete", { path: { id } })).body, wait);
			},
		}),
		verb({
			name: "download",
			summary: "Download a volume as a disk image",
			description: "Only while no VM is using it. Empty parts of the disk take no space in the file.",
			examples: [
				"limiquantix volume download data",
				"limiquantix volume download data /backup/data.img --format raw",
				"limiquantix volume download data - | zstd > data.qcow2.zst",
			],
			arguments: { ...volumeArgument, "[file]": "where to (default: its name, in this folder); - is standard output" },
			options: {
				format: choice("--format <format>", formats, "format of the file (default qcow2)"),
				force: flag("--force", "replace the file when it is there"),
			},
			async run(cli, { volume, file }, { format = "qcow2", force }) {
				const id = await resolveId(cli, "volume", volume);
				const { name } = (await get(cli, id)).body;
				const path = file ?? safeFileName(`${name}.${format}`);
				const received = await download(cli, { title: `download of ${name}`, path, force }, (signal) =>
					cli.call("volumeContentGet", { path: { id }, query: { format }, signal, timeoutMs: null }),
				);
				if (path !== "-") await cli.output.say(`${path}: ${bytes(received)}`);
			},
		}),
	],
};

type WantedCopy = {
	poolId: string | undefined;
	nodeId: string | undefined;
	format: Volume["format"] | undefined;
	provisioning: Volume["provisioning"] | undefined;
};

/** The API wants to be told how a copy of an image is made; it decides the same of other copies, by the same rule. */
async function imageSource(cli: Cli, image: string | undefined, fullCopy: boolean | undefined, wanted: WantedCopy) {
	if (image === undefined) return undefined;
	const imageId = await resolveId(cli, "image", image);
	return { kind: "image" as const, imageId, fullCopy: fullCopy ?? (await isWholeCopy(cli, imageId, wanted)) };
}

async function isWholeCopy(cli: Cli, imageId: string, { poolId, nodeId, format, provisioning }: WantedCopy) {
	const { body: image } = await cli.call("imageGet", { path: { id: imageId } });
	const { body: pool } = await cli.call("poolGet", { path: { id: poolId ?? image.poolId } });
	const elsewhere = pool.id !== image.poolId;
	return isCopiedWhole(pool, { elsewhere, format, provisioning, ...given({ nodeId }) });
}

async function snapshotSource(cli: Cli, snapshotId: string, disk: string | undefined, fullCopy: boolean | undefined) {
	const volumeId = disk === undefined ? undefined : await resolveId(cli, "volume", disk);
	return { kind: "snapshot" as const, snapshotId, ...given({ volumeId, fullCopy }) };
}

const get = (cli: Cli, id: string) => cli.call("volumeGet", { path: { id } });

function sizeArgument(wanted: string): number {
	try {
		return parseBytes(wanted);
	} catch (error) {
		throw usageError(error instanceof Error ? error.message : String(error));
	}
}

async function columns(cli: Cli): Promise<Column<Volume>[]> {
	const [poolName, vmName] = [await namesById(cli, "pool"), await namesById(cli, "vm")];
	return [
		{ header: "NAME", value: (volume) => volume.name },
		{ header: "SIZE", value: (volume) => bytes(volume.sizeBytes), right: true },
		{ header: "ALLOCATED", value: (volume) => bytes(volume.allocatedBytes), right: true },
		{ header: "FORMAT", value: (volume) => volume.format },
		{ header: "PHASE", value: (volume) => volume.phase, state: true },
		{ header: "POOL", value: (volume) => poolName(volume.poolId) },
		{ header: "VM", value: (volume) => vmName(volume.vmId) },
		{ header: "CREATED", value: (volume) => relativeTime(volume.createdAt, cli.io.clock.nowMs()) },
		{ header: "ID", value: (volume) => volume.id },
	];
}

function sourceText({ source }: Volume): string {
	switch (source.kind) {
		case "empty":
			return "empty";
		case "image":
			return `image ${source.imageId}${source.fullCopy ? " (full copy)" : ""}`;
		case "clone":
			return `volume ${source.volumeId}${source.fullCopy ? " (full copy)" : ""}`;
		case "snapshot":
			return `snapshot ${source.snapshotId}`;
	}
}

async function showOne(cli: Cli, volume: Volume): Promise<void> {
	const [poolName, nodeName, vmName] = [
		await namesById(cli, "pool"),
		await namesById(cli, "node"),
		await namesById(cli, "vm"),
	];
	const fields: Field[] = [
		["name", volume.name],
		["id", volume.id],
		["size", bytes(volume.sizeBytes)],
		["allocated", bytes(volume.allocatedBytes)],
		["format", volume.format],
		["provisioning", volume.provisioning],
		["phase", volume.phase],
		["error", volume.error?.message],
		["source", sourceText(volume)],
		["pool", poolName(volume.poolId)],
		["node", nodeName(volume.nodeId)],
		["VM", vmName(volume.vmId)],
		["created", fullTime(volume.createdAt, cli.io.clock.nowMs())],
	];
	await cli.output.object(volume, fields, volume.id);
}
