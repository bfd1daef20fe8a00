/**
 * `cluster join` on the node that joins. Asks first; when nothing is in the way it is admitted, and all that it needs is on its disk
 * (switch.ts) when this resolves: the daemon then begins anew. Interrupted before that, nothing has changed here, and
 * the same key makes the same member, with whatever token.
 */

import { type Clock, delay } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { passing } from "../lib/halting.ts";
import type { Logger } from "../lib/log.ts";
import { type Random, randomHex } from "../lib/random.ts";
import { aheadOrBehind, joinClockLimitMs, setClockRight, timeOfMember } from "../model/clock-rules.ts";
import type { ClusterJoin, JoinClash, JoinPreview } from "../model/cluster.ts";
import { type Brought, sharedPoolClashes } from "../model/join-clashes.ts";
import { type Address, parseAddress } from "../peer/address.ts";
import type { PeerClock } from "../peer/clock-filter.ts";
import { protocolVersions } from "../peer/hello.ts";
import { type Identity, loadOrMakeKey } from "../peer/identity.ts";
import { isNotNow, type Joined, type JoinOptions, join, previewJoin } from "../peer/join.ts";
import { parseToken } from "../peer/join-token.ts";
import { isUnreached } from "../peer/unreached.ts";
import { features } from "../store/command-features.ts";
import type { JoinAnswer, JoinFacts } from "./admission.ts";
import { decodeJson, encodePacked } from "./methods.ts";
import { admittedAgain, joiningKeyOf, prepareJoin } from "./switch.ts";

export type JoiningDeps = {
	dataDir: string;
	nodeId: string;
	nodeName: string;
	/**
	 * It was admitted to a cluster, and has not arrived there: what it was before, which it still brings along. `identity`: who
	 * it is there; null when that is over, since it was removed.
	 */
	arriving: { formerNodeId: string; identity: Identity | null } | null;
	/** Of its cluster, when that has other members: it joins no other one then but the one that was recovered from it. */
	memberOf: string | null;
	build: string;
	/** Where others reach this node, when the request does not say. */
	ownAddresses: readonly Address[];
	belongings: () => Promise<Brought>;
	/** No other node has been in its cluster, so the pools there that nodes share are this one's alone. */
	alone: boolean;
	/** Ids of the VMs that run on this host, whoever's they are; null when libvirt does not say. */
	running: () => Promise<string[] | null>;
	/** Throws when this node has become what may not join: somebody has come to it meanwhile. */
	checkMayJoin: () => void;
	clock: Clock;
	random: Random;
	logger: Logger;
};

/** How long a node waits for others that are joining, and for a cluster that has no leader now. */
const othersLimitMs = 60_000;
export const othersPauseMs = 1_000;

export async function joinCluster(deps: JoiningDeps, request: ClusterJoin): Promise<JoinPreview> {
	const { dataDir, clock, logger, random, nodeName, build } = deps;
	const token = parseToken(request.token);
	const addresses = addressesOf(request.addresses ?? []);
	const ownAddresses = request.ownAddresses ? addressesOf(request.ownAddresses) : deps.ownAddresses;
	if (ownAddresses.length === 0)
		throw new AppError("invalid", "At which address the members reach this node is not known: say it with --address.");
	const runs = await deps.running();
	const belongings = { ...(await deps.belongings()), ...(runs === null ? {} : { runs }) };
	const witness = request.witness ?? false;
	const brings = {
		vms: belongings.vms.length,
		volumes: belongings.volumes.length,
		images: belongings.images.length,
		networks: belongings.networks.length,
		pools: belongings.pools.length,
	};
	if (witness) checkHoldsNothing(brings);
	const known = deps.arriving?.identity ?? null;
	const keyPem = known?.keyPem ?? (await loadOrMakeKey(joiningKeyOf(dataDir)));
	const facts = { witness, belongings, listensAs: deps.nodeId, ...(known === null ? {} : { member: known.chainPem }) };
	passing("key made");
	const optionsFor = (preview: boolean): JoinOptions => ({
		token,
		...(addresses.length > 0 ? { addresses } : {}),
		self: { nodeName, build, instance: randomHex(random, 16), features, versions: protocolVersions },
		facts: encodePacked({ ...facts, preview } satisfies JoinFacts),
		...{ keyPem, ownAddresses, clock, logger },
	});
	const ask = async () => {
		const { configuration, clock: there } = await previewJoin(optionsFor(true));
		const answer = decodeJson<JoinAnswer>(configuration);
		return { ...answer, ...heldAgainst(there, answer, clock) };
	};
	const endsAtMs = clock.monotonicMs() + othersLimitMs;
	for (;;) {
		try {
			return await lookAndJoin(deps, request, { ask, admit: () => join(optionsFor(false)), brings, witness });
		} catch (error) {
			if (isUnreached(error)) throw nobodyReached(error);
			// It has no leader now, or another node is joining: what that brings has to be known before this one's can be judged.
			if (!isNotNow(error)) throw error;
			if (clock.monotonicMs() > endsAtMs)
				throw new AppError("unavailable", `The cluster does not admit this node now. It says: ${error.message}`);
			logger.info("the cluster does not admit this node yet; it is asked again", { reason: error.message });
		}
		await delay(clock, othersPauseMs);
	}
}

type Steps = {
	ask: () => Promise<JoinAnswer & AgainstMember>;
	admit: () => Promise<Joined>;
	brings: JoinPreview["brings"];
	witness: boolean;
};

