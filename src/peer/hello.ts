/**
 * Who is there, what for, and which version both speak. Whoever connects says hello after it has checked the other's
 * certificate; the answer is a welcome or a refusal with its reason. Pure.
 *
 * A version is chosen for each connection: the highest that both speak. New commands need more: they are used only when all
 * members announce the feature (PeerNodeOptions.features).
 */
import type { MessageShape } from "@bufbuild/protobuf";
import { HelloSchema, WelcomeSchema } from "../gen/peer_pb.ts";
import { isUuid } from "../lib/ids.ts";
import { type Address, formatAddress, parseAddress } from "./address.ts";
import type { Close } from "./peer-error.ts";
import type { CertificateFault, NodeCertificate } from "./trust.ts";
import { decoded, encoded } from "./wire.ts";

export const purposes = ["raft", "snapshot", "request", "stream", "join"] as const;
export type Purpose = (typeof purposes)[number];

/** What this build speaks. */
export const protocolVersions = { min: 1, max: 1 } as const;

/** What a node says about itself. */
export type Self = {
	clusterId: string;
	nodeId: string;
	nodeName: string;
	build: string;
	/** Made at each start of the process. */
	instance: string;
	features: readonly string[];
	versions: { min: number; max: number };
	/** Where it is reached, as far as it knows; for whoever it connects to. */
	addresses?: readonly Address[];
};

/** The node at the other end, and what was agreed. Of a joining node only `version`, `build` and `nodeName` are known. */
export type Peer = {
	nodeId: string;
	nodeName: string;
	build: string;
	instance: string;
	features: readonly string[];
	version: number;
	/** Where it says that it is reached; of a hello. */
	addresses?: readonly Address[];
	/** Of the certificate that it showed last. */
	certificateNotAfterMs?: number;
};

export type Membership = "member" | "removed" | "unknown";
export type Hello = { peer: Omit<Peer, "version">; clusterId: string; purpose: string; toNodeId: string } & Versions;
type Versions = { minVersion: number; maxVersion: number };

const maxFeatures = 256;
const maxAddresses = 16;
const maxTextLength = 128;

export function encodeHello(self: Self, purpose: Purpose, toNodeId: string): Uint8Array {
	const { clusterId, nodeId, nodeName, build, instance, features, versions, addresses = [] } = self;
	return encoded(HelloSchema, {
		minVersion: versions.min,
		maxVersion: versions.max,
		purpose,
		clusterId,
		nodeId,
		nodeName,
		toNodeId,
		build,
		instance,
		features: [...features],
		addresses: addresses.slice(0, maxAddresses).map(formatAddress),
	});
}

/** Null when it is not well-formed. */
export const decodeHello = (bytes: Uint8Array): Hello | null =>
	decoded(HelloSchema, bytes, (message) => {
		const { clusterId, purpose, toNodeId, minVersion, maxVersion } = message;
		const addresses = message.addresses.slice(0, maxAddresses).map(parseAddress);
		const peer = { ...readPeer(message), addresses: addresses.filter((address) => address !== null) };
		return { peer, clusterId, purpose, toNodeId, minVersion, maxVersion };
	});

type PeerFields = { nodeId: string; nodeName: string; build: string; instance: string; features: string[] };

function readPeer({ nodeId, nodeName, build, instance, features }: PeerFields): Omit<Peer, "version"> {
	if (features.length > maxFeatures) throw new Error("too many features");
	if ([nodeId, nodeName, build, instance, ...features].some((text) => text.length > maxTextLength))
		throw new Error("too long");
	return { nodeId, nodeName, build, instance, features };
}

export type HelloContext = {
	self: Self;
	certificate: NodeCertificate | CertificateFault;
	/** What is wrong with the certificate, in words. */
	faultText(fault: CertificateFault): string;
	membership(nodeId: string): Membership;
};

