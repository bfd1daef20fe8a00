/** Snapshots of VMs. */
import type { ErrorInfo } from "../../lib/errors.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import type { Task } from "../../model/task.ts";
import {
	type BodyCodecs,
	decodeExpected,
	encodeExpected,
	fromJson,
	fromOptionalJson,
	fromUint64,
	onlyId,
	optional,
	toJson,
	toOptionalJson,
	toUint64,
} from "./values.ts";

const idAndTask = {
	encode: (body: { id: string; task: Task }) => ({ id: body.id, taskJson: toJson(body.task) }),
	decode: (message: { id: string; taskJson: string }) => ({ id: message.id, task: fromJson<Task>(message.taskJson) }),
};

export const snapshotCodecs: BodyCodecs<
	| "snapshotCreate"
	| "snapshotUpdate"
	| "snapshotStatus"
	| "snapshotRevert"
	| "snapshotReverted"
	| "snapshotDelete"
	| "snapshotGone"
> = {
	snapshotCreate: {
		encode: (body) => ({ snapshotJson: toJson(body.snapshot), taskJson: toJson(body.task) }),
		decode: (message) => ({
			snapshot: fromJson<Snapshot>(message.snapshotJson),
			task: fromJson<Task>(message.taskJson),
		}),
	},
	snapshotUpdate: {
		encode: (body) => ({
			...encodeExpected(body),
			...optional("name", body.name),
			...optional("description", body.description),
		}),
		decode: (message) => ({
			...decodeExpected(message),
			...optional("name", message.name),
			...optional("description", message.description),
		}),
	},
	snapshotStatus: {
		encode: (body) => ({
			...{ id: body.id, phase: body.phase },
			...optional("powerState", body.powerState),
			...optional("consistency", body.consistency),
			...optional("sizes", body.sizes && { values: body.sizes.map(encodeSize) }),
			errorJson: toOptionalJson(body.error),
		}),
		decode: (message) => ({
			...{ id: message.id, phase: message.phase as Snapshot["phase"] },
			...optional("powerState", message.powerState as Exclude<Snapshot["powerState"], null> | undefined),
			...optional("consistency", message.consistency as Snapshot["consistency"] | undefined),
			...optional("sizes", message.sizes?.values.map(decodeSize)),
			...optional("error", fromOptionalJson<ErrorInfo | null>(message.errorJson)),
		}),
	},
	snapshotRevert: {
		encode: (body) => ({ ...idAndTask.encode(body), ...optional("partly", body.partly) }),
		decode: (message) => ({ ...idAndTask.decode(message), ...(message.partly ? { partly: true as const } : {}) }),
	},
	snapshotReverted: onlyId,
	snapshotDelete: {
		encode: (body) => ({ ...idAndTask.encode(body), ...optional("merging", body.merging) }),
		decode: (message) => ({ ...idAndTask.decode(message), ...(message.merging ? { merging: true as const } : {}) }),
	},
	snapshotGone: onlyId,
};

const encodeSize = ({ volumeId, sizeBytes }: { volumeId: string; sizeBytes: number }) => ({
	volumeId,
	sizeBytes: toUint64(sizeBytes),
});
const decodeSize = ({ volumeId, sizeBytes }: { volumeId: string; sizeBytes: bigint }) => ({
	volumeId,
	sizeBytes: fromUint64(sizeBytes),
});
