/** `pool orphans`: what is in a pool and in no record, and records without content. */
import type { Cli } from "../../cli.ts";
import { usageError } from "../../failure.ts";
import { bytes } from "../../format.ts";
import { namesById, resolveId } from "../../names.ts";
import { choice, text } from "../../options.ts";
import { given } from "../../pages.ts";
import { confirm } from "../../prompt.ts";
import { finishObject, finishTask, waitOptions } from "../../tasks.ts";
import { warnOfUnanswered } from "../../unanswered.ts";
import { type Verb, verb } from "../../verb.ts";
import { yes } from "../common-options.ts";
import { poolArgument } from "./show.ts";

const node = text("--node <node>", "whose part of the pool, when each node has its own");

const snapshots = choice(
	"--snapshots <what>",
	["delete", "keep"],
	"what becomes of snapshots of it that are in no record",
);

async function placeOf(cli: Cli, pool: string, nodeName: string | undefined) {
	const id = await resolveId(cli, "pool", pool);
	const nodeId = nodeName === undefined ? undefined : await resolveId(cli, "node", nodeName);
	return { path: { id }, query: given({ nodeId }) };
}

export const poolOrphanVerbs: readonly Verb[] = [
	verb({
		name: "orphans list",
		summary: "What is in a storage pool and in no record, and records without content",
		description:
			"What is being made, moved or deleted is not among it. Volumes and images that have a record and no content are deleted like any other: `volume delete`, `image delete`.",
		examples: ["limiquantix pool orphans list local"],
		arguments: poolArgument,
		options: { node },
		async run(cli, { pool }, { node: nodeName }) {
			const { items, unanswered } = (await cli.call("poolOrphanList", await placeOf(cli, pool, nodeName))).body;
			const nameOf = await namesById(cli, "node");
			await warnOfUnanswered(cli, unanswered);
			await cli.output.list(
				items,
				[
					{ header: "KIND", value: (one) => one.kind },
					{ header: "FOUND", value: (one) => (one.found === "no-record" ? "no record" : "no content") },
					{ header: "NAME", value: (one) => one.name },
					{ header: "SIZE", value: (one) => bytes(one.sizeBytes), right: true },
					{ header: "ALLOCATED", value: (one) => bytes(one.allocatedBytes), right: true },
					{ header: "FORMAT", value: (one) => one.format },
					{ header: "SNAPSHOTS", value: (one) => one.snapshots ?? null, right: true },
					{ header: "NODE", value: (one) => nameOf(one.nodeId) },
					{ header: "REASON", value: (one) => one.reason },
					{ header: "ID", value: (one) => one.id },
				],
				(one) => one.id,
			);
		},
	}),
	verb({
		name: "orphans delete",
		summary: "Delete content of a storage pool that is in no record",
		description:
			"One after the other, only what is in no record when its turn comes. What was kept is said, with the reason. To call it off, cancel the task.",
		examples: ["limiquantix pool orphans delete local 0198c0de-0000-7000-8000-000000000001 --yes"],
		arguments: { ...poolArgument, "<id...>": "ids of volumes and images, as `pool orphans list` has them" },
		options: { node, yes, ...waitOptions },
		async run(cli, { pool, id: ids }, { node: nodeName, yes: sure, ...wait }) {
			const place = await placeOf(cli, pool, nodeName);
			const { items } = (await cli.call("poolOrphanList", place)).body;
			const known = items.filter(({ found }) => found === "no-record");
			const unknown = ids.find((id) => !known.some((one) => one.id === id));
			if (unknown !== undefined) throw usageError(`${unknown} is no orphan of this storage pool.`);
			await confirm(cli, `Delete ${ids.length === 1 ? "this" : `these ${ids.length}`} for good?`, sure);
			const chosen = (kind: "volume" | "image") =>
				known.filter((one) => one.kind === kind && ids.includes(one.id)).map(({ id }) => id);
			const body = { volumeIds: chosen("volume"), imageIds: chosen("image") };
			const task = (await cli.call("poolOrphanDelete", { ...place, body })).body;
			const { message } = await finishTask(cli, task, wait);
			if (wait.wait && cli.output.forPeople && message !== null) await cli.output.say(message);
		},
	}),
	verb({
		name: "orphans adopt",
		summary: "Make a volume of content that is in no record",
		description:
			"Snapshots of it that are in no record have to be deleted or kept. Kept, nobody can go back to them or delete them, and the volume does not move to another pool. The volume is ready when they are gone; if one cannot be deleted, or the task is canceled, the volume's record goes and what lies in the pool stays.",
		examples: ["limiquantix pool orphans adopt local 0198c0de-0000-7000-8000-000000000001 rescued"],
		arguments: {
			...poolArgument,
			"<id>": "id of the volume, as `pool orphans list` has it",
			"<name>": "its name from now on",
		},
		options: { node, snapshots, ...waitOptions },
		async run(cli, { pool, id: volumeId, name }, { node: nodeName, snapshots: fate, ...wait }) {
			const place = await placeOf(cli, pool, nodeName);
			const result = await cli.call("poolOrphanAdopt", {
				...place,
				body: { volumeId, name, ...given({ snapshots: fate }) },
			});
			const get = () => cli.call("volumeGet", { path: { id: result.body.id } });
			const volume = await finishObject(cli, result, wait, get);
			await cli.output.object(
				volume,
				[
					["name", volume.name],
					["id", volume.id],
					["size", bytes(volume.sizeBytes)],
					["phase", volume.phase],
				],
				volume.id,
			);
		},
	}),
];
