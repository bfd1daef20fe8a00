/** `limiquantix vm cdrom`: discs in a VM's CD-ROM drives. */
import { AppError } from "../../../lib/errors.ts";
import { usageError } from "../../failure.ts";
import { resolveId } from "../../names.ts";
import { flag, text } from "../../options.ts";
import { finishTask, waitOptions } from "../../tasks.ts";
import { type Verb, verb } from "../../verb.ts";
import { getVm, vmArgument } from "./show.ts";

export const cdromVerb: Verb = verb({
	name: "cdrom",
	summary: "Put a disc into a VM's CD-ROM drive, or eject it",
	description: "Works while the VM runs. Drives are added and removed with limiquantix vm edit.",
	examples: ["limiquantix vm cdrom web debian-13-netinst", "limiquantix vm cdrom web --eject --drive cdrom-1"],
	arguments: { ...vmArgument, "[image]": "name or id of the ISO image" },
	options: {
		eject: flag("--eject", "take the disc out"),
		drive: text("--drive <id>", "which drive (default: the only one)"),
		...waitOptions,
	},
	async run(cli, { vm, image }, { eject, drive, ...wait }) {
		if ((image === undefined) !== eject) throw usageError("Give either an image or --eject.");
		const id = await resolveId(cli, "vm", vm);
		const cdromId = drive ?? onlyDrive((await getVm(cli, id)).body.spec.cdroms, vm);
		const imageId = image === undefined ? null : await resolveId(cli, "image", image);
		const result = await cli.call("vmMediaChange", { path: { id }, body: { cdromId, imageId } });
		await finishTask(cli, result.body, wait);
	},
});

function onlyDrive(drives: readonly { id: string }[], vm: string): string {
	const [first, ...others] = drives;
	if (!first)
		throw new AppError("invalid", `${vm} has no CD-ROM drive. Add one: limiquantix vm edit ${vm} --add-cdrom`);
	if (others.length > 0)
		throw usageError(
			`${vm} has several drives. Say which with --drive: ${drives.map((drive) => drive.id).join(", ")}.`,
		);
	return first.id;
}
