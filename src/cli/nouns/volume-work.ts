/** `volume move`, `volume check`, `volume flatten`: work on a volume that keeps it what it is. */
import { resolveId } from "../names.ts";
import { choice, flag, text } from "../options.ts";
import { given } from "../pages.ts";
import { finishTask, waitOptions } from "../tasks.ts";
import { type Verb, verb } from "../verb.ts";

export const volumeArgument = { "<volume>": "name or id of the volume" } as const;

export const volumeWorkVerbs: readonly Verb[] = [
	verb({
		name: "move",
		summary: "Move a volume to another storage pool",
		description:
			"Its VM may run: the disk is copied while the guest goes on. It is copied on one node, which has both pools. Until all of it has arrived the volume stays where it is; to call it off, cancel the task. Refused while copies share its data.",
		examples: ["limiquantix volume move data fast", "limiquantix volume move data fast --format raw --no-wait"],
		arguments: { ...volumeArgument, "<pool>": "name or id of the storage pool that it goes to" },
		options: {
			format: choice(
				"--format <format>",
				["qcow2", "raw"] as const,
				"format there (default: as it is, where the pool can)",
			),
			node: text("--node <node>", "node that copies it, for a volume that is on no node"),
			...waitOptions,
		},
		async run(cli, { volume, pool }, { format, node, ...wait }) {
			const id = await resolveId(cli, "volume", volume);
			const poolId = await resolveId(cli, "pool", pool);
			const nodeId = node === undefined ? undefined : await resolveId(cli, "node", node);
			const body = { poolId, ...given({ nodeId, format }) };
			await finishTask(cli, (await cli.call("volumeMove", { path: { id }, body })).body, wait);
		},
	}),
	verb({
		name: "check",
		summary: "Look for damage in a volume",
		description:
			"In the volume's own metadata, not in what the guest has written. Only while no VM is using it. The task says what was found.",
		examples: ["limiquantix volume check data", "limiquantix volume check data --repair"],
		arguments: volumeArgument,
		options: { repair: flag("--repair", "mend what can be mended without losing data"), ...waitOptions },
		async run(cli, { volume }, { repair, ...wait }) {
			const id = await resolveId(cli, "volume", volume);
			const { body } = await cli.call("volumeCheck", { path: { id }, body: { repair: repair === true } });
			const { message } = await finishTask(cli, body, wait);
			if (wait.wait && cli.output.forPeople && message !== null) await cli.output.say(message);
		},
	}),
	verb({
		name: "flatten",
		summary: "Make a copy-on-write copy independent of its source",
		description:
			"Copies what the volume shares with the volume or image that it was made of into it, so that the source can be deleted. It then takes that space. In a Ceph pool its VM may run, and on LVM-thin, where there is nothing to copy; elsewhere it has to be off. To call it off, cancel the task.",
		examples: ["limiquantix volume flatten data-copy", "limiquantix volume flatten data-copy --no-wait"],
		arguments: volumeArgument,
		options: waitOptions,
		async run(cli, { volume }, wait) {
			const id = await resolveId(cli, "volume", volume);
			await finishTask(cli, (await cli.call("volumeFlatten", { path: { id } })).body, wait);
		},
	}),
];
