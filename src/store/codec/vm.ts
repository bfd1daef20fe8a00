/** VMs, tasks and pruning. */
import type { ErrorInfo } from "../../lib/errors.ts";
import type { Volume } from "../../model/storage.ts";
import type { Task, TaskState } from "../../model/task.ts";
import type { DesiredPower, Vm, VmSpec, VmStatus } from "../../model/vm.ts";
import type { UpkeepDoubt } from "../command.ts";
import {
	type BodyCodecs,
	decodeExpected,
	encodeExpected,
	fromJson,
	fromNullable,
	fromOptionalJson,
	onlyTrue,
	optional,
	toJson,
	toNullable,
	toOptionalJson,
} from "./values.ts";

const encodeVm = (body: { vm: Vm; volumes: Volume[]; task: Task }) => ({
	vmJson: toJson(body.vm),
	volumesJson: body.volumes.map(toJson),
	taskJson: toJson(body.task),
});
const decodeVm = (message: { vmJson: string; volumesJson: string[]; taskJson: string }) => ({
	vm: fromJson<Vm>(message.vmJson),
	volumes: message.volumesJson.map((text) => fromJson<Volume>(text)),
	task: fromJson<Task>(message.taskJson),
});

export const vmCodecs: BodyCodecs<
	| "vmCreate"
	| "vmUpdate"
	| "vmAction"
	| "vmDelete"
	| "vmStatus"
	| "vmGone"
	| "vmAdopt"
	| "vmUnadopt"
	| "vmMove"
	| "vmMoved"
	| "vmElsewhere"
	| "taskUpdate"
	| "taskCancel"
	| "prune"
> = {
	vmCreate: {
		encode: (body) => ({ ...encodeVm(body), ...optional("freeSources", body.freeSources) }),
		decode: (message) => ({ ...decodeVm(message), ...onlyTrue("freeSources", message.freeSources) }),
	},
	vmAdopt: { encode: encodeVm, decode: decodeVm },
	vmUpdate: {
		encode: (body) => ({
			...encodeExpected(body),
			name: body.name,
			description: body.description,
			...(body.tags === undefined ? {} : { tags: { values: body.tags } }),
			specJson: toOptionalJson(body.spec),
			taskJson: toJson(body.task),
			...optional("freeSources", body.freeSources),
		}),
		decode: (message) => ({
			...decodeExpected(message),
			...optional("name", message.name),
			...optional("description", message.description),
			...optional("tags", message.tags?.values),
			...optional("spec", fromOptionalJson<VmSpec>(message.specJson)),
			task: fromJson<Task>(message.taskJson),
			...onlyTrue("freeSources", message.freeSources),
		}),
	},
	vmAction: {
		encode: (body) => ({ id: body.id, desiredPower: body.desiredPower, taskJson: toJson(body.task) }),
		decode: (message) => ({
			id: message.id,
			...optional("desiredPower", message.desiredPower as DesiredPower | undefined),
			task: fromJson<Task>(message.taskJson),
		}),
	},
	vmDelete: {
		encode: (body) => ({ id: body.id, deleteVolumes: body.deleteVolumes, taskJson: toJson(body.task) }),
		decode: (message) => ({
			id: message.id,
			deleteVolumes: message.deleteVolumes,
			task: fromJson<Task>(message.taskJson),
		}),
	},
	vmStatus: {
		encode: (body) => ({
			id: body.id,
			nodeId: body.nodeId,
			statusJson: toJson(body.status),
			desiredPower: body.desiredPower,
		}),
		decode: (message) => ({
			id: message.id,
			nodeId: message.nodeId,
			status: fromJson<VmStatus>(message.statusJson),
			...optional("desiredPower", message.desiredPower as DesiredPower | undefined),
		}),
	},
	vmGone: {
		encode: (body) => ({ id: body.id, nodeId: body.nodeId }),
		decode: (message) => ({ id: message.id, nodeId: message.nodeId }),
	},
	vmUnadopt: {
		encode: (body) => ({ id: body.id, nodeId: body.nodeId, errorJson: toJson(body.error) }),
		decode: (message) => ({
			id: message.id,
			nodeId: message.nodeId,
			error: fromJson<ErrorInfo>(message.errorJson),
		}),
	},
	vmMove: {
		encode: (body) => ({
			id: body.id,
			nodeId: body.nodeId,
			taskJson: toJson(body.task),
			...(body.confirmNodeOff === null ? {} : { confirmNodeOff: body.confirmNodeOff }),
			...(body.onlyLost ? { onlyLost: true } : {}),
			...(body.keepDiscards ? { keepDiscards: true } : {}),
		}),
		decode: (message) => ({
			id: message.id,
			nodeId: message.nodeId,
			task: fromJson<Task>(message.taskJson),
			confirmNodeOff: message.confirmNodeOff ?? null,
			...(message.onlyLost === true ? { onlyLost: true } : {}),
			...(message.keepDiscards === true ? { keepDiscards: true } : {}),
		}),
	},
	vmElsewhere: {
		encode: ({ kind: _kind, ...body }) => body,
		decode: ({ id, nodeId, runs }) => ({ id, nodeId, runs }),
	},
	vmMoved: {
		encode: ({ kind: _kind, ...body }) => body,
		decode: (message) => ({
			id: message.id,
			nodeId: message.nodeId,
			fromNodeId: message.fromNodeId,
			volumes: message.volumes.map(({ id, poolId }) => ({ id, poolId })),
			discardTaskIds: message.discardTaskIds,
			...(message.onlyOff === true ? { onlyOff: true } : {}),
		}),
	},
	taskUpdate: {
		encode: (body) => ({
			id: body.id,
			state: body.state,
			progress: toNullable(body.progress),
			message: toNullable(body.message),
			cancelable: body.cancelable,
			errorJson: toOptionalJson(body.error),
		}),
		decode: (message) => ({
			id: message.id,
			state: message.state as TaskState,
			...optional("progress", fromNullable(message.progress)),
			...optional("message", fromNullable(message.message)),
			...optional("cancelable", message.cancelable),
			...optional("error", fromOptionalJson<ErrorInfo | null>(message.errorJson)),
		}),
	},
	taskCancel: {
		encode: (body) => ({ id: body.id, ...(body.endIfLost ? { endIfLost: true } : {}) }),
		decode: (message) => ({ id: message.id, ...(message.endIfLost === true ? { endIfLost: true } : {}) }),
	},
	prune: {
		encode: (body) => ({
			tasksBefore: body.tasksBefore,
			sessionsExpiredBefore: body.sessionsExpiredBefore,
			auditBefore: body.auditBefore,
			doubtsJson: toOptionalJson(body.doubts),
		}),
		decode: (message) => ({
			tasksBefore: message.tasksBefore,
			sessionsExpiredBefore: message.sessionsExpiredBefore,
			auditBefore: message.auditBefore,
			...optional("doubts", fromOptionalJson<UpkeepDoubt[]>(message.doubtsJson)),
		}),
	},
};
