/** Pools, formats and images as choices of a select field: pools with the space that is left, and only what a pool can do. */

import { isWorking } from "../../../src/model/pool-parts.ts";
import {
	copiesStandAlone,
	formatsOf,
	isCopiedWhole,
	type PoolUsage,
	poolUsage,
	provisioningObstacle,
	provisioningOf,
} from "../../../src/model/storage-rules.ts";
import type { ClusterMember, Image, Pool, Volume } from "../../api/types.ts";
import type { Choice } from "../../components/fields.tsx";
import { formatBytes } from "../../lib/format.ts";
import { byName } from "../../lib/sort.ts";
import { states } from "../../strings/states.ts";
import { storage as t } from "../../strings/storage.ts";

type Format = "qcow2" | "raw";
export type Provisioning = NonNullable<Volume["provisioning"]>;
/** The pool that something is to be in; undefined while the node chooses it. */
type MaybePool = Pool | undefined;

/** The format that is wanted where the pool has it, else the usual one there. */
export const formatIn = (pool: MaybePool, wanted: Format): Format =>
	pool === undefined || formatsOf(pool).includes(wanted) ? wanted : (formatsOf(pool)[0] ?? wanted);

/** Whether a disk of this format there, or one that is to be thick, is always a full copy of its image. */
export const copiesAll = (pool: MaybePool, format: Format, wanted: Provisioning = "thin"): boolean =>
	pool === undefined
		? format === "raw"
		: isCopiedWhole(pool, { elsewhere: false, format, provisioning: provisioningIn(pool, wanted) });

/** A disk as it is made there. `from`: the pool of the image that it is made of. */
export function diskIn(pool: MaybePool, wanted: { from: MaybePool; format: Format; provisioning: Provisioning }) {
	const format = formatIn(pool, wanted.format);
	const elsewhere = wanted.from !== undefined && pool !== undefined && pool.id !== wanted.from.id;
	return { format, elsewhere, mustBeFull: elsewhere || copiesAll(pool, format, wanted.provisioning) };
}

export const formatChoices = (pool: MaybePool): Choice<Format>[] =>
	(["qcow2", "raw"] as const).map((value) => ({
		value,
		label: value,
		disabled: pool !== undefined && !formatsOf(pool).includes(value),
	}));

/** How a new volume there gets its space: as it is wanted where the pool can, else as the pool has it. */
export const provisioningIn = (pool: MaybePool, wanted: Provisioning): Provisioning =>
	pool === undefined ? "thin" : provisioningObstacle(pool, wanted, { shares: false }) === null ? wanted : usual(pool);

const usual = (pool: Pool): Provisioning => provisioningOf(pool)[0] ?? "thin";

export const provisioningChoices = (pool: MaybePool): Choice<Provisioning>[] =>
	(["thin", "thick"] as const).map((value) => ({
		value,
		label: t.provisionings[value],
		disabled: pool === undefined ? value !== "thin" : !provisioningOf(pool).includes(value),
	}));

/** What it means, or why there is no choice. */
export function provisioningHint(pool: MaybePool, provisioning: Provisioning): string {
	const other = provisioning === "thin" ? "thick" : "thin";
	const obstacle = pool === undefined ? t.provisioningNoPool : provisioningObstacle(pool, other, { shares: false });
	return obstacle ?? t.provisioningHints[provisioning];
}

/** The member of the request: what the pool does by itself is not said, so that older nodes take it, too. */
export const provisioningBody = (pool: MaybePool, wanted: Provisioning): { provisioning?: Provisioning } => {
	const provisioning = provisioningIn(pool, wanted);
	return pool === undefined || provisioning === usual(pool) ? {} : { provisioning };
};

export const formatHint = (pool: MaybePool, format: Format): string =>
	format === "raw" && !copiesAll(pool, format) ? t.formatHintPool : t.formatHints[format];

/** Why no image can be put into the pool now, as a sentence; null when one can. */
export function imageObstacle({ phase, nodes }: Pick<Pool, "phase" | "nodes">): string | null {
	const cannot = nodes.find(({ capabilities }) => capabilities !== null && !capabilities.images);
	if (cannot) return cannot.capabilities?.reasons.images ?? t.poolHoldsNoImages;
	return isUsable(phase) ? null : t.poolNotUsable(states.pool[phase].toLowerCase());
}

