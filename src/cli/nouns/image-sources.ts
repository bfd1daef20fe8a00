/** How images come in: from a file of this machine, from a URL, from a file on the node, from a volume, from an image of another pool. */
import { basename } from "node:path";
import type { Image, ImageCreate } from "../../gen/api.ts";
import { AppError } from "../../lib/errors.ts";
import { namePattern } from "../../model/schema.ts";
import type { Cli } from "../cli.ts";
import { usageError } from "../failure.ts";
import { resolveId } from "../names.ts";
import { choice, flag, off, parsed, text } from "../options.ts";
import { allPages, given } from "../pages.ts";
import { awaitTask, finishObject, mustHaveSucceeded, taskIdOf, type WaitOptions, waitOptions } from "../tasks.ts";
import { formatByContent, sendParts, sha256OfFile, type UploadFile, type UploadFormat, uploadFile } from "../upload.ts";
import { type Verb, verb } from "../verb.ts";
import { description, tags } from "./common-options.ts";

const formats = ["qcow2", "raw", "iso"] as const;
type Show = (cli: Cli, image: Image) => Promise<void>;

const sha256 = parsed("--sha256 <digits>", "checksum that the file must have", (given) => {
	if (!/^[0-9a-fA-F]{64}$/.test(given)) throw new AppError("invalid", "64 hexadecimal digits are expected.");
	return given.toLowerCase();
});
const commonOptions = {
	format: choice("--format <format>", formats, "what the file is (default: what it says, or how its name ends)"),
	pool: text("--pool <pool>", "storage pool"),
	node: text("--node <node>", "node that it lies on, and that fetches it (default: the one asked)"),
	sha256,
	description,
	tag: tags,
} as const;

export const uploadVerb = (show: Show): Verb =>
	verb({
		name: "upload",
		summary: "Upload a file of this machine as an image",
		description:
			"The checksum is made first, and compared by the node at the end. When the upload is interrupted, the same command goes on where it stopped.",
		examples: [
			"limiquantix image upload debian-13-generic-amd64.qcow2",
			"limiquantix image upload disk.img --name legacy --format raw --pool fast",
		],
		arguments: { "<file>": "the file" },
		options: {
			name: text("--name <name>", "name of the image (default: the file's, without its ending)"),
			...commonOptions,
			checksum: off("--no-checksum", "do not make a checksum of the file first"),
			resume: flag("--resume", "go on with an upload of this name whose checksum is not known"),
			...waitOptions,
		},
		async run(cli, { file: path }, options) {
			const file = await uploadFile(path);
			const name = options.name ?? nameFrom(path);
			const format = options.format ?? (await formatByContent(path)) ?? formatFromName(path);
			const digest = options.checksum ? await sha256OfFile(cli, file) : options.sha256;
			if (options.sha256 !== undefined && digest !== options.sha256)
				throw new AppError("invalid", `${path} has another checksum than the one expected: ${digest}.`);
			const poolId = options.pool === undefined ? undefined : await resolveId(cli, "pool", options.pool);
			const nodeId = options.node === undefined ? undefined : await resolveId(cli, "node", options.node);
			const image =
				(await unfinished(cli, name, file, digest, options.resume)) ??
				(await create(cli, {
					name,
					format,
					source: { kind: "upload" },
					fileSizeBytes: file.sizeBytes,
					...given({ poolId, nodeId, sha256: digest, description: options.description, tags: options.tag }),
				}));
			await sendParts(cli, image.id, file, name);
			await finishUpload(cli, image, options, show);
		},
	});

async function create(cli: Cli, body: ImageCreate): Promise<Image> {
	return (await cli.call("imageCreate", { body })).body;
}

/** An upload of this very file that stopped; null when there is none. */
async function unfinished(
	cli: Cli,
	name: string,
	file: UploadFile,
	digest: string | undefined,
	resume: boolean,
): Promise<Image | null> {
	const images = await allPages(cli, "imageList", { search: name.slice(0, 128), phase: ["uploading"] });
	const found = images.find(
		(image) =>
			image.name === name &&
			image.source.kind === "upload" &&
			image.fileSizeBytes === file.sizeBytes &&
			(resume || (digest !== undefined && image.expectedSha256 === digest)),
	);
	if (!found) return null;
	await cli.note(`Going on with the upload of ${name}.`);
	return found;
}

async function finishUpload(cli: Cli, image: Image, options: WaitOptions, show: Show): Promise<void> {
	const again = () => cli.call("imageGet", { path: { id: image.id } });
	if (!options.wait) return show(cli, (await again()).body);
	const [task] = (await cli.call("taskList", { query: { targetId: [image.id], kind: ["image.import"], limit: 1 } }))
		.body.items;
	if (task) mustHaveSucceeded(await awaitTask(cli, task.id, options.timeout));
	await show(cli, (await again()).body);
}

