/** `limiquantix vm disk`: how a VM has its disks, and how much it may do with them. */
import type { Vm } from "../../../gen/api.ts";
import { AppError, isAppError } from "../../../lib/errors.ts";
import { usageError } from "../../failure.ts";
import { resolveId } from "../../names.ts";
import { choice, integer, off, onOff, size } from "../../options.ts";
import { given } from "../../pages.ts";
import { finishObject, waitOptions } from "../../tasks.ts";
import { type Verb, verb } from "../../verb.ts";
import { buses, caches } from "./disk-options.ts";
import { getVm, showVm, vmArgument } from "./show.ts";

const maxTries = 3;
const atMost = { min: 1, max: Number.MAX_SAFE_INTEGER };

export const diskEditVerb: Verb = verb({
	name: "disk edit",
	summary: "Change how a VM has a disk, and limit what it may do with it",
	description:
		"What is not named stays; limits go with --no-limits. A VM that runs has its limits at once, and the rest from its next start.",
	examples: [
		"limiquantix vm disk edit web disk-0 --read-iops 500 --write-iops 200",
		"limiquantix vm disk edit web disk-0 --no-limits --write-bytes 50MiB",
		"limiquantix vm disk edit web data --cache writeback --no-discard",
	],
	arguments: { ...vmArgument, "<disk>": "device id of the disk, or name or id of its volume" },
	options: {
		readIops: integer("--read-iops <count>", "reads in a second", atMost),
		writeIops: integer("--write-iops <count>", "writes in a second", atMost),
		readBytes: size("--read-bytes <size>", "bytes read in a second, for example 100MiB"),
		writeBytes: size("--write-bytes <size>", "bytes written in a second"),
		limits: off("--no-limits", "take away all limits that it has"),
		bus: choice("--bus <bus>", buses, "how the guest sees it"),
		cache: choice("--cache <cache>", caches, "none: straight to the storage; the others go through the node's memory"),
		discard: onOff("--discard", "what the guest trims becomes free in the pool", "keep space that the guest trims"),
		readOnly: onOff("--read-only", "the guest cannot write to it", "the guest can write to it"),
		...waitOptions,
	},
	async run(cli, { vm, disk }, { readIops, writeIops, readBytes, writeBytes, limits: keep, ...options }) {
		const { bus, cache, discard, readOnly, ...wait } = options;
		const change = given({ readIops, writeIops, readBytesPerSecond: readBytes, writeBytesPerSecond: writeBytes });
		const attachment = given({ bus, cache, discard, readOnly });
		if (keep && Object.keys(change).length + Object.keys(attachment).length === 0)
			throw usageError("Nothing is to be changed.");
		const id = await resolveId(cli, "vm", vm);
		const volumeId = /^disk-\d+$/.test(disk) ? null : await resolveId(cli, "volume", disk);
		const isMeant = (one: Vm["spec"]["disks"][number]) =>
			volumeId === null ? one.id === disk : one.volumeId === volumeId;
		for (let tries = 1; ; tries++) {
			const { body: before } = await getVm(cli, id);
			if (!before.spec.disks.some(isMeant)) throw new AppError("invalid", `${vm} has no disk ${disk}.`);
			const disks = before.spec.disks.map((one) => {
				if (!isMeant(one)) return one;
				const { limits: had, ...others } = one;
				const bare = { ...others, ...attachment };
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
