/** Chains of disks: what QEMU opens, and proof that the disks say the same as the pool's records before qemu-img follows them. */
import { AppError } from "../../lib/errors.ts";
import type { AttachInfo } from "../driver.ts";
import type { Wanted } from "./activation.ts";
import { type IscsiContext, pathOf } from "./context.ts";
import { readQcow2Header } from "./device-io.ts";
import { volumeFormat } from "./pool-index.ts";
import type { Lv } from "./records.ts";

/** To write to the first, or to read all. */
export const wantedFor = (chain: readonly Lv[], first: "exclusive" | "shared" = "exclusive"): Wanted[] =>
	chain.map(({ lv }, index) => ({ lv, mode: index === 0 ? first : "shared" }));

export function attachInfoOf(context: IscsiContext, [active, ...backing]: [Lv, ...Lv[]]): AttachInfo {
	const source = ({ lv }: Lv) => ({ kind: "block", path: pathOf(context, lv) }) as const;
	return {
		source: source(active),
		format: volumeFormat(active),
		backing: backing.map((lv) => ({ source: source(lv), format: volumeFormat(lv) })),
	};
}

/**
 * Every disk of the chain must be active. A QEMU that was taken over from inside could have pointed its disk at any file of the host.
 * The size of the first one, as its header says (null for raw).
 */
export async function requireHeadersMatch(context: IscsiContext, chain: readonly Lv[]): Promise<number | null> {
	let sizeBytes: number | null = null;
	for (const [index, disk] of chain.entries()) {
		if (disk.record.format !== "qcow2") continue;
		const header = await readQcow2Header(pathOf(context, disk.lv), disk.lv);
		if (index === 0) sizeBytes = header.virtualSizeBytes;
		const matches = (next: Lv | null) =>
			header.backingFile === (next ? pathOf(context, next.lv) : null) &&
			(!next || header.backingFormat === volumeFormat(next));
		const below = chain.slice(index + 1);
		const { rebase } = disk.record;
		// On its way: it rests on what it did, or where it goes already, which is one of those that the chain has anyway, or nothing.
		const goesTo = rebase === null || rebase.to === null ? null : below.find(({ lv }) => lv === rebase.to);
		const same = matches(below[0] ?? null) || (rebase !== null && goesTo !== undefined && matches(goesTo));
		if (!same || header.externalDataFile || header.encrypted)
			throw new AppError(
				"corrupt",
				`The disk ${disk.lv} cannot be used: its header refers to another disk than the pool's record.`,
			);
	}
	return sizeBytes;
}
