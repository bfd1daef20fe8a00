/** What to do about damage, in the same words wherever it is found. ../cluster/restore*.test.ts and bit-rot.slow.test.ts follow it. */
import { AppError } from "../lib/errors.ts";

/** For a state that is damaged while log and snapshots are not. */
export const rebuildAdvice = (statePath: string): string =>
	`Move ${statePath} and the files beside it that begin with its name (-wal, -shm) elsewhere and start again: the state is then rebuilt from the newest snapshot and the log.`;

/** For what only a copy brings back. Changes made since the snapshot are lost. */
export const restoreAdvice =
	"Or go back to a snapshot (a file of the folder snapshots/, or what limiquantix cluster backup made): move raft/, snapshots/ and state.db* out of the data folder and run limiquantix cluster restore FILE --data-dir FOLDER; changes made after the snapshot are lost.";

const whoItWas =
	"remove restore.tmp/, node.json and the file restoring, and rename node.json.before, if it is there, to node.json";

/** For a start beside the file `restoring`. "Elsewhere": one cannot tell from here what in the folder is whose. */
export const unfinishedRestoreAdvice = (dataDir: string): string =>
	`Run it again: limiquantix cluster restore FILE --data-dir ${dataDir}. Or give it up: move raft/, snapshots/ and state.db*, as far as they are there, elsewhere, put those of before back, ${whoItWas}.`;

/** For another restore that finds something there that the first did not put there. */
export const otherStateAdvice = `If it is the state of before, put back as a whole: ${whoItWas}, and start the node. If it is not needed: move raft/, snapshots/ and state.db* elsewhere and restore again.`;

export const damagedState = (statePath: string, found: string, cause?: unknown): AppError =>
	new AppError(
		"corrupt",
		`The state database ${statePath} is damaged (${found}). Nothing was changed. ${rebuildAdvice(statePath)}`,
		{ cause },
	);
