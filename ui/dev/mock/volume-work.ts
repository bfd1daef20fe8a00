/** The mock's work on volumes that keeps them what they are: copies into other pools, moves, checks. */
import { isVmOff } from "../../../src/model/actions.ts";
import { formatsOf, isShared } from "../../../src/model/storage-rules.ts";
import type { Pool, Volume } from "../../api/types.ts";
import { refuseKept, refuseRunning, refuseWork } from "./around-volume.ts";
import { checkName, find, type HandlerTable, MockProblem } from "./request.ts";
import type { MockState } from "./state.ts";

export function volumeWork(state: MockState): HandlerTable {
	const poolOf = (id: unknown): Pool => {
		const pool = state.tables.pool.get(String(id));
		if (!pool)
			throw new MockProblem(422, "invalid", "The request is not valid.", [
				{ path: "/poolId", message: "There is no such storage pool." },
			]);
		return pool;
	};
	const runs = ({ vmId }: Volume): boolean => {
		const power = state.tables.vm.get(vmId ?? "")?.status.powerState;
		return power !== undefined && !isVmOff(power);
	};
	return {
		volumeClone: ({ id, body }) => {
			checkName(state, "volume", body.name);
			const source = find(state, "volume", id) as Volume;
			refuseWork(state, source);
			refuseRunning(state, source);
			const pool = poolOf(body.poolId ?? source.poolId);
			const elsewhere = pool.id !== source.poolId;
			const volume = state.put("volume", {
				...{ ...source, ...state.metadata(), name: String(body.name), poolId: pool.id, vmId: null, phase: "creating" },
				format: elsewhere ? (formatsOf(pool)[0] ?? source.format) : source.format,
				nodeId: isShared(pool) ? null : state.nodeId,
				...(body.provisioning === undefined
					? {}
					: { provisioning: body.provisioning as Volume["provisioning"] & string }),
				source: { kind: "clone", volumeId: id, fullCopy: body.fullCopy === true },
			});
			const task = state.startTask("volume.create", [state.refOf("volume", volume.id)], {
				steps: 3,
				onDone: () => state.change("volume", volume.id, { phase: "ready" }),
			});
			return { status: 201, body: volume, task };
		},
		volumeMove: ({ id, body }) => {
			const volume = find(state, "volume", id) as Volume;
			refuseKept(state, volume);
			const pool = poolOf(body.poolId);
			const format = (body.format as Volume["format"] | undefined) ?? volume.format;
			const { source } = volume;
			const task = state.startTask("volume.move", [state.refOf("volume", id)], {
				...{ steps: 40, messages: ["Copying the disk"], cancelable: true },
				input: { poolId: pool.id, format, fromPoolId: volume.poolId },
				onDone: () =>
					state.change("volume", id, {
						...{ poolId: pool.id, format, nodeId: isShared(pool) ? null : state.nodeId },
						source: source.kind === "empty" ? source : { ...source, fullCopy: true },
					}),
			});
			return { status: 202, body: task, task };
		},
		volumeFlatten: ({ id }) => {
			const { source } = find(state, "volume", id) as Volume;
			const task = state.startTask("volume.flatten", [state.refOf("volume", id)], {
				...{ steps: 12, messages: ["Making the volume stand alone"], cancelable: true },
				onDone: () =>
					state.change("volume", id, { source: source.kind === "empty" ? source : { ...source, fullCopy: true } }),
			});
			return { status: 202, body: task, task };
		},
		volumeCheck: ({ id, body }) => {
			const volume = find(state, "volume", id) as Volume;
			const repair = body.repair === true;
			const task = state.startTask("volume.check", [state.refOf("volume", id)], {
				...{ steps: 4, messages: ["Looking for damage"], cancelable: true, input: { repair } },
				onDone: () => {
					if (runs(volume))
						throw new Error(`Volume "${volume.name}" belongs to a running VM: stop it to check the volume.`);
				},
				found: () => {
					if (!state.damaged.has(id)) return "No damage found.";
					if (repair) state.damaged.delete(id);
					return repair ? "Repaired: 3." : "Found 2 damaged structures and 4 MiB that belong to nothing; repaired: 0.";
				},
			});
			return { status: 202, body: task, task };
		},
	};
}