async function lookAndJoin(
	deps: JoiningDeps,
	request: ClusterJoin,
	{ ask, admit, brings, witness }: Steps,
): Promise<JoinPreview> {
	const { dataDir, nodeId, nodeName, memberOf, arriving, checkMayJoin, logger } = deps;
	const first = await ask();
	passing("preview there");
	const rename = request.rename ?? false;
	const { clusterId, clusterName, memberNames, clockOffsetMs, clockOf } = first;
	const clashes = [...first.clashes, ...(await unsaidClashes(deps, first))];
	const inTheWay = clashes.some(({ renamable }) => !(rename && renamable));
	const recovered = memberOf !== null && first.wasMember === true && clusterId !== memberOf;
	if (memberOf !== null && !recovered) throw hasToLeave();
	const found = { clusterId, clusterName, memberNames, clashes, clockOffsetMs, clockOf };
	const preview = { ...found, brings, recovered, joining: false };
	if (request.preview === true || inTheWay) return preview;
	if (recovered && request.confirmName !== nodeName) throw notConfirmed(nodeName, clusterName);
	const checkStillMay = async () => {
		checkMayJoin();
		// A pool may have been made meanwhile. As long as nothing is written here, it can still be moved and deleted.
		const [late] = await unsaidClashes(deps, first);
		if (late !== undefined) throw new AppError("wrong-state", `The storage pool ${late.name}: ${late.message}`);
	};
	await checkStillMay();
	const { identity, configuration } = await admit();
	passing("admission there");
	await checkStillMay();
	const { members } = decodeJson<JoinAnswer>(configuration);
	const joined = { identity, members, formerNodeId: arriving?.formerNodeId ?? nodeId, rename, witness };
	if (identity.nodeId === nodeId) await admittedAgain(dataDir, joined);
	else await prepareJoin(dataDir, joined, nodeId);
	logger.info("admitted to a cluster; this node begins anew as a member", { clusterId, nodeId: identity.nodeId });
	return { ...preview, joining: true };
}

/**
 * Pools that nodes share, of which the member says nothing: it is of a version that does not, or they were made after it was asked. Admitted with
 * one, this node would never get to the end of joining. Of those that it had as a member of this cluster, the cluster knows what has become.
 */
async function unsaidClashes(
	{ alone, belongings }: JoiningDeps,
	{ clashes, wasMember }: JoinAnswer,
): Promise<JoinClash[]> {
	if (!alone || wasMember === true) return [];
	const said = new Set(clashes.filter(({ kind }) => kind === "pool").map(({ name }) => name));
	return sharedPoolClashes(await belongings(), { pools: [] }).filter(({ name }) => !said.has(name));
}

type AgainstMember = Pick<JoinPreview, "clockOffsetMs" | "clockOf">;

/**
 * The own clock against the time that the member goes by, whose clock may be the one that is off. Throws when that is too much: what this
 * node wrote down would have times that are wrong for everybody, and by which of the two they are is not known here.
 */
function heldAgainst(there: PeerClock | null, { asked }: JoinAnswer, own: Clock): AgainstMember {
	const saysWho = typeof asked?.name === "string" && asked.name !== "" && Number.isFinite(asked.agreedAheadMs);
	const [clockOf, agreedAheadMs] = saysWho ? [asked.name, asked.agreedAheadMs] : [null, 0];
	if (there === null) return { clockOffsetMs: null, clockOf };
	const aheadMs = own.nowMs() - own.monotonicMs() - there.wallAtZeroMs - agreedAheadMs;
	if (Math.abs(aheadMs) - there.errorMs < joinClockLimitMs) return { clockOffsetMs: Math.round(aheadMs), clockOf };
	throw new AppError(
		"wrong-state",
		`The clock of this node is ${aheadOrBehind(aheadMs)} ${timeOfMember(clockOf)}. Nothing was done. Where it is wrong, ${setClockRight}; then join again.`,
	);
}

/** It would be admitted, and what it brings never be taken: it would wait for that for ever. */
function checkHoldsNothing({ vms, volumes, images }: JoinPreview["brings"]): void {
	const held = Object.entries({ VMs: vms, volumes, images }).filter(([, count]) => count > 0);
	if (held.length === 0) return;
	const counts = held.map(([what, count]) => `${what}: ${count}`).join(", ");
	throw new AppError(
		"wrong-state",
		`A witness runs no VMs and holds no volumes and no images, and this node has some (${counts}). Delete them first.`,
	);
}

const nobodyReached = (error: AppError): AppError =>
	new AppError(
		"unavailable",
		`No member of the cluster was reached. ${error.message} Is LimiQuantix running there, with this peer-listen, and does a firewall let it through? Others are asked with \`limiquantix cluster join HOST:PORT\`.`,
		{ cause: error },
	);

export const hasToLeave = (): AppError =>
	new AppError("wrong-state", "This node is a member of a cluster with others. It has to leave it first.");

export const ownToken = (): AppError =>
	new AppError(
		"wrong-state",
		"This is a token of this cluster itself: this node is a member of it already. The token is for the node that is to be added: run the command there.",
	);

function notConfirmed(nodeName: string, clusterName: string): AppError {
	const message = `The cluster of this node was recovered as ${clusterName}. What was changed here since, and there nobody knows, is given up. Type the name of this node, ${nodeName}, to confirm it.`;
	return new AppError("invalid", message, { fields: [{ path: "/confirmName", message }] });
}

function addressesOf(texts: readonly string[]): Address[] {
	return texts.map((text) => {
		const address = parseAddress(text);
		if (address === null) throw new AppError("invalid", `"${text}" is not HOST:PORT.`);
		return address;
	});
}
