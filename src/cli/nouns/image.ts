/** `limiquantix image`: disk images and ISO files. How they come in: image-sources.ts. */
import type { Image } from "../../gen/api.ts";
import type { Cli } from "../cli.ts";
import { download, safeFileName } from "../download.ts";
import { usageError } from "../failure.ts";
import { bytes, fullTime, relativeTime } from "../format.ts";
import { namesById, resolveId } from "../names.ts";
import { choices, flag, off, text } from "../options.ts";
import type { Column, Field } from "../output.ts";
import { allPages, given, listOptions } from "../pages.ts";
import { confirm } from "../prompt.ts";
import { finishTask, waitOptions } from "../tasks.ts";
import { type Noun, verb } from "../verb.ts";
import { description, tags, yes } from "./common-options.ts";
import { copyVerb, importVerb, uploadVerb } from "./image-sources.ts";

const imageArgument = { "<image>": "name or id of the image" } as const;
const phases = ["uploading", "importing", "ready", "error", "deleting"] as const;

export const imageNoun: Noun = {
	name: "image",
	summary: "disk images and ISO files",
	verbs: [
		verb({
			name: "list",
			summary: "List images",
			examples: ["limiquantix image list", "limiquantix image list --format iso"],
			options: {
				phase: choices("--phase <phase>", phases, "only these"),
				format: choices("--format <format>", ["qcow2", "raw", "iso"], "only these"),
				pool: text("--pool <pool>", "only those in this storage pool"),
				...listOptions(["name", "createdAt"]),
			},
			async run(cli, _, { phase, format, pool, limit, search, sort }) {
				const poolId = pool === undefined ? undefined : [await resolveId(cli, "pool", pool)];
				const images = await allPages(cli, "imageList", given({ phase, format, poolId, search, sort }), limit);
				await cli.output.list(images, await columns(cli), (image) => image.id);
			},
		}),
		uploadVerb(showImage),
		importVerb(showImage),
		copyVerb(showImage),
		verb({
			name: "show",
			summary: "Show an image",
			examples: ["limiquantix image show debian-13"],
			arguments: imageArgument,
			async run(cli, { image }) {
				const id = await resolveId(cli, "image", image);
				await showImage(cli, (await cli.call("imageGet", { path: { id } })).body);
			},
		}),
		verb({
			name: "edit",
			aliases: ["set"],
			summary: "Change name, description or tags of an image",
			examples: ["limiquantix image edit debian-13 --description 'cloud image of May' --tag linux --tag cloud"],
			arguments: imageArgument,
			options: {
				name: text("--name <name>", "the new name"),
				description,
				tag: { ...tags, description: "tag, in place of all that it has; several times for several" },
				tags: off("--no-tags", "take all tags away"),
			},
			async run(cli, { image }, { name, description: about, tag, tags: keepTags }) {
				if (!keepTags && tag.length > 0) throw usageError("--tag and --no-tags contradict each other.");
				const body = { ...given({ name, description: about, tags: tag }), ...(keepTags ? {} : { tags: [] }) };
				if (Object.keys(body).length === 0) throw usageError("Nothing is to be changed.");
				const id = await resolveId(cli, "image", image);
				await showImage(cli, (await cli.call("imageUpdate", { path: { id }, body })).body);
			},
		}),
		verb({
			name: "delete",
			summary: "Delete an image",
			description: "Also ends its upload or import. Refused while volumes depend on it.",
			examples: ["limiquantix image delete debian-12 --yes"],
			arguments: imageArgument,
			options: { yes, ...waitOptions },
			async run(cli, { image }, { yes: sure, ...wait }) {
				const id = await resolveId(cli, "image", image);
				await confirm(cli, `Delete the image ${image}?`, sure);
				await finishTask(cli, (await cli.call("imageDelete", { path: { id } })).body, wait);
			},
		}),
		verb({
			name: "download",
			summary: "Download an image",
			description: "Empty parts of the disk take no space in the file.",
			examples: ["limiquantix image download debian-13", "limiquantix image download debian-13 /tmp/debian.qcow2"],
			arguments: { ...imageArgument, "[file]": "where to (default: its name, in this folder); - is standard output" },
			options: { force: flag("--force", "replace the file when it is there") },
			async run(cli, { image, file }, { force }) {
				const id = await resolveId(cli, "image", image);
				const { name, format } = (await cli.call("imageGet", { path: { id } })).body;
				const path = file ?? safeFileName(`${name}.${format}`);
				const received = await download(cli, { title: `download of ${name}`, path, force }, (signal) =>
					cli.call("imageContentGet", { path: { id }, signal, timeoutMs: null }),
				);
				if (path !== "-") await cli.output.say(`${path}: ${bytes(received)}`);
			},
		}),
	],
};

function phaseText({ phase, receivedBytes, fileSizeBytes }: Image): string {
	if (phase !== "uploading" || !fileSizeBytes) return phase;
	return `uploading (${Math.floor((receivedBytes / fileSizeBytes) * 100)} %)`;
}

async function columns(cli: Cli): Promise<Column<Image>[]> {
	const poolName = await namesById(cli, "pool");
	return [
		{ header: "NAME", value: (image) => image.name },
		{ header: "FORMAT", value: (image) => image.format },
		{ header: "FILE", value: (image) => bytes(image.fileSizeBytes), right: true },
		{ header: "DISK", value: (image) => bytes(image.virtualSizeBytes), right: true },
		{ header: "PHASE", value: phaseText, state: true },
		{ header: "POOL", value: (image) => poolName(image.poolId) },
		{ header: "TAGS", value: (image) => image.tags.join(", ") },
		{ header: "CREATED", value: (image) => relativeTime(image.createdAt, cli.io.clock.nowMs()) },
		{ header: "ID", value: (image) => image.id },
	];
}

function sourceText({ source }: Image): string {
	switch (source.kind) {
		case "upload":
			return "upload";
		case "path":
			return `file ${source.path} of the node`;
		case "url":
			return source.url;
		case "volume":
			return `volume ${source.volumeId}`;
		case "image":
			return `image ${source.imageId}`;
	}
}

async function showImage(cli: Cli, image: Image): Promise<void> {
	const poolName = await namesById(cli, "pool");
	const fields: Field[] = [
		["name", image.name],
		["id", image.id],
		["description", image.description],
		["tags", image.tags.join(", ")],
		["format", image.format],
		["file", bytes(image.fileSizeBytes)],
		["disk", bytes(image.virtualSizeBytes)],
		["phase", phaseText(image)],
		["error", image.error?.message],
		["source", sourceText(image)],
		["pool", poolName(image.poolId)],
		["sha256", image.sha256],
		["created", fullTime(image.createdAt, cli.io.clock.nowMs())],
	];
	await cli.output.object(image, fields, image.id);
}
