/** The cluster, its nodes, and how they come and go. */
import type { User } from "../../model/access.ts";
import type { JoinToken } from "../../model/cluster.ts";
import type { Network } from "../../model/network.ts";
import type { Cluster, Node, NodeStatus } from "../../model/node.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import type { Image, Pool, Volume } from "../../model/storage.ts";
import type { Vm } from "../../model/vm.ts";
import {
	type BodyCodecs,
	decodeExpected,
	encodeExpected,
	fromJson,
	onlyId,
	onlyTrue,
	optional,
	toJson,
} from "./values.ts";

export const clusterCodecs: BodyCodecs<
	| "clusterInit"
	| "clusterUpdate"
	| "authoritySet"
	| "joinTokenCreate"
	| "joinTokenDelete"
	| "nodeUpdate"
	| "nodeStatus"
	| "nodeAdmit"
	| "nodeAddresses"
	| "nodeLost"
	| "nodeImport"
	| "nodeRemove"
	| "nodeGone"
> = {
	clusterInit: {
		encode: (body) => ({
			clusterJson: toJson(body.cluster),
			nodeJson: toJson(body.node),
			poolsJson: body.pools.map(toJson),
			networksJson: body.networks.map(toJson),
			adminJson: toJson(body.admin),
			adminPasswordHash: body.adminPasswordHash,
		}),
		decode: (message) => ({
			cluster: fromJson<Cluster>(message.clusterJson),
			node: fromJson<Node>(message.nodeJson),
			pools: message.poolsJson.map((text) => fromJson<Pool>(text)),
			networks: message.networksJson.map((text) => fromJson<Network>(text)),
			admin: fromJson<User>(message.adminJson),
			adminPasswordHash: message.adminPasswordHash,
		}),
	},
	clusterUpdate: {
		encode: (body) => ({ ...encodeExpected(body), name: body.name }),
		decode: (message) => ({ ...decodeExpected(message), name: message.name }),
	},
	authoritySet: {
		encode: (body) => ({ certificatePem: body.certificatePem, keyPem: body.keyPem }),
		decode: (message) => ({ certificatePem: message.certificatePem, keyPem: message.keyPem }),
	},
	joinTokenCreate: {
		encode: (body) => ({ tokenJson: toJson(body.token), secretHash: body.secretHash }),
		decode: (message) => ({ token: fromJson<JoinToken>(message.tokenJson), secretHash: message.secretHash }),
	},
	joinTokenDelete: onlyId,
	nodeUpdate: {
		encode: (body) => ({
			...encodeExpected(body),
			name: body.name,
			...(body.peerAddresses === undefined ? {} : { peerAddresses: { values: body.peerAddresses } }),
		}),
		decode: (message) => ({
			...decodeExpected(message),
			...optional("name", message.name),
			...optional("peerAddresses", message.peerAddresses?.values),
		}),
	},
	nodeStatus: {
		encode: (body) => ({ id: body.id, statusJson: toJson(body.status) }),
		decode: (message) => ({ id: message.id, status: fromJson<NodeStatus>(message.statusJson) }),
	},
	nodeAdmit: {
		encode: (body) => ({
			tokenId: body.tokenId,
			secretHash: body.secretHash,
			keyFingerprint: body.keyFingerprint,
			nodeJson: toJson(body.node),
		}),
		decode: (message) => ({
			tokenId: message.tokenId,
			secretHash: message.secretHash,
			keyFingerprint: message.keyFingerprint,
			node: fromJson<Node>(message.nodeJson),
		}),
	},
	nodeAddresses: {
		encode: (body) => ({ id: body.id, peerAddresses: body.peerAddresses }),
		decode: (message) => ({ id: message.id, peerAddresses: message.peerAddresses }),
	},
	nodeLost: {
		encode: ({ kind: _kind, ...body }) => body,
		decode: ({ id, reason, lost }) => ({ id, reason, ...(lost === true ? { lost } : {}) }),
	},
	nodeImport: {
		encode: (body) => ({
			nodeId: body.nodeId,
			formerNodeId: body.formerNodeId,
			poolsJson: body.pools.map(toJson),
			networksJson: body.networks.map(toJson),
			imagesJson: body.images.map(toJson),
			volumesJson: body.volumes.map(toJson),
			vmsJson: body.vms.map(toJson),
			snapshotsJson: (body.snapshots ?? []).map(toJson),
			...optional("givesHostIds", body.givesHostIds),
			...optional("freeSources", body.freeSources),
			...(body.renameSuffix === null ? {} : { renameSuffix: body.renameSuffix }),
		}),
		decode: (message) => ({
			nodeId: message.nodeId,
			formerNodeId: message.formerNodeId,
			pools: message.poolsJson.map((text) => fromJson<Pool>(text)),
			networks: message.networksJson.map((text) => fromJson<Network>(text)),
			images: message.imagesJson.map((text) => fromJson<Image>(text)),
			volumes: message.volumesJson.map((text) => fromJson<Volume>(text)),
			vms: message.vmsJson.map((text) => fromJson<Vm>(text)),
			...(message.snapshotsJson.length === 0
				? {}
				: { snapshots: message.snapshotsJson.map((text) => fromJson<Snapshot>(text)) }),
			...onlyTrue("givesHostIds", message.givesHostIds),
			...onlyTrue("freeSources", message.freeSources),
			renameSuffix: message.renameSuffix ?? null,
		}),
	},
	nodeRemove: {
		encode: (body) => ({
			id: body.id,
			leaving: body.leaving,
			...(body.confirmName === null ? {} : { confirmName: body.confirmName }),
		}),
		decode: (message) => ({
			id: message.id,
			leaving: message.leaving,
			confirmName: message.confirmName ?? null,
		}),
	},
	nodeGone: onlyId,
};