const isUsable = (phase: Pool["phase"]): boolean => phase === "ready" || phase === "degraded";

/** What is left in the pool; null while nobody knows how much it is now. */
export function currentSpace(pool: Pool): number | null {
	const usage = poolUsage(pool);
	return usage === null || usage.isOld ? null : usage.availableBytes;
}

/** What the figures are not, as a sentence; null when they are those of now, of all nodes. */
export function usageNote({ isOld, leftOut }: PoolUsage): string | null {
	if (isOld) return t.lastKnown;
	return leftOut.length === 0 ? null : t.usageLeftOut(leftOut.length);
}

type Copying = {
	/** The image's pool. */
	from: Pool;
	/** Where the disk is to be made; null: on any node. */
	nodeId: string | null;
	nameOf: (nodeId: string) => string;
};

/** Why no disk of an image can be made in the pool, as a sentence: one node reads the image and writes the disk, so both pools have to work there. */
export function copyObstacle(pool: Pool, { from, nodeId, nameOf }: Copying): string | null {
	const both = pool.nodeIds.filter((id) => from.nodeIds.includes(id));
	if (both.length === 0) return t.moveNoNode;
	if (nodeId !== null && !both.includes(nodeId))
		return pool.id === from.id ? t.poolNotOn(nameOf(nodeId), pool.name) : t.copyNotOn(nameOf(nodeId));
	if (!isUsable(pool.phase)) return null;
	const obstacles = (nodeId === null ? both : [nodeId]).map((id) => {
		const here = failureOn(pool, id);
		if (here) return t.moveFails(nameOf(id), here.reason);
		const there = failureOn(from, id);
		return there && t.copySourceFails(nameOf(id), from.name, there.reason);
	});
	const [first] = obstacles;
	return first !== undefined && obstacles.every((one) => one !== null) ? first : null;
}

/** What a node says of its part that does not work; null of one that works, or that it has not looked at yet. */
function failureOn({ nodes }: Pool, nodeId: string): Pick<Pool["nodes"][number], "reason"> | null {
	const part = nodes.find((one) => one.nodeId === nodeId);
	return part === undefined || isWorking(part) ? null : part;
}

/**
 * Whether a copy has to stand alone because a VM may write to the volume: not where copies stand alone by themselves, once all members of
 * the cluster know of it. One that has not said what it knows does not count; the API decides again.
 */
export const isWrittenTo = (
	{ vmId }: Pick<Volume, "vmId">,
	pool: MaybePool,
	members: readonly Pick<ClusterMember, "features">[],
): boolean =>
	vmId !== null &&
	!(pool && copiesStandAlone(pool) && members.every(({ features }) => features?.includes("free-sources-1") ?? true));

type PoolsFor = {
	/** Some pools hold none. */
	forImages?: boolean;
	/** Why one cannot be taken. */
	obstacleOf?: (pool: Pool) => string | null;
};

export function poolChoices(
	pools: readonly Pool[],
	{ forImages = false, obstacleOf = () => null }: PoolsFor = {},
): Choice<string>[] {
	return [...pools].sort(byName).map((pool) => {
		const freeBytes = currentSpace(pool);
		const noImages = forImages && pool.nodes.some(({ capabilities }) => capabilities !== null && !capabilities.images);
		const obstacle = obstacleOf(pool);
		const note = noImages
			? t.holdsNoImages
			: obstacle !== null
				? obstacle.replace(/\.$/, "")
				: !isUsable(pool.phase)
					? states.pool[pool.phase].toLowerCase()
					: freeBytes === null
						? null
						: t.freeSpace(formatBytes(freeBytes));
		return {
			value: pool.id,
			label: note === null ? pool.name : `${pool.name} (${note})`,
			disabled: noImages || obstacle !== null || !isUsable(pool.phase),
		};
	});
}

/** Images that hold a disk, or those that are discs. */
export const readyImages = (images: readonly Image[], kind: "disk" | "iso"): Image[] =>
	images.filter(({ phase, format }) => phase === "ready" && (format === "iso") === (kind === "iso")).sort(byName);
