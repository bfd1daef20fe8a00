/** Pools, formats and images as choices of a select field: pools with the space that is left, and only what a pool can do. */

import { formatsOf, poolUsage, sharesData } from "../../../src/model/storage-rules.ts";
import type { Image, Pool } from "../../api/types.ts";
import type { Choice } from "../../components/fields.tsx";
import { formatBytes } from "../../lib/format.ts";
import { byName } from "../../lib/sort.ts";
import { storage as t } from "../../strings/storage.ts";

type Format = "qcow2" | "raw";
/** The pool that something is to be in; undefined while the node chooses it. */
type MaybePool = Pool | undefined;

/** The format that is wanted where the pool has it, else the usual one there. */
export const formatIn = (pool: MaybePool, wanted: Format): Format =>
	pool === undefined || formatsOf(pool).includes(wanted) ? wanted : (formatsOf(pool)[0] ?? wanted);

/** Whether a disk of this format there is always a full copy of its image. */
export const copiesAll = (pool: MaybePool, format: Format): boolean =>
	pool === undefined ? format === "raw" : !sharesData(pool, format);

export const formatChoices = (pool: MaybePool): Choice<Format>[] =>
	(["qcow2", "raw"] as const).map((value) => ({
		value,
		label: value,
		disabled: pool !== undefined && !formatsOf(pool).includes(value),
	}));

export const formatHint = (pool: MaybePool, format: Format): string =>
	format === "raw" && !copiesAll(pool, format) ? t.formatHintPool : t.formatHints[format];

/** `forImages`: some pools hold none. */
export function poolChoices(pools: readonly Pool[], { forImages = false } = {}): Choice<string>[] {
	return [...pools].sort(byName).map((pool) => {
		const usage = poolUsage(pool);
		const free = usage ? ` (${t.freeSpace(formatBytes(usage.availableBytes))})` : "";
		const noImages = forImages && pool.nodes.some(({ capabilities }) => capabilities !== null && !capabilities.images);
		return {
			value: pool.id,
			label: `${pool.name}${noImages ? ` (${t.holdsNoImages})` : free}`,
			disabled: noImages || (pool.phase !== "ready" && pool.phase !== "degraded"),
		};
	});
}

/** Images that hold a disk, or those that are discs. */
export const readyImages = (images: readonly Image[], kind: "disk" | "iso"): Image[] =>
	images.filter(({ phase, format }) => phase === "ready" && (format === "iso") === (kind === "iso")).sort(byName);