/** What a listener makes of a hello: the version, or the refusal. */
export function judgeHello(
	hello: Hello | null,
	{ self, certificate, faultText, membership }: HelloContext,
): number | Close {
	if (hello === null) return { code: "bad-hello", message: "The hello cannot be read." };
	const { peer, clusterId, purpose, toNodeId } = hello;
	const version = commonVersion(hello, self.versions);
	if (version === null) return noCommonVersion(hello, self.versions);
	if (!isPurpose(purpose)) return { code: "bad-hello", message: "This version does not know what is wanted." };
	if (clusterId !== self.clusterId)
		return { code: "wrong-cluster", message: membership(peer.nodeId) === "removed" ? memberOfBefore : otherCluster };
	// Whoever joins has nothing to show yet but its token.
	if (purpose === "join") return version;
	if (typeof certificate === "string") {
		const refused = certificate === "not-valid-now" ? "The certificate of this node is refused. " : "";
		return { code: "bad-certificate", message: `${refused}${faultText(certificate)}` };
	}
	if (certificate.nodeId !== peer.nodeId)
		return { code: "bad-certificate", message: "The certificate is that of another node." };
	// Before anything else about members: a removed node is told so by whomever it asks.
	const is = membership(peer.nodeId);
	if (is === "removed")
		return { code: "removed-node", message: "This node was removed from the cluster. It can join again as a new one." };
	if (toNodeId !== self.nodeId) return { code: "other-node", message: "Another node is at this address now." };
	if (peer.nodeId === self.nodeId) return { code: "duplicate-node", message: "This is the same node as itself." };
	if (is === "unknown") return { code: "unknown-node", message: "This node is not known to be a member." };
	return version;
}

/** The list of removed nodes outlives the id of the cluster. */
export const memberOfBefore =
	"It was a member before this cluster was recovered, or restored from a backup, without it. It can join again, with a token.";
const otherCluster = "This node belongs to another cluster. Each has its own tokens.";

export function encodeWelcome(self: Self, version: number, purpose: Purpose): Uint8Array {
	const { clusterId, nodeId, nodeName, build, instance, features, versions } = self;
	const open = { version, clusterId, nodeId, minVersion: versions.min, maxVersion: versions.max };
	// Strangers learn no more than they need.
	return encoded(
		WelcomeSchema,
		purpose === "join" ? open : { ...open, nodeName, build, instance, features: [...features] },
	);
}

/** What whoever connected makes of the answer. */
export function judgeWelcome(bytes: Uint8Array, self: Self, expectedNodeId: string | null): Peer | Close {
	const read = decoded(WelcomeSchema, bytes, (message: MessageShape<typeof WelcomeSchema>) => ({
		peer: { ...readPeer(message), version: message.version },
		clusterId: message.clusterId,
	}));
	if (read === null) return { code: "bad-hello", message: "The answer to the hello cannot be read." };
	const { peer, clusterId } = read;
	if (clusterId !== self.clusterId) return { code: "wrong-cluster", message: "That node belongs to another cluster." };
	if (expectedNodeId !== null && peer.nodeId !== expectedNodeId)
		return { code: "other-node", message: "Another node is at this address now." };
	if (!isUuid(peer.nodeId)) return { code: "bad-hello", message: "The answer to the hello names no node." };
	if (peer.version < self.versions.min || peer.version > self.versions.max)
		return { code: "no-common-version", message: "The other node chose a version that this one does not speak." };
	return peer;
}

function commonVersion(theirs: Versions, ours: { min: number; max: number }): number | null {
	const version = Math.min(theirs.maxVersion, ours.max);
	return version >= Math.max(theirs.minVersion, ours.min, 1) ? version : null;
}

const noCommonVersion = (theirs: Versions, ours: { min: number; max: number }): Close => ({
	code: "no-common-version",
	message: `This node speaks versions ${ours.min} to ${ours.max} of the protocol, the other one ${theirs.minVersion} to ${theirs.maxVersion}. Bring both to neighbouring releases.`,
});

const isPurpose = (text: string): text is Purpose => (purposes as readonly string[]).includes(text);
export const isClose = (value: unknown): value is Close =>
	typeof value === "object" && value !== null && "code" in value && "message" in value;
