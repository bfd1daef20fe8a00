/**
 * Random commands for property tests: every kind, on a small set of ids, so that they meet each other; valid often
 * enough to change things, and wrong in every way that apply must refuse.
 */
import fc from "fast-check";
import type { ErrorInfo } from "../lib/errors.ts";
import { roles } from "../model/access.ts";
import { taskStates } from "../model/task.ts";
import type { Command, CommandBody, CommandKind } from "../store/command.ts";
import { clusterArbitraries } from "./cluster-arbitrary.ts";
import {
	bytes,
	errorInfo,
	expected,
	hash,
	imageId,
	maybe,
	mostly,
	name,
	networkId,
	nodeId,
	nodeStatus,
	peerAddresses,
	poolId,
	rarely,
	record,
	secondNodeId,
	secretHash,
	sessionId,
	snapshotId,
	spec,
	tags,
	task,
	taskId,
	text,
	time,
	tokenId,
	userId,
	verifiedHash,
	vmId,
	vmStatus,
	vmTaskKinds,
	vmWithVolumes,
	volume,
	volumeId,
} from "./command-parts.ts";
import {
	clusterIds,
	fixtureCluster,
	fixtureClusterObject,
	fixtureId,
	fixtureImage,
	fixtureNetwork,
	fixtureSession,
	fixtureTime,
	fixtureToken,
	fixtureUser,
} from "./fixtures.ts";
import { poolArbitraries, volumeWorkArbitraries } from "./pool-arbitrary.ts";
import { snapshotArbitraries } from "./snapshot-arbitrary.ts";

const freeSources = maybe(fc.constant<true>(true));

/** Where an error has to be said. */
const orBroken = (error: ErrorInfo | null): ErrorInfo => error ?? { code: "invalid", message: "not to be taken" };

type Arbitraries = { [K in CommandKind]: fc.Arbitrary<Extract<CommandBody, { kind: K }>> };

const described = {
	expectedGeneration: expected,
	name: maybe(name),
	description: maybe(text),
};

