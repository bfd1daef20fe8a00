/** Pools and images as choices of a select field, with the space that is left. */

import { poolUsage } from "../../../src/model/storage-rules.ts";
import type { Image, Pool } from "../../api/types.ts";
import type { Choice } from "../../components/fields.tsx";
import { formatBytes } from "../../lib/format.ts";
import { byName } from "../../lib/sort.ts";
import { storage as t } from "../../strings/storage.ts";

export function poolChoices(pools: readonly Pool[]): Choice<string>[] {
	return [...pools].sort(byName).map((pool) => {
		const usage = poolUsage(pool);
		const free = usage ? ` (${t.freeSpace(formatBytes(usage.availableBytes))})` : "";
		return {
			value: pool.id,
			label: `${pool.name}${free}`,
			disabled: pool.phase !== "ready" && pool.phase !== "degraded",
		};
	});
}

/** Images that hold a disk, or those that are discs. */
export const readyImages = (images: readonly Image[], kind: "disk" | "iso"): Image[] =>
	images.filter(({ phase, format }) => phase === "ready" && (format === "iso") === (kind === "iso")).sort(byName);
