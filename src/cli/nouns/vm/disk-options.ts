/** How a VM has a disk: what may be said of it in `--disk` and `--attach`, behind what the disk is. */
import type { Vm } from "../../../gen/api.ts";
import { AppError } from "../../../lib/errors.ts";
import { parseBytes } from "../../../lib/units.ts";
import { given } from "../../pages.ts";
import { oneOfPair, type Pairs } from "../../pairs.ts";

type Disk = Vm["spec"]["disks"][number];
/** What is not said is undefined. */
export type Attachment = { [K in "bus" | "cache" | "discard" | "readOnly" | "limits"]: Disk[K] | undefined };

export const buses = ["virtio", "scsi", "sata"] as const;
export const caches = ["none", "writeback", "writethrough"] as const;
export const attachmentKeys = ["bus", "cache", "read-iops", "write-iops", "read-bytes", "write-bytes"] as const;
export const attachmentFlags = ["no-discard", "read-only"] as const;
type AttachmentPairs = Pairs<(typeof attachmentKeys)[number] | (typeof attachmentFlags)[number]>;

/** For the help. */
export const attachmentWords =
	"bus=virtio|scsi|sata,cache=none|writeback|writethrough,no-discard,read-only,read-iops=…,write-iops=…,read-bytes=…,write-bytes=…";

export function attachmentOf(pairs: AttachmentPairs): Attachment {
	const limits = given({
		readBytesPerSecond: limitOf(pairs, "read-bytes", parseBytes),
		writeBytesPerSecond: limitOf(pairs, "write-bytes", parseBytes),
		readIops: limitOf(pairs, "read-iops", Number),
		writeIops: limitOf(pairs, "write-iops", Number),
	});
	return {
		bus: oneOfPair(pairs.bus, buses, "bus"),
		cache: oneOfPair(pairs.cache, caches, "cache"),
		discard: pairs["no-discard"] === undefined ? undefined : false,
		readOnly: pairs["read-only"] === undefined ? undefined : true,
		limits: Object.keys(limits).length === 0 ? undefined : limits,
	};
}

/** Fails with `invalid`. */
function limitOf(pairs: AttachmentPairs, key: keyof AttachmentPairs, parse: (text: string) => number) {
	const text = pairs[key];
	if (text === undefined) return undefined;
	const limit = parse(text);
	if (!Number.isSafeInteger(limit) || limit < 1)
		throw new AppError("invalid", `${key}=${text}: it is a whole number from 1 on.`);
	return limit;
}