export const bodyArbitraries: Arbitraries = {
	clusterInit: fc.constant(fixtureCluster()),
	clusterUpdate: record({
		kind: fc.constant("clusterUpdate"),
		id: fc.constant(fixtureClusterObject().id),
		expectedGeneration: expected,
		name,
	}),
	nodeUpdate: record({
		kind: fc.constant("nodeUpdate"),
		id: nodeId,
		expectedGeneration: expected,
		name: maybe(name),
		peerAddresses: maybe(peerAddresses),
	}),
	nodeStatus: record({ kind: fc.constant("nodeStatus"), id: nodeId, status: nodeStatus }),
	...clusterArbitraries,
	userCreate: fc
		.record({ id: userId, name, role: fc.constantFrom(...roles), passwordHash: hash })
		.map(({ passwordHash, ...changes }) => ({ kind: "userCreate", user: fixtureUser(changes), passwordHash })),
	userUpdate: record({
		kind: fc.constant("userUpdate"),
		id: userId,
		expectedGeneration: expected,
		displayName: maybe(text),
		role: maybe(fc.constantFrom(...roles)),
		enabled: maybe(fc.boolean()),
	}),
	userPasswordSet: record({
		kind: fc.constant("userPasswordSet"),
		id: userId,
		passwordHash: hash,
		mustChangePassword: fc.boolean(),
		keepSessionId: maybe(sessionId),
		endTokens: maybe(fc.boolean()),
		verifiedHash: maybe(verifiedHash),
	}),
	userDelete: record({ kind: fc.constant("userDelete"), id: userId }),
	sessionCreate: fc
		.record({ id: sessionId, userId, expiresAt: time, secretHash, verified: maybe(verifiedHash) })
		.map(({ secretHash: sent, verified, ...changes }) => ({
			kind: "sessionCreate",
			session: fixtureSession(changes),
			secretHash: sent,
			...(verified === undefined ? {} : { verifiedHash: verified }),
		})),
	sessionDelete: record({ kind: fc.constant("sessionDelete"), id: sessionId }),
	tokenCreate: fc
		.record({ id: tokenId, userId, role: fc.constantFrom(...roles), expiresAt: fc.option(time), secretHash })
		.map(({ secretHash: sent, ...changes }) => ({
			kind: "tokenCreate",
			token: fixtureToken(changes),
			secretHash: sent,
		})),
	tokenDelete: record({ kind: fc.constant("tokenDelete"), id: tokenId }),
	auditAppend: fc.constant({
		kind: "auditAppend",
		record: {
			id: fixtureId(0x800),
			time: fixtureTime,
			requester: { kind: "user", id: clusterIds.admin, name: "admin" },
			remoteAddress: null,
			operation: "userList",
			outcome: "denied",
			targets: [],
			errorCode: "forbidden",
		},
	}),
	vmCreate: fc
		.record({ made: vmWithVolumes, task: task(["vm.create"], vmId, "vm"), freeSources })
		.map(({ made, task: sent, freeSources: free }) => ({
			...{ kind: "vmCreate", ...made, task: sent },
			...(free ? { freeSources: free } : {}),
		})),
	vmUpdate: record({
		kind: fc.constant("vmUpdate"),
		id: vmId,
		...described,
		tags: maybe(tags),
		spec: maybe(spec),
		task: task(["vm.update"], vmId, "vm"),
		freeSources,
	}),
	vmAction: record({
		kind: fc.constant("vmAction"),
		id: vmId,
		desiredPower: maybe(fc.constantFrom("running", "paused", "stopped")),
		task: task(vmTaskKinds, vmId, "vm"),
	}),
	vmDelete: record({
		kind: fc.constant("vmDelete"),
		id: vmId,
		deleteVolumes: fc.boolean(),
		task: task(["vm.delete"], vmId, "vm"),
	}),
	vmStatus: record({
		kind: fc.constant("vmStatus"),
		id: vmId,
		nodeId,
		status: vmStatus,
		desiredPower: maybe(fc.constantFrom("running", "paused", "stopped")),
	}),
	vmGone: record({ kind: fc.constant("vmGone"), id: vmId, nodeId }),
	vmUnadopt: record({ kind: fc.constant("vmUnadopt"), id: vmId, nodeId, error: errorInfo.map(orBroken) }),
	vmMove: fc
		.record({
			target: fc.oneof({ weight: 4, arbitrary: secondNodeId }, nodeId),
			id: vmId,
			sent: task(["vm.move"], vmId, "vm"),
			confirmNodeOff: mostly(null, "node-1", "node-2"),
			onlyLost: fc.boolean(),
			keepDiscards: fc.boolean(),
		})
		.map(({ target, id, sent, confirmNodeOff, onlyLost, keepDiscards }) => ({
			...{ kind: "vmMove", id, nodeId: target, confirmNodeOff },
			...{ ...(onlyLost ? { onlyLost } : {}), ...(keepDiscards ? { keepDiscards } : {}) },
			task: { ...sent, nodeId: target, targets: [{ kind: "vm", id, name: null }] },
		})),
	vmElsewhere: record({
		kind: fc.constant("vmElsewhere"),
		id: vmId,
		nodeId: fc.oneof(nodeId, secondNodeId),
		runs: fc.boolean(),
	}),
	vmMoved: record({
		kind: fc.constant("vmMoved"),
		id: vmId,
		nodeId: fc.oneof({ weight: 4, arbitrary: secondNodeId }, nodeId),
		fromNodeId: nodeId,
		volumes: fc.array(record({ id: volumeId, poolId }), { maxLength: 1 }),
		discardTaskIds: fc.array(taskId, { minLength: 1, maxLength: 2 }),
		onlyOff: maybe(fc.constant(true as const)),
	}),
	vmAdopt: fc
		.record({ made: vmWithVolumes, task: task(["vm.adopt"], vmId, "vm") })
		.map(({ made, task: sent }) => ({ kind: "vmAdopt", ...made, task: sent })),
	...poolArbitraries,
	...snapshotArbitraries,
	volumeCreate: record({
		kind: fc.constant("volumeCreate"),
		volume,
		task: task(["volume.create"], volumeId, "volume"),
		freeSources,
		snapshotIds: rarely(fc.uniqueArray(snapshotId, { maxLength: 2 })),
	}),
	volumeUpdate: record({ kind: fc.constant("volumeUpdate"), id: volumeId, expectedGeneration: expected, name }),
	volumeResize: record({
		kind: fc.constant("volumeResize"),
		id: volumeId,
		sizeBytes: bytes,
		task: task(["volume.resize"], volumeId, "volume"),
		freeSources,
	}),
	volumeDelete: record({
		kind: fc.constant("volumeDelete"),
		id: volumeId,
		task: task(["volume.delete"], volumeId, "volume"),
	}),
	volumeStatus: record({
		kind: fc.constant("volumeStatus"),
		id: volumeId,
		phase: fc.constantFrom("pending", "creating", "ready", "resizing", "deleting", "error"),
		sizeBytes: maybe(bytes),
		allocatedBytes: maybe(fc.option(bytes)),
		format: rarely(fc.constantFrom("qcow2", "raw")),
		error: maybe(errorInfo),
	}),
	volumeUsage: record({
		kind: fc.constant("volumeUsage"),
		poolId,
		volumes: fc.array(record({ id: volumeId, allocatedBytes: bytes }), { maxLength: 3 }),
	}),
	...volumeWorkArbitraries,
	volumeGone: record({ kind: fc.constant("volumeGone"), id: volumeId }),
	imageCreate: fc
		.record({ id: imageId, name, poolId, task: task(["image.import"], imageId, "image") })
		.map(({ task: sent, ...changes }) => ({ kind: "imageCreate", image: fixtureImage(changes), task: sent })),
	imageUpdate: record({ kind: fc.constant("imageUpdate"), id: imageId, ...described, tags: maybe(tags) }),
	imageDelete: record({
		kind: fc.constant("imageDelete"),
		id: imageId,
		task: task(["image.delete"], imageId, "image"),
	}),
	imageStatus: record({
		kind: fc.constant("imageStatus"),
		id: imageId,
		phase: fc.constantFrom("uploading", "importing", "ready", "error", "deleting"),
		receivedBytes: maybe(bytes),
		fileSizeBytes: maybe(bytes),
		virtualSizeBytes: maybe(bytes),
		sha256: maybe(fc.constant("0".repeat(64))),
		error: maybe(errorInfo),
	}),
	imageGone: record({ kind: fc.constant("imageGone"), id: imageId }),
	networkCreate: fc
		.record({
			id: networkId,
			name,
			bridge: fc.constantFrom("br0", "br1"),
			task: task(["network.create"], networkId, "network"),
		})
		.map(({ bridge, task: sent, ...changes }) => ({
			kind: "networkCreate",
			network: fixtureNetwork({ ...changes, config: { kind: "bridge", bridge } }),
			task: sent,
		})),
	networkUpdate: record({ kind: fc.constant("networkUpdate"), id: networkId, ...described }),
	networkDelete: record({
		kind: fc.constant("networkDelete"),
		id: networkId,
		task: task(["network.delete"], networkId, "network"),
	}),
	networkNodeStatus: fc
		.record({ id: networkId, nodeId, health: fc.constantFrom("healthy", "error") })
		.map(({ id, ...status }) => ({
			kind: "networkNodeStatus",
			id,
			status: { ...status, bridge: "br0", error: null },
		})),
	networkGone: record({ kind: fc.constant("networkGone"), id: networkId }),
	taskUpdate: record({
		kind: fc.constant("taskUpdate"),
		id: taskId,
		state: fc.constantFrom(...taskStates),
		progress: maybe(fc.option(fc.double({ min: -1, max: 101, noNaN: true }))),
		message: maybe(fc.option(text)),
		cancelable: maybe(fc.boolean()),
		error: maybe(errorInfo),
	}),
	taskCancel: record({ kind: fc.constant("taskCancel"), id: taskId, endIfLost: maybe(fc.constant(true)) }),
	prune: record({
		...{ kind: fc.constant("prune"), tasksBefore: time, sessionsExpiredBefore: time, auditBefore: time },
		doubts: maybe(fc.array(record({ aheadMs: fc.nat(), ranMs: fc.nat(), since: time }), { maxLength: 3 })),
	}),
};

