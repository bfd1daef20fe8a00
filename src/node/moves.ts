/**
 * What this node has received of VMs that are moving here: `<dataDir>/moves.json`, written before the first byte comes.
 * Once its task is finished and the VM is not this node's, everything that the record names is removed. A task that is
 * finished cannot make the VM this node's any more (the command vmMoved wants it unfinished), so nothing that is in use goes.
 */
import { type Static, Type } from "@sinclair/typebox";
import { assert } from "../lib/assert.ts";
import { Id, Strict } from "../model/schema.ts";
import { isFinished } from "../model/task.ts";
import { limited, type NodeContext } from "./context.ts";
import { deletionIdleOf, limits } from "./limits.ts";
import { longStep } from "./long-step.ts";
import { isHere, type Pools } from "./pools.ts";
import { RecordFile } from "./record-file.ts";

const Move = Strict({
	taskId: Id,
	/** All disks that come, and where to. */
	volumes: Type.Array(Strict({ id: Id, poolId: Id })),
	/** Those that are here whole. */
	done: Type.Array(Id),
	/** What the other node said of each of them before it was copied: DiskSize.mark. */
	marks: Type.Optional(Type.Record(Id, Type.String())),
});
export type Move = Static<typeof Move>;
export const moveRecords = { name: "moves", schema: Move };

export class Moves {
	readonly #context: NodeContext;
	readonly #pools: Pick<Pools, "driver">;
	readonly #records: RecordFile<typeof Move>;

	constructor(context: NodeContext, pools: Pick<Pools, "driver">) {
		this.#context = context;
		this.#pools = pools;
		this.#records = new RecordFile(context, moveRecords);
	}

	/** The record of this task's move: as an earlier run left it, or a new one after `clear` has made room for it. */
	async begin(
		vmId: string,
		taskId: string,
		disks: readonly { volume: { id: string; poolId: string } }[],
		clear: () => Promise<void>,
	): Promise<void> {
		const known = await this.#records.get(vmId);
		if (known?.taskId === taskId) return;
		if (known) await this.#undo(vmId, known);
		await clear();
		const move: Move = {
			taskId,
			volumes: disks.map(({ volume: { id, poolId } }) => ({ id, poolId })),
			done: [],
		};
		await this.#records.set(vmId, move);
	}

	async diskDone(vmId: string, volumeId: string, mark: string | null): Promise<void> {
		const move = await this.#records.get(vmId);
		assert(move !== null, "a move has a record");
		const { [volumeId]: _, ...marks } = move.marks ?? {};
		if (mark !== null) marks[volumeId] = mark;
		await this.#records.set(vmId, { ...move, marks, done: [...move.done.filter((id) => id !== volumeId), volumeId] });
	}

	/** Is the disk here whole, as it is on the other node now? `mark`: null when that one cannot say. */
	async isDone(vmId: string, volumeId: string, mark: string | null): Promise<boolean> {
		const move = await this.#records.get(vmId);
		if (!move?.done.includes(volumeId)) return false;
		const then = move.marks?.[volumeId] ?? null;
		return then === null || mark === null || then === mark;
	}

	/** The VM is this node's. */
	finish(vmId: string): Promise<void> {
		return this.#records.delete(vmId);
	}

	/** Removes what is left of moves that have ended otherwise. Never fails; what could not be removed is tried again. */
	async sweep(): Promise<void> {
		for (const [vmId] of await this.#records.entries()) await this.sweepOne(vmId);
	}

	async sweepOne(vmId: string): Promise<void> {
		const { store, locks, logger, stopping } = this.#context;
		try {
			await locks.run(
				`move:${vmId}`,
				async () => {
					const move = await this.#records.get(vmId);
					if (move === null) return;
					// A copy of the state that is behind may not know the task yet, or that the VM is here.
					await store.readIndex();
					const task = store.get("task", move.taskId);
					if (task !== null && !isFinished(task.state)) return;
					await this.#undo(vmId, move);
				},
				stopping,
			);
		} catch (error) {
			if (!stopping.aborted) logger.warn("what was received of a VM stays for now", { vmId, error });
		}
	}

	/** Only what is not this node's now: the VM may have come since by another way. */
	async #undo(vmId: string, { volumes }: Move): Promise<void> {
		const { store, nodeId, vmState } = this.#context;
		for (const { id, poolId } of volumes) await this.#removeVolume(id, poolId);
		if (store.get("vm", vmId)?.nodeId !== nodeId)
			await limited(this.#context, "Removing the VM's folder", limits.removeFolderMs, () => vmState.remove(vmId));
		await this.finish(vmId);
	}

	async #removeVolume(id: string, poolId: string): Promise<void> {
		const { store, nodeId, locks } = this.#context;
		const pool = store.get("pool", poolId);
		if (!pool || !isHere(pool, nodeId)) return;
		const driver = await this.#pools.driver(poolId);
		await locks.run(`volume:${id}`, async () => {
			if (store.get("volume", id)?.nodeId === nodeId) return;
			await longStep(this.#context, "Deleting a volume", { idleMs: deletionIdleOf(driver) }, (options) =>
				driver.deleteVolume(id, options),
			);
		});
	}
}
