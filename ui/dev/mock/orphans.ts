/** What the mock's pools have and no record names, and the other way round. A node that is away does not answer for its part. */
import { GiB, MiB } from "../../../src/lib/units.ts";
import { deletedOrphans } from "../../../src/model/orphan-tasks.ts";
import type { PoolOrphan } from "../../../src/model/pool-orphan.ts";
import { isShared } from "../../../src/model/storage-rules.ts";
import { isFinished } from "../../../src/model/task.ts";
import type { Pool, Volume } from "../../api/types.ts";
import { checkName, find, type HandlerTable, MockProblem } from "./request.ts";
import type { MockState } from "./state.ts";

/** Two volumes, one resting on the other, an image, and a volume whose content is gone. */
export function seedOrphans(state: MockState, poolId: string): void {
	const none = { name: null, format: null, sizeBytes: null, allocatedBytes: null, reason: null };
	const content = { ...none, nodeId: state.nodeId, found: "no-record" as const };
	const gone: Volume = state.put("volume", {
		...{ ...state.metadata(), name: "old-mail-data", poolId, nodeId: state.nodeId, format: "qcow2" },
		...{ sizeBytes: 80 * GiB, allocatedBytes: 31 * GiB, source: { kind: "empty" }, vmId: null, phase: "error" },
		error: { code: "storage", message: "The file of the volume is missing." },
	});
	state.orphans.set(poolId, [
		{
			...{ ...content, kind: "volume", id: state.newId(), format: "qcow2" },
			...{ sizeBytes: 40 * GiB, allocatedBytes: 12.5 * GiB, snapshots: 2 },
		},
		{
			...{ ...content, kind: "volume", id: state.newId(), format: "raw" },
			...{ sizeBytes: 8 * GiB, allocatedBytes: 8 * GiB },
		},
		{
			...{ ...content, kind: "image", id: state.newId(), format: "iso" },
			...{ sizeBytes: 640 * MiB, allocatedBytes: 640 * MiB },
		},
		{
			...{ ...none, nodeId: state.nodeId, kind: "volume", id: gone.id, name: gone.name, found: "no-content" },
			...{ format: "qcow2", sizeBytes: gone.sizeBytes, allocatedBytes: gone.allocatedBytes },
			reason: "The file of the volume is missing.",
		},
	]);
}

export function orphans(state: MockState): HandlerTable {
	const all = (poolId: string): PoolOrphan[] =>
		(state.orphans.get(poolId) ?? []).filter(
			({ found, kind, id }) => found === "no-record" || state.tables[kind].get(id) !== undefined,
		);
	/** What unfinished work is about. */
	const busy = (): string[] =>
		[...state.tables.task.values()]
			.filter((task) => !isFinished(task.state))
			.flatMap((task) => {
				const { volumeIds, imageIds } = deletedOrphans(task);
				return [...task.targets.map(({ id }) => id), ...volumeIds, ...imageIds];
			});
	const take = (poolId: string, id: string): PoolOrphan => {
		const known = all(poolId);
		const one = known.find((orphan) => orphan.id === id);
		if (!one) throw new MockProblem(409, "wrong-state", "It is no orphan: there is a record of it.");
		state.orphans.set(
			poolId,
			known.filter((orphan) => orphan !== one),
		);
		return one;
	};
	return {
		poolOrphanList: ({ id }) => {
			const pool = find(state, "pool", id) as Pool;
			const away = isShared(pool) ? [] : pool.nodeIds.filter((nodeId) => state.members.away.has(nodeId));
			const unanswered = away.map((nodeId) => ({
				...{ nodeId, nodeName: state.tables.node.get(nodeId)?.name ?? nodeId },
				message: "The node does not answer.",
			}));
			const going = busy();
			const items = all(id).filter((one) => !away.includes(one.nodeId) && !going.includes(one.id));
			return { body: { items, ...(unanswered.length > 0 ? { unanswered } : {}) } };
		},
		poolOrphanDelete: ({ id, body }) => {
			const pool = find(state, "pool", id) as Pool;
			const { volumeIds, imageIds } = body as { volumeIds: string[]; imageIds: string[] };
			const chosen = [...volumeIds, ...imageIds];
			let left = [...chosen];
			const kept: string[] = [];
			const deleteNext = () => {
				const [next, ...others] = left;
				left = others;
				if (next === undefined) return;
				try {
					take(id, next);
				} catch (error) {
					kept.push(`Kept ${next}: ${error instanceof Error ? error.message : ""}`);
				}
			};
			const task = state.startTask("pool.deleteOrphans", [state.refOf("pool", pool.id)], {
				...{ steps: chosen.length, cancelable: true, input: { volumeIds, imageIds } },
				messages: chosen.map((_, at) => `Deleting what no record names: ${at + 1} of ${chosen.length}`),
				onStep: deleteNext,
				onDone() {
					if (kept.length === chosen.length) throw new Error(`Nothing was deleted. ${kept.join(" ")}`);
				},
				found: () => (kept.length === 0 ? null : `Deleted: ${chosen.length - kept.length}. ${kept.join(" ")}`),
			});
			return { status: 202, body: task, task };
		},
		poolOrphanAdopt: ({ id, body }) => {
			const pool = find(state, "pool", id) as Pool;
			checkName(state, "volume", body.name);
			const orphan = take(id, String(body.volumeId));
			const { format, sizeBytes, allocatedBytes, nodeId, id: volumeId, snapshots = 0 } = orphan;
			const volume = state.put("volume", {
				...{ ...state.metadata(), id: volumeId, name: String(body.name), poolId: id },
				...{ format: format === "raw" ? "raw" : "qcow2", sizeBytes: sizeBytes ?? 0, allocatedBytes },
				...{ nodeId: isShared(pool) ? null : nodeId, source: { kind: "empty" }, phase: "pending" },
				...{ vmId: null, error: null },
			});
			const going = body.snapshots === "delete" ? snapshots : 0;
			const task = state.startTask("volume.create", [state.refOf("volume", volumeId)], {
				...{ steps: Math.max(1, going), cancelable: going > 0 },
				messages: Array.from(
					{ length: going },
					(_, at) => `Deleting a snapshot that no record names: ${at + 1} of ${going}`,
				),
				onDone: () => state.change("volume", volumeId, { phase: "ready" }),
				onFailed() {
					state.remove("volume", volumeId);
					state.orphans.set(id, [...(state.orphans.get(id) ?? []), orphan]);
				},
			});
			return { status: 201, body: volume, task };
		},
	};
}