export const importVerb = (show: Show): Verb =>
	verb({
		name: "import",
		summary: "Let the node fetch an image",
		description: "From a URL, from a file on the node (administrators only), or from a volume.",
		examples: [
			"limiquantix image import debian-13 --url https://cloud.debian.org/images/cloud/trixie/latest/debian-13-generic-amd64.qcow2",
			"limiquantix image import install --path /srv/iso/debian-13-netinst.iso --node node2",
			"limiquantix image import golden --volume web-root",
		],
		arguments: { "<name>": "name of the image" },
		options: {
			url: text("--url <url>", "where the node downloads it from"),
			path: text("--path <file>", "file on the node"),
			volume: text("--volume <volume>", "volume that is copied"),
			...commonOptions,
			...waitOptions,
		},
		async run(cli, { name }, { url, path, volume, format, pool, node, sha256: digest, ...options }) {
			const { description: about, tag, ...wait } = options;
			const source = await importSource(cli, { url, path, volume });
			const poolId = pool === undefined ? undefined : await resolveId(cli, "pool", pool);
			const nodeId = node === undefined ? undefined : await resolveId(cli, "node", node);
			const guessed = source.kind === "volume" ? "qcow2" : formatFromName(url ?? path ?? "");
			const result = await cli.call("imageCreate", {
				body: {
					name,
					source,
					format: format ?? guessed,
					...given({ poolId, nodeId, sha256: digest, description: about, tags: tag }),
				},
			});
			if (wait.wait && cli.output.forPeople)
				await cli.note(`Importing ${name} (task ${taskIdOf(result.taskLocation)})`);
			const { id } = result.body;
			await show(cli, await finishObject(cli, result, wait, () => cli.call("imageGet", { path: { id } })));
		},
	});

export const copyVerb = (show: Show): Verb =>
	verb({
		name: "copy",
		summary: "Copy an image to another storage pool",
		description:
			"The copy is an image of its own, held against the checksum of what it is made of. To call it off, cancel the task. The image that is copied cannot be deleted meanwhile.",
		examples: ["limiquantix image copy debian-13 debian-13-fast --pool fast"],
		arguments: { "<image>": "name or id of the image", "<name>": "name of the copy" },
		options: {
			pool: text("--pool <pool>", "storage pool that the copy is in"),
			node: text("--node <node>", "node that makes it (default: one that reaches both pools)"),
			description,
			tag: tags,
			...waitOptions,
		},
		async run(cli, { image, name }, { pool, node, description: about, tag, ...wait }) {
			if (pool === undefined) throw usageError("--pool is missing.");
			const source = { kind: "image" as const, imageId: await resolveId(cli, "image", image) };
			const poolId = await resolveId(cli, "pool", pool);
			const nodeId = node === undefined ? undefined : await resolveId(cli, "node", node);
			const described = given({ nodeId, description: about, tags: tag.length > 0 ? tag : undefined });
			const result = await cli.call("imageCreate", { body: { name, source, poolId, ...described } });
			if (wait.wait && cli.output.forPeople) await cli.note(`Copying ${image} (task ${taskIdOf(result.taskLocation)})`);
			const { id } = result.body;
			await show(cli, await finishObject(cli, result, wait, () => cli.call("imageGet", { path: { id } })));
		},
	});

async function importSource(
	cli: Cli,
	{ url, path, volume }: { url?: string | undefined; path?: string | undefined; volume?: string | undefined },
): Promise<ImageCreate["source"]> {
	if ([url, path, volume].filter((one) => one !== undefined).length !== 1)
		throw usageError("Give one of --url, --path and --volume.");
	if (url !== undefined) return { kind: "url", url };
	if (path !== undefined) return { kind: "path", path };
	return { kind: "volume", volumeId: await resolveId(cli, "volume", volume ?? "") };
}

/** "/srv/debian-13.qcow2" → "debian-13"; fails when nothing of it can be a name. */
function nameFrom(path: string): string {
	const stem = basename(path).replace(/\.(qcow2|raw|img|iso)$/i, "");
	if (new RegExp(namePattern).test(stem)) return stem;
	throw usageError(`"${stem}" cannot be the name of an image. Give another with --name.`);
}

const endings: Record<string, UploadFormat> = { qcow2: "qcow2", raw: "raw", img: "raw", iso: "iso" };

function formatFromName(path: string): UploadFormat {
	const ending = /\.([a-z0-9]+)(?:[?#].*)?$/i.exec(path)?.[1]?.toLowerCase() ?? "";
	const format = endings[ending];
	if (format === undefined) throw usageError(`What ${basename(path)} is cannot be seen. Give --format.`);
	return format;
}
