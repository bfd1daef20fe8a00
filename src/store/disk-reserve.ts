/**
 * What the log leaves free on its disk. What it has acknowledged must still go into the database on the same disk, and
 * whoever makes space (by deleting an image, say) needs commands for it: so what makes the cluster larger is refused
 * first, and everything else only when a quarter of the reserve is left.
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
