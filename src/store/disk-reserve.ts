/**
 * What the log leaves free on its disk. What it has acknowledged must still go into the database on the same disk, and
 * whoever makes space (by deleting an image, say) needs commands for it: so what makes the cluster larger is refused
 * first, and everything else only when a quarter of the reserve is left. A file of the size of the reserve holds it
 * (ballast-file.ts): disks of VMs fill what is only free.
 */
import { MiB } from "../lib/units.ts";
import type { CommandBody, CommandKind } from "./command.ts";

export const defaultReserveBytes = 32 * MiB;

export type Urgency = "growing" | "essential";

const growing: readonly CommandKind[] = [
	"clusterInit",
	"userCreate",
	"tokenCreate",
	"vmCreate",
	"vmUpdate",
	"vmAdopt",
	"poolCreate",
	"volumeCreate",
	"volumeResize",
	"imageCreate",
	"imageUpdate",
	"networkCreate",
];

export const urgencyOf = (body: CommandBody): Urgency => (growing.includes(body.kind) ? "growing" : "essential");

export const keptFreeBytes = (urgency: Urgency, reserveBytes: number): number =>
	urgency === "growing" ? reserveBytes : Math.floor(reserveBytes / 4);

export type BallastState = {
	/** What others could write now. */
	othersBytes: number;
	/** What the ballast has. */
	heldBytes: number;
	reserveBytes: number;
	stepBytes: number;
};

/**
 * How much is added to the ballast now. It takes only what leaves others as much again as the whole reserve; it is given up
 * when they have nothing left. So the two do not take turns, and guests never run out of space because of it.
 */
export function ballastToAdd({ othersBytes, heldBytes, reserveBytes, stepBytes }: BallastState): number {
	const bytes = Math.min(reserveBytes - heldBytes, othersBytes - reserveBytes);
	return Math.max(0, Math.floor(bytes / stepBytes) * stepBytes);
}

/** Nothing of it is missing that would be added. */
export const isWhole = ({ heldBytes, reserveBytes, stepBytes }: Omit<BallastState, "othersBytes">): boolean =>
	reserveBytes - heldBytes < stepBytes;
