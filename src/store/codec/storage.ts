/** Pools, volumes, images, networks. */
import type { ErrorInfo } from "../../lib/errors.ts";
import type { Network, NetworkNodeStatus } from "../../model/network.ts";
import type { Image, Pool, PoolNodeStatus, Volume } from "../../model/storage.ts";
import type { Task } from "../../model/task.ts";
import {
	type BodyCodecs,
	decodeExpected,
	encodeExpected,
	fromJson,
	fromNullable,
	fromOptionalJson,
	fromOptionalUint64,
	fromUint64,
	onlyId,
	onlyTrue,
	optional,
	toJson,
	toNullable,
	toOptionalJson,
	toOptionalUint64,
	toUint64,
} from "./values.ts";

const idAndTask = {
	encode: (body: { id: string; task: Task }) => ({ id: body.id, taskJson: toJson(body.task) }),
	decode: (message: { id: string; taskJson: string }) => ({
		id: message.id,
		task: fromJson<Task>(message.taskJson),
	}),
};

type Described = { id: string; expectedGeneration?: number; name?: string; description?: string };
const described = {
	encode: (body: Described) => ({ ...encodeExpected(body), name: body.name, description: body.description }),
	decode: (message: {
		id: string;
		expectedGeneration?: bigint | undefined;
		name?: string | undefined;
		description?: string | undefined;
	}) => ({
		...decodeExpected(message),
		...optional("name", message.name),
		...optional("description", message.description),
	}),
};

export const storageCodecs: BodyCodecs<
	| "poolCreate"
	| "poolUpdate"
	| "poolDelete"
	| "poolNodeStatus"
	| "poolGone"
	| "poolOrphanDelete"
	| "secretsKeySet"
	| "volumeCreate"
	| "volumeUpdate"
	| "volumeResize"
	| "volumeDelete"
	| "volumeStatus"
	| "volumeGone"
	| "volumeUnadopt"
	| "volumeMove"
	| "volumeMoved"
	| "volumeCheck"
	| "volumeFlatten"
	| "volumeFlattened"
	| "volumeUsage"
	| "imageCreate"
	| "imageUpdate"
	| "imageDelete"
	| "imageStatus"
	| "imageGone"
	| "networkCreate"
	| "networkUpdate"
	| "networkDelete"
	| "networkNodeStatus"
	| "networkGone"
