/** Work of a VM's queue that is about where the VM is: getting it from another node, and what it leaves behind when it goes. */
import type { NodeContext } from "./context.ts";
import { discardVm } from "./discard.ts";
import type { ImageCopies } from "./image-copies.ts";
import type { Moves } from "./moves.ts";
import type { Pools } from "./pools.ts";
import { Later, type TaskRun } from "./task-run.ts";
import { moveVm } from "./vm-move.ts";

export type RelocationParts = { context: NodeContext; pools: Pick<Pools, "driver">; copies: ImageCopies; moves: Moves };

/** Carries out the task to its end. Fails when it has to be tried again later. */
export async function relocate(parts: RelocationParts, vmId: string, run: TaskRun): Promise<void> {
	const { context, moves } = parts;
	const isMove = run.task.kind === "vm.move";
	try {
		const message = isMove
			? await context.locks.run(`move:${vmId}`, () => moveVm(parts, vmId, run), run.signal)
			: await discardVm(parts, vmId, run);
		await run.succeed(message);
	} catch (error) {
		if (context.stopping.aborted || error instanceof Later) throw error;
		// First the end of the task, then what it made: from now on it cannot make the VM this node's any more.
		await run.fail(error);
		if (isMove) await moves.sweepOne(vmId);
	}
}
