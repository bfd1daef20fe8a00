/** What stays of a node when its process ends, however its log is kept. */
import type { SnapshotMeta } from "../../raft/types.ts";
import type { Durable } from "./checker.ts";
import type { Machine } from "./machine.ts";
import type { Random } from "./random.ts";

export type Snapshot = { meta: SnapshotMeta; data: Uint8Array };

export interface NodeDisk extends Durable {
	readonly machine: Machine;
	/** The last one of the state. */
	readonly snapshot: Snapshot | null;
	/** Something was damaged that the node does not know of yet. */
	readonly damaged: boolean;
	/** The process is gone; without power, what was not durable may be, too. */
	crash(random: Random, power: boolean): void;
	/** The state goes back to the last snapshot. */
	forgetState(): void;
	/** While there is no process: some of its log cannot be read any more. False when there is nothing to damage. */
	damage(random: Random): boolean;
	/** While there is no process: the file with the vote is damaged. False when there is none, or it was not. */
	damageVote(random: Random): boolean;
	readonly voteDamaged: boolean;
}