/** What makes things comes often, what takes all away seldom. */
const weights: Partial<Record<CommandKind, number>> = {
	vmCreate: 24,
	volumeCreate: 12,
	imageCreate: 10,
	vmAction: 8,
	vmStatus: 8,
	taskUpdate: 8,
	imageStatus: 8,
	volumeStatus: 8,
	snapshotCreate: 8,
	snapshotStatus: 8,
	sessionCreate: 6,
	vmUpdate: 6,
	clusterInit: 1,
	prune: 1,
	poolDelete: 1,
	networkDelete: 1,
	auditAppend: 1,
	nodeRemove: 2,
	vmMove: 8,
	vmMoved: 8,
	vmElsewhere: 8,
};

export const bodyArbitrary: fc.Arbitrary<CommandBody> = fc.oneof(
	...Object.entries(bodyArbitraries).map(([kind, arbitrary]) => ({
		weight: weights[kind as CommandKind] ?? 3,
		arbitrary: arbitrary as fc.Arbitrary<CommandBody>,
	})),
);

const meta = fc.record({
	timeMs: fc.integer({ min: Date.parse("2025-12-01T00:00:00Z"), max: Date.parse("2026-03-01T00:00:00Z") }),
	remoteAddress: fc.option(fc.constantFrom("192.0.2.1", "2001:db8::1")),
	idempotencyKey: fc.oneof({ weight: 9, arbitrary: fc.constant(null) }, fc.constantFrom("key-1", "key-2", "key-3", "")),
	who: fc.oneof(
		{
			weight: 6,
			arbitrary: fc.constant({
				requester: { kind: "system", id: null, name: "system" },
				operation: "system",
				credential: null,
			} as const),
		},
		{
			weight: 2,
			arbitrary: fc.constant({
				requester: { kind: "local", id: null, name: "root" },
				operation: "vmCreate",
				credential: null,
			} as const),
		},
		fc
			.record({
				userId,
				id: sessionId,
				operation: fc.constantFrom("vmCreate", "userUpdate", "no-such", "sessionCreate"),
			})
			.map(
				(made) =>
					({
						requester: { kind: "user", id: made.userId, name: "someone" },
						operation: made.operation,
						credential: { kind: "session", id: made.id },
					}) as const,
			),
	),
});

const idempotencyHash = fc.option(fc.constantFrom("0".repeat(64), "a".repeat(64), "no hash"), { freq: 2 });

/** A whole command; `number` makes its id, so that a sequence can hold the same command twice. */
export const commandArbitrary: fc.Arbitrary<Command> = fc
	.record({ number: fc.integer({ min: 0, max: 100_000 }), meta, idempotencyHash, body: bodyArbitrary })
	.map(({ number, meta: { who, ...rest }, idempotencyHash: hashed, body }) => ({
		...{ id: fixtureId(0x20000000 + number), ...rest, ...who, body },
		...(hashed === null ? {} : { idempotencyHash: hashed }),
	}));
