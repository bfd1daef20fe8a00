/** The mock's snapshots of VMs: taken, reverted to and deleted as a node does it, and refused for the same reasons. */
import { type VmAction, vmActionObstacle } from "../../../src/model/actions.ts";
import {
	disksToRevert,
	halfRevertedDeletionObstacle,
	liveDeletionObstacle,
	noDisksObstacle,
	revertDiskObstacle,
	revertPhaseObstacle,
	snapshotCopyObstacle,
	snapshotCountObstacle,
	snapshotDisksOf,
	snapshotObstacle,
	snapshotWorkObstacle,
} from "../../../src/model/snapshot-rules.ts";
import type { TaskKind } from "../../../src/model/task.ts";
import type { Snapshot, Vm } from "../../api/types.ts";
import { isFinished } from "../../lib/task-state.ts";
import { checkMatch, find, type HandlerTable, MockProblem, page } from "./request.ts";
import type { MockState, TaskSteps } from "./state.ts";

export function snapshots(state: MockState): HandlerTable {
	const { tables } = state;
	const get = (id: string): Snapshot => find(state, "snapshot", id) as Snapshot;
	const vmOf = (id: string): Vm => find(state, "vm", id) as Vm;
	const of = (vmId: string): Snapshot[] => [...tables.snapshot.values()].filter((one) => one.vmId === vmId);
	const checkPossible = (action: VmAction, vm: Vm) => {
		const tasks = [...tables.task.values()].filter(
			(task) => !isFinished(task.state) && task.targets.some(({ id }) => id === vm.id),
		);
		refuse(vmActionObstacle(action, vm) ?? snapshotWorkObstacle(vm, tasks));
	};
	const checkFree = (vmId: string, name: unknown, own = "") => {
		const isTaken = of(vmId).some((one) => one.id !== own && one.name.toLowerCase() === String(name).toLowerCase());
		const message = `Another snapshot has the name ${name} already.`;
		if (isTaken) throw new MockProblem(409, "already-exists", message, [{ path: "/name", message }]);
	};
	const start = (kind: TaskKind, { vmId, id }: Snapshot, how: TaskSteps) =>
		state.startTask(kind, [state.refOf("vm", vmId), state.refOf("snapshot", id)], how);
	const moveCurrent = (vmId: string, id: string | null) => {
		for (const one of of(vmId))
			if (one.current !== (one.id === id)) state.change("snapshot", one.id, { current: one.id === id });
	};
	const fail = (id: string) => (message: string) =>
		state.change("snapshot", id, { phase: "error", error: { code: "storage", message } });
	const breaks = ({ name }: Snapshot, what: string) => {
		if (name.startsWith("broken"))
			throw new Error(`The storage pool local ${what} the snapshot: no space left on device.`);
	};
	return {
		snapshotList: ({ id, query }) => {
			vmOf(id);
			if (!query.has("sort")) query.set("sort", "createdAt");
			query.set("vmId", id);
			return { body: page(state, "snapshot", query) };
		},
		volumeSnapshotList: ({ id, query }) => {
			find(state, "volume", id);
			if (!query.has("sort")) query.set("sort", "createdAt");
			query.set("volumeId", id);
			return { body: page(state, "snapshot", query) };
		},
		snapshotGet: ({ id }) => ({ body: get(id) }),
		snapshotCreate: ({ id, body }) => {
			const vm = vmOf(id);
			checkPossible("snapshot", vm);
			refuse(snapshotCountObstacle(vm, of(id).length));
			checkFree(id, body.name);
			const disks = snapshotDisksOf(vm).map(({ id: diskId, volumeId }) => {
				const volume = tables.volume.get(volumeId);
				const pool = volume && tables.pool.get(volume.poolId);
				if (!volume || !pool) throw new MockProblem(404, "not-found", "There is no such volume.");
				refuse(snapshotObstacle(pool, volume));
				return { diskId, volumeId, sizeBytes: volume.sizeBytes };
			});
			refuse(noDisksObstacle(vm));
			const snapshot = state.put("snapshot", {
				...{ ...state.metadata(), name: String(body.name), description: String(body.description ?? ""), vmId: id },
				...{ parentId: of(id).find(({ current }) => current)?.id ?? null, current: false, phase: "creating" },
				...{ powerState: null, consistency: "crash", disks, error: null },
			});
			const was = vm.status.powerState;
			const task = start("vm.snapshot", snapshot, {
				steps: 2,
				onDone: () => {
					breaks(snapshot, "did not take");
					const powerState = was === "running" || was === "paused" ? was : "stopped";
					state.change("snapshot", snapshot.id, { phase: "ready", powerState });
					moveCurrent(id, snapshot.id);
				},
				onFailed: fail(snapshot.id),
			});
			return { status: 201, body: snapshot, task };
		},
		snapshotUpdate: ({ id, body, headers }) => {
			const snapshot = get(id);
			checkMatch(headers, snapshot);
			if (body.name !== undefined) checkFree(snapshot.vmId, body.name, id);
			state.change("snapshot", id, { ...body, generation: snapshot.generation + 1 });
			return { body: get(id) };
		},
		snapshotRevert: ({ id }) => {
			const snapshot = get(id);
			const vm = vmOf(snapshot.vmId);
			refuse(revertPhaseObstacle(snapshot));
			checkPossible("revert", vm);
			for (const { volumeId } of disksToRevert(vm, snapshot, true))
				refuse(revertDiskObstacle(vm, snapshot, volumeId, tables.volume.get(volumeId)));
			const task = start("vm.revert", snapshot, {
				steps: 2,
				onStep: () => state.change("snapshot", id, { phase: "reverting" }),
				onDone: () => {
					breaks(snapshot, "did not go back to");
					for (const one of of(vm.id))
						if (one.phase === "reverting") state.change("snapshot", one.id, { phase: "ready" });
					for (const { volumeId, sizeBytes } of snapshot.disks) state.change("volume", volumeId, { sizeBytes });
					moveCurrent(vm.id, id);
				},
			});
			return { status: 202, body: task, task };
		},
		snapshotDelete: ({ id, headers }) => {
			const snapshot = get(id);
			const vm = vmOf(snapshot.vmId);
			checkMatch(headers, snapshot);
			refuse(snapshotCopyObstacle(snapshot, [...tables.volume.values()]), "in-use");
			checkPossible("delete-snapshot", vm);
			refuse(halfRevertedDeletionObstacle(vm, snapshot));
			const [volumeOf, poolOf] = [(one: string) => tables.volume.get(one), (one: string) => tables.pool.get(one)];
			refuse(liveDeletionObstacle(vm, snapshot, volumeOf, poolOf, true));
			state.change("snapshot", id, { phase: "deleting" });
			const task = start("snapshot.delete", snapshot, {
				steps: 2,
				onDone: () => {
					const { parentId, current } = get(id);
					for (const one of of(vm.id)) if (one.parentId === id) state.change("snapshot", one.id, { parentId });
					if (current && parentId !== null) moveCurrent(vm.id, parentId);
					state.remove("snapshot", id);
				},
				onFailed: fail(id),
			});
			return { status: 202, body: task, task };
		},
	};
}

function refuse(obstacle: string | null, code = "wrong-state"): void {
	if (obstacle !== null) throw new MockProblem(409, code, obstacle);
}
