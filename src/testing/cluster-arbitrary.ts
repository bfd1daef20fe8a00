/** Random commands about nodes that come and go; part of command-arbitrary.ts. */
import fc from "fast-check";
import type { CommandBody, CommandKind } from "../store/command.ts";
import {
	errorInfo,
	idFrom,
	imageId,
	mostly,
	name,
	networkId,
	nodeId,
	peerAddresses,
	poolId,
	record,
	secondNodeId,
	small,
	spec,
	time,
	vmId,
	volumeId,
} from "./command-parts.ts";
import {
	fixtureId,
	fixtureImage,
	fixtureJoinToken,
	fixtureNetwork,
	fixtureNode,
	fixturePool,
	fixtureSnapshot,
	fixtureVm,
	fixtureVolume,
} from "./fixtures.ts";

type Arbitraries<K extends CommandKind> = { [Kind in K]: fc.Arbitrary<Extract<CommandBody, { kind: Kind }>> };

const joinTokenId = idFrom(0x780);
/** The second is ready, the third joins; see determinism.test.ts. */
const thirdNodeId = fc.constant(fixtureId(0x997));
const anyNodeId = fc.oneof(secondNodeId, thirdNodeId, nodeId);
const keyFingerprint = fc.constantFrom("a".repeat(64), "b".repeat(64));

const images = fc.array(
	fc.record({ id: imageId, name, poolId }).map((changes) => fixtureImage({ ...changes, phase: "ready" })),
	{ maxLength: 1 },
);
const volumes = fc.array(
	fc.record({ id: volumeId, name, poolId, error: errorInfo }).map((changes) => fixtureVolume(changes)),
	{ maxLength: 2 },
);
const vms = fc.array(
	fc.record({ id: vmId, name, spec }).map((changes) => fixtureVm(changes)),
	{ maxLength: 2 },
);

export const clusterArbitraries: Arbitraries<
	| "authoritySet"
	| "joinTokenCreate"
	| "joinTokenDelete"
	| "nodeAdmit"
	| "nodeAddresses"
	| "nodeLost"
	| "nodeImport"
	| "nodeRemove"
	| "nodeGone"
> = {
	authoritySet: record({
		kind: fc.constant("authoritySet"),
		certificatePem: mostly("-----BEGIN CERTIFICATE-----\n", "certificate"),
		keyPem: fc.constant("-----BEGIN PRIVATE KEY-----\n"),
	}),
	joinTokenCreate: fc.record({ id: joinTokenId, usesLeft: small, expiresAt: time }).map((changes) => ({
		kind: "joinTokenCreate",
		token: fixtureJoinToken(changes),
		secretHash: `sha256:${changes.id}`,
	})),
	joinTokenDelete: record({ kind: fc.constant("joinTokenDelete"), id: joinTokenId }),
	nodeAdmit: fc
		.record({ tokenId: joinTokenId, keyFingerprint, id: anyNodeId, name, witness: fc.boolean() })
		.map(({ id, name: named, witness, ...rest }) => ({
			kind: "nodeAdmit",
			...rest,
			secretHash: `sha256:${rest.tokenId}`,
			node: fixtureNode({ id, name: named, witness }),
		})),
	nodeAddresses: record({ kind: fc.constant("nodeAddresses"), id: anyNodeId, peerAddresses }),
	nodeLost: fc.record({ id: anyNodeId, marks: fc.boolean() }).map(({ id, marks }) => ({
		...{ kind: "nodeLost", id, reason: "not heard of", ...(marks ? { lost: true } : {}) },
	})),
	nodeImport: fc
		.record({
			nodeId: fc.oneof({ weight: 4, arbitrary: thirdNodeId }, anyNodeId),
			poolPath: fc.constantFrom("/a", "/var/lib/limiquantix/pools/local"),
			pools: fc.array(fc.record({ id: poolId, name }), { maxLength: 1 }),
			networks: fc.array(fc.record({ id: networkId, name }), { maxLength: 1 }),
			images,
			volumes,
			vms,
			snapshots: fc.option(fc.array(vmId, { minLength: 1, maxLength: 1 }), { nil: undefined, freq: 2 }),
			givesHostIds: fc.option(fc.constant<true>(true), { nil: undefined, freq: 2 }),
			freeSources: fc.option(fc.constant<true>(true), { nil: undefined, freq: 2 }),
			renameSuffix: fc.option(fc.constant("node-2")),
		})
		.map(({ poolPath, pools, networks, snapshots, givesHostIds, freeSources, ...body }) => ({
			kind: "nodeImport",
			formerNodeId: fixtureId(0xf00),
			...body,
			...(givesHostIds ? { givesHostIds } : {}),
			...(freeSources ? { freeSources } : {}),
			...(snapshots ? { snapshots: snapshots.map((id) => fixtureSnapshot({ vmId: id, phase: "ready" })) } : {}),
			pools: pools.map((changes) =>
				fixturePool({ ...changes, config: { path: poolPath }, nodeIds: [fixtureId(0xf00)] }),
			),
			networks: networks.map((changes) => fixtureNetwork({ ...changes, config: { kind: "bridge", bridge: "br0" } })),
		})),
	nodeRemove: record({
		kind: fc.constant("nodeRemove"),
		id: anyNodeId,
		leaving: fc.boolean(),
		confirmName: fc.option(fc.constantFrom("node-2", "node-3")),
	}),
	nodeGone: record({ kind: fc.constant("nodeGone"), id: fc.oneof(secondNodeId, fc.constant(fixtureId(0x999))) }),
};
