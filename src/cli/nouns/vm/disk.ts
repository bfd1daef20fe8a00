/** `limiquantix vm disk`: how much a VM may do with its disks. */
import type { Vm } from "../../../gen/api.ts";
import { AppError, isAppError } from "../../../lib/errors.ts";
import { usageError } from "../../failure.ts";
import { resolveId } from "../../names.ts";
import { integer, off, size } from "../../options.ts";
import { given } from "../../pages.ts";
import { finishObject, waitOptions } from "../../tasks.ts";
import { type Verb, verb } from "../../verb.ts";
import { getVm, showVm, vmArgument } from "./show.ts";

const maxTries = 3;
const atMost = { min: 1, max: Number.MAX_SAFE_INTEGER };

export const diskEditVerb: Verb = verb({
	name: "disk edit",
	summary: "Limit what a VM may do with a disk",
	description: "Works while the VM runs. Limits that are not named stay, unless --no-limits is given.",
	examples: [
		"limiquantix vm disk edit web disk-0 --read-iops 500 --write-iops 200",
		"limiquantix vm disk edit web disk-0 --no-limits --write-bytes 50MiB",
	],
	arguments: { ...vmArgument, "<disk>": "device id of the disk, or name or id of its volume" },
	options: {
		readIops: integer("--read-iops <count>", "reads in a second", atMost),
		writeIops: integer("--write-iops <count>", "writes in a second", atMost),
		readBytes: size("--read-bytes <size>", "bytes read in a second, for example 100MiB"),
		writeBytes: size("--write-bytes <size>", "bytes written in a second"),
		limits: off("--no-limits", "take away all limits that it has"),
		...waitOptions,
	},
	async run(cli, { vm, disk }, { readIops, writeIops, readBytes, writeBytes, limits: keep, ...wait }) {
		const change = given({ readIops, writeIops, readBytesPerSecond: readBytes, writeBytesPerSecond: writeBytes });
		if (keep && Object.keys(change).length === 0) throw usageError("Nothing is to be changed.");
		const id = await resolveId(cli, "vm", vm);
		const volumeId = /^disk-\d+$/.test(disk) ? null : await resolveId(cli, "volume", disk);
		const isMeant = (one: Vm["spec"]["disks"][number]) =>
			volumeId === null ? one.id === disk : one.volumeId === volumeId;
		for (let tries = 1; ; tries++) {
			const { body: before } = await getVm(cli, id);
			if (!before.spec.disks.some(isMeant)) throw new AppError("invalid", `${vm} has no disk ${disk}.`);
			const disks = before.spec.disks.map((one) => {
				if (!isMeant(one)) return one;
				const { limits: had, ...bare } = one;
				const limits = { ...(keep ? had : {}), ...change };
				return Object.keys(limits).length === 0 ? bare : { ...bare, limits };
			});
			try {
				const result = await cli.call("vmUpdate", { path: { id }, body: { disks }, ifMatch: before.generation });
				return await showVm(cli, await finishObject(cli, result, wait, () => getVm(cli, id)));
			} catch (error) {
				if (!isAppError(error, "stale-etag") || tries >= maxTries) throw error;
			}
		}
	},
});
