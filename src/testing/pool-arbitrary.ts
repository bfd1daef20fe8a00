/** Random commands about storage pools, and work on volumes; part of command-arbitrary.ts. */
import fc from "fast-check";
import { GiB } from "../lib/units.ts";
import type { Pool } from "../model/storage.ts";
import type { CommandBody, CommandKind } from "../store/command.ts";
import {
	bytes,
	errorInfo,
	expected,
	imageId,
	maybe,
	name,
	nodeId,
	poolId,
	record,
	task,
	taskId,
	text,
	volumeId,
} from "./command-parts.ts";
import { clusterIds, fixtureNfs, fixturePool, fixtureTime } from "./fixtures.ts";

type Arbitraries<K extends CommandKind> = { [Kind in K]: fc.Arbitrary<Extract<CommandBody, { kind: Kind }>> };
const described = { expectedGeneration: expected, name: maybe(name), description: maybe(text) };

const iscsi = {
	...{ portals: ["10.0.0.1"], target: "iqn.2026-01.net.example:disks", chapUser: null, mutualChapUser: null },
	...{ wwid: "naa.6001405a", layout: "thick" as const, wipeOnDelete: false },
};

export const poolArbitraries: Arbitraries<
	"poolCreate" | "poolUpdate" | "poolDelete" | "poolNodeStatus" | "poolGone" | "poolOrphanDelete" | "secretsKeySet"
> = {
	poolCreate: fc
		.record({
			id: poolId,
			name,
			place: fc.constantFrom<Partial<Pool>>(
				{ config: { path: "/a" } },
				{ config: { path: "/b" } },
				{ config: { path: "/a/c" } },
				{ type: "nfs", config: fixtureNfs },
				{ type: "iscsi-lvm", config: { ...iscsi, hostIds: { [clusterIds.node]: 1 } } },
				{ type: "iscsi-lvm", config: { ...iscsi, hostIds: { [clusterIds.node]: 2 } } },
			),
			nodeIds: maybe(fc.uniqueArray(nodeId, { maxLength: 2 })),
			sealedCredentials: maybe(fc.constantFrom("v1.x", "no good")),
			checksHostIds: maybe(fc.constant<true>(true)),
			task: task(["pool.create"], poolId, "pool"),
		})
		.map(({ place, task: sent, sealedCredentials, checksHostIds, nodeIds, ...changes }) => ({
			kind: "poolCreate",
			pool: fixturePool({ ...changes, ...place, ...(nodeIds ? { nodeIds } : {}) }),
			task: sent,
			...(sealedCredentials === undefined ? {} : { sealedCredentials }),
			...(checksHostIds === undefined ? {} : { checksHostIds }),
		})),
	poolUpdate: record({
		kind: fc.constant("poolUpdate"),
		id: poolId,
		...described,
		config: maybe(fc.constantFrom<Pool["config"]>({ path: "/a" }, fixtureNfs, { ...fixtureNfs, server: "other" })),
		nodeIds: maybe(fc.uniqueArray(nodeId, { maxLength: 2 })),
		sealedCredentials: maybe(fc.constantFrom("v1.x", "no good")),
		checksHostIds: maybe(fc.constant<true>(true)),
	}),
	secretsKeySet: record({
		kind: fc.constant("secretsKeySet"),
		keyId: fc.constantFrom("0".repeat(32), "1".repeat(32), "x"),
		replaces: fc.constantFrom("", "0".repeat(32)),
	}),
	poolDelete: record({ kind: fc.constant("poolDelete"), id: poolId, task: task(["pool.delete"], poolId, "pool") }),
	poolNodeStatus: fc
		.record({ id: poolId, nodeId, health: fc.constantFrom("healthy", "error", "degraded") })
		.map(({ id, ...status }) => ({
			kind: "poolNodeStatus",
			id,
			status: {
				...status,
				reason: null,
				totalBytes: GiB,
				usedBytes: 0,
				availableBytes: null,
				capabilities: null,
				updatedAt: fixtureTime,
			},
		})),
	poolGone: record({ kind: fc.constant("poolGone"), id: poolId }),
	poolOrphanDelete: record({
		kind: fc.constant("poolOrphanDelete"),
		id: poolId,
		volumeIds: fc.array(volumeId, { maxLength: 2 }),
		imageIds: fc.array(imageId, { maxLength: 1 }),
		task: task(["pool.deleteOrphans"], poolId, "pool"),
	}),
};

export const volumeWorkArbitraries: Arbitraries<
	"volumeMove" | "volumeMoved" | "volumeCheck" | "volumeFlatten" | "volumeFlattened" | "volumeUnadopt"
> = {
	volumeMove: record({
		kind: fc.constant("volumeMove"),
		id: volumeId,
		poolId,
		nodeId: fc.option(nodeId),
		format: fc.constantFrom("qcow2", "raw"),
		task: task(["volume.move"], volumeId, "volume"),
	}),
	volumeMoved: record({
		kind: fc.constant("volumeMoved"),
		id: volumeId,
		taskId,
		sizeBytes: bytes,
		allocatedBytes: bytes,
		discardTaskId: taskId,
	}),
	volumeCheck: record({
		kind: fc.constant("volumeCheck"),
		id: volumeId,
		repair: fc.boolean(),
		task: task(["volume.check"], volumeId, "volume"),
	}),
	volumeFlatten: record({
		kind: fc.constant("volumeFlatten"),
		id: volumeId,
		task: task(["volume.flatten"], volumeId, "volume"),
	}),
	volumeUnadopt: record({
		kind: fc.constant("volumeUnadopt"),
		id: volumeId,
		taskId,
		error: errorInfo.map((error) => error ?? { code: "canceled", message: "not to be taken" }),
	}),
	volumeFlattened: record({ kind: fc.constant("volumeFlattened"), id: volumeId, taskId, allocatedBytes: bytes }),
};