> = {
	poolCreate: {
		encode: (body) => ({
			...{ poolJson: toJson(body.pool), taskJson: toJson(body.task) },
			...optional("sealedCredentials", body.sealedCredentials),
			...optional("checksHostIds", body.checksHostIds),
		}),
		decode: (message) => ({
			...{ pool: fromJson<Pool>(message.poolJson), task: fromJson<Task>(message.taskJson) },
			...optional("sealedCredentials", message.sealedCredentials),
			...onlyTrue("checksHostIds", message.checksHostIds),
		}),
	},
	poolUpdate: {
		encode: (body) => ({
			...described.encode(body),
			configJson: toOptionalJson(body.config),
			nodeIdsJson: toOptionalJson(body.nodeIds),
			...optional("sealedCredentials", body.sealedCredentials),
			...optional("checksHostIds", body.checksHostIds),
		}),
		decode: (message) => ({
			...described.decode(message),
			...optional("config", fromOptionalJson<Pool["config"]>(message.configJson)),
			...optional("nodeIds", fromOptionalJson<string[]>(message.nodeIdsJson)),
			...optional("sealedCredentials", message.sealedCredentials),
			...onlyTrue("checksHostIds", message.checksHostIds),
		}),
	},
	secretsKeySet: {
		encode: ({ keyId, replaces }) => ({ keyId, replaces }),
		decode: ({ keyId, replaces }) => ({ keyId, replaces }),
	},
	poolDelete: idAndTask,
	poolNodeStatus: {
		encode: (body) => ({ id: body.id, statusJson: toJson(body.status) }),
		decode: (message) => ({ id: message.id, status: fromJson<PoolNodeStatus>(message.statusJson) }),
	},
	poolGone: onlyId,
	poolOrphanDelete: {
		encode: ({ volumeIds, imageIds, ...body }) => ({ ...idAndTask.encode(body), volumeIds, imageIds }),
		decode: ({ volumeIds, imageIds, ...message }) => ({ ...idAndTask.decode(message), volumeIds, imageIds }),
	},
	volumeCreate: {
		encode: (body) => ({
			...{ volumeJson: toJson(body.volume), taskJson: toJson(body.task) },
			...optional("freeSources", body.freeSources),
			snapshotIdsJson: toOptionalJson(body.snapshotIds),
		}),
		decode: (message) => ({
			...{ volume: fromJson<Volume>(message.volumeJson), task: fromJson<Task>(message.taskJson) },
			...onlyTrue("freeSources", message.freeSources),
			...optional("snapshotIds", fromOptionalJson<string[]>(message.snapshotIdsJson)),
		}),
	},
	volumeUpdate: {
		encode: (body) => ({ ...encodeExpected(body), name: body.name }),
		decode: (message) => ({ ...decodeExpected(message), name: message.name }),
	},
	volumeResize: {
		encode: (body) => ({
			...{ ...idAndTask.encode(body), sizeBytes: toUint64(body.sizeBytes) },
			...optional("freeSources", body.freeSources),
		}),
		decode: (message) => ({
			...{ ...idAndTask.decode(message), sizeBytes: fromUint64(message.sizeBytes) },
			...onlyTrue("freeSources", message.freeSources),
		}),
	},
	volumeDelete: idAndTask,
	volumeStatus: {
		encode: (body) => ({
			id: body.id,
			phase: body.phase,
			sizeBytes: toOptionalUint64(body.sizeBytes),
			allocatedBytes: toNullable(body.allocatedBytes === null ? null : toOptionalUint64(body.allocatedBytes)),
			...optional("format", body.format),
			errorJson: toOptionalJson(body.error),
		}),
		decode: (message) => {
			const allocated = fromNullable(message.allocatedBytes);
			return {
				id: message.id,
				phase: message.phase as Volume["phase"],
				...optional("sizeBytes", fromOptionalUint64(message.sizeBytes)),
				...optional("allocatedBytes", allocated === null ? null : fromOptionalUint64(allocated)),
				...optional("format", message.format as Volume["format"] | undefined),
				...optional("error", fromOptionalJson<ErrorInfo | null>(message.errorJson)),
			};
		},
	},
	volumeGone: onlyId,
	volumeUnadopt: {
		encode: ({ id, taskId, error }) => ({ id, taskId, errorJson: toJson(error) }),
		decode: ({ id, taskId, errorJson }) => ({ id, taskId, error: fromJson<ErrorInfo>(errorJson) }),
	},
	volumeMove: {
		encode: ({ poolId, nodeId, format, ...body }) => ({
			...{ ...idAndTask.encode(body), poolId, format },
			...(nodeId === null ? {} : { nodeId }),
		}),
		decode: ({ poolId, nodeId, format, ...message }) => ({
			...{ ...idAndTask.decode(message), poolId, nodeId: nodeId ?? null, format: format as Volume["format"] },
		}),
	},
	volumeMoved: {
		encode: ({ id, taskId, sizeBytes, allocatedBytes, discardTaskId }) => ({
			...{ id, taskId, discardTaskId },
			...{ sizeBytes: toUint64(sizeBytes), allocatedBytes: toUint64(allocatedBytes) },
		}),
		decode: ({ id, taskId, sizeBytes, allocatedBytes, discardTaskId }) => ({
			...{ id, taskId, discardTaskId },
			...{ sizeBytes: fromUint64(sizeBytes), allocatedBytes: fromUint64(allocatedBytes) },
		}),
	},
	volumeCheck: {
		encode: (body) => ({ ...idAndTask.encode(body), repair: body.repair }),
		decode: (message) => ({ ...idAndTask.decode(message), repair: message.repair }),
	},
	volumeFlatten: idAndTask,
	volumeFlattened: {
		encode: ({ id, taskId, allocatedBytes }) => ({ id, taskId, allocatedBytes: toUint64(allocatedBytes) }),
		decode: ({ id, taskId, allocatedBytes }) => ({ id, taskId, allocatedBytes: fromUint64(allocatedBytes) }),
	},
	volumeUsage: {
		encode: ({ poolId, volumes }) => ({
			poolId,
			volumes: volumes.map(({ id, allocatedBytes }) => ({ id, allocatedBytes: toUint64(allocatedBytes) })),
		}),
		decode: ({ poolId, volumes }) => ({
			poolId,
			volumes: volumes.map(({ id, allocatedBytes }) => ({ id, allocatedBytes: fromUint64(allocatedBytes) })),
		}),
	},
	imageCreate: {
		encode: (body) => ({ imageJson: toJson(body.image), taskJson: toJson(body.task) }),
		decode: (message) => ({ image: fromJson<Image>(message.imageJson), task: fromJson<Task>(message.taskJson) }),
	},
	imageUpdate: {
		encode: (body) => ({
			...described.encode(body),
			...(body.tags === undefined ? {} : { tags: { values: body.tags } }),
		}),
		decode: (message) => ({ ...described.decode(message), ...optional("tags", message.tags?.values) }),
	},
	imageDelete: idAndTask,
	imageStatus: {
		encode: (body) => ({
			id: body.id,
			phase: body.phase,
			receivedBytes: toOptionalUint64(body.receivedBytes),
			fileSizeBytes: toOptionalUint64(body.fileSizeBytes),
			virtualSizeBytes: toOptionalUint64(body.virtualSizeBytes),
			sha256: body.sha256,
			...optional("format", body.format),
			errorJson: toOptionalJson(body.error),
		}),
		decode: (message) => ({
			id: message.id,
			phase: message.phase as Image["phase"],
			...optional("receivedBytes", fromOptionalUint64(message.receivedBytes)),
			...optional("fileSizeBytes", fromOptionalUint64(message.fileSizeBytes)),
			...optional("virtualSizeBytes", fromOptionalUint64(message.virtualSizeBytes)),
			...optional("sha256", message.sha256),
			...optional("format", message.format as Image["format"] | undefined),
			...optional("error", fromOptionalJson<ErrorInfo | null>(message.errorJson)),
		}),
	},
	imageGone: onlyId,
	networkCreate: {
		encode: (body) => ({ networkJson: toJson(body.network), taskJson: toJson(body.task) }),
		decode: (message) => ({
			network: fromJson<Network>(message.networkJson),
			task: fromJson<Task>(message.taskJson),
		}),
	},
	networkUpdate: described,
	networkDelete: idAndTask,
	networkNodeStatus: {
		encode: (body) => ({ id: body.id, statusJson: toJson(body.status) }),
		decode: (message) => ({ id: message.id, status: fromJson<NetworkNodeStatus>(message.statusJson) }),
	},
	networkGone: onlyId,
};
