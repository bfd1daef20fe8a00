/** `volume snapshots`: what keeps a volume from being deleted when no VM has it. */
import { relativeTime } from "../format.ts";
import { namesById, resolveId } from "../names.ts";
import { type Verb, verb } from "../verb.ts";
import { volumeArgument } from "./volume-work.ts";

export const volumeSnapshotsVerb: Verb = verb({
	name: "snapshots",
	summary: "List the snapshots that hold a volume",
	description:
		"Of whichever VM: one keeps those of a disk that was detached from it. While there are some, the volume cannot be deleted.",
	examples: ["limiquantix volume snapshots data"],
	arguments: volumeArgument,
	async run(cli, { volume }) {
		const path = { id: await resolveId(cli, "volume", volume) };
		const { items } = (await cli.call("volumeSnapshotList", { path, query: { limit: 1000 } })).body;
		const vmName = await namesById(cli, "vm");
		const now = cli.io.clock.nowMs();
		await cli.output.list(
			items,
			[
				{ header: "NAME", value: ({ name }) => name },
				{ header: "VM", value: ({ vmId }) => vmName(vmId) },
				{ header: "PHASE", value: ({ phase }) => phase, state: true },
				{ header: "CREATED", value: ({ createdAt }) => relativeTime(createdAt, now) },
				{ header: "ID", value: ({ id }) => id },
			],
			({ id }) => id,
		);
	},
});
