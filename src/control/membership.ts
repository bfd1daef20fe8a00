/**
 * The leader's loop over members: brings the members of Raft after the nodes of the state, says of nodes that nobody hears
 * that they are not ready, and forgets those that have left when nothing refers to them any more. On other nodes it does
 * nothing. It can stop anywhere: the next leader's goes on.
 */
import type { Clock, Timer } from "../lib/clock.ts";
import { isAppError } from "../lib/errors.ts";
import { passing } from "../lib/halting.ts";
import type { Logger } from "../lib/log.ts";
import type { Change, RefusalReason, Status } from "../raft/types.ts";
import type { Feature } from "../store/command-features.ts";
import type { RaftConsensus } from "../store/raft/raft-consensus.ts";
import type { Proposer, Store } from "../store/store.ts";
import { lostNodes, wantedChanges } from "./membership-plan.ts";

export type MembershipDeps = {
	consensus: Pick<RaftConsensus, "details" | "changeMembers">;
	store: Pick<Store, "all" | "count" | "subscribe" | "appliedIndex">;
	proposer: Pick<Proposer, "proposeSystem">;
	memberFeatures: { lacking(feature: Feature): readonly string[] };
	clock: Clock;
	logger: Logger;
	periodMs?: number;
	lostAfterMs?: number;
};

const defaultPeriodMs = 250;
/** A daemon that is restarted is back before that. */
const defaultLostAfterMs = 10_000;
const forgetEveryRounds = 4;

/** Another change, or none, may be what is possible now. */
const refusedAlone: ReadonlySet<unknown> = new Set<RefusalReason>([
	"not-a-member",
	"already-a-member",
	"was-removed",
	"not-caught-up",
	"last-voter",
	"too-many-members",
	"would-lose-quorum",
]);
const isRefusedAlone = (error: unknown): boolean => isAppError(error) && refusedAlone.has(error.context.refused);

export function startMembership(deps: MembershipDeps): () => void {
	const { consensus, store, clock, logger, periodMs = defaultPeriodMs } = deps;
	const lastHeardMs = new Map<string, number>();
	let timer: Timer | null = null;
	let stopped = false;
	let rounds = 0;

	const round = async (): Promise<void> => {
		const status = consensus.details();
		const { voters } = status.configuration;
		if (voters.length > 1 && voters.includes(status.nodeId)) passing("one of several voters");
		if (status.role !== "leader" || status.transferringTo !== null) {
			lastHeardMs.clear();
			return;
		}
		noteHeard(status);
		const nodes = store.all("node");
		// What this copy says may be old: nothing is decided on it before it has all that was committed.
		if (store.appliedIndex >= status.commitIndex && (await changeOne(wantedChanges({ nodes, ...status })))) return;
		const marks = deps.memberFeatures.lacking("runs-once-1").length === 0;
		for (const { id } of lostNodes(nodes, silentMs, deps.lostAfterMs ?? defaultLostAfterMs, marks)) {
			const reason = "The other nodes do not hear from it.";
			await deps.proposer.proposeSystem({ kind: "nodeLost", id, reason, ...(marks ? { lost: true } : {}) });
		}
		rounds += 1;
		if (rounds % forgetEveryRounds === 0) await forget(status);
	};

	/** The first that is not refused for what it is. One that is refused again and again keeps nothing else from being done. */
	const changeOne = async (wanted: readonly Change[]): Promise<boolean> => {
		for (const change of wanted) {
			passing(`${change.kind} planned`);
			try {
				await consensus.changeMembers(change);
			} catch (error) {
				if (!isRefusedAlone(error)) throw error;
				continue;
			}
			passing(`${change.kind} done`);
			logger.info("the members of the cluster have changed", { ...change });
			return true;
		}
		return false;
	};

	const noteHeard = (status: Status) => {
		const nowMs = clock.monotonicMs();
		for (const { id, active } of status.peers) if (active || !lastHeardMs.has(id)) lastHeardMs.set(id, nowMs);
	};
	const silentMs = (nodeId: string): number => {
		const heardMs = lastHeardMs.get(nodeId);
		return heardMs === undefined ? 0 : clock.monotonicMs() - heardMs;
	};

	const forget = async ({ configuration }: Status) => {
		for (const { id, status } of store.all("node")) {
			if (status.phase !== "left" || configuration.voters.includes(id) || configuration.learners.includes(id)) continue;
			const onIt = (["vm", "volume", "image"] as const).some((table) => store.count(table, { nodeId: id }) > 0);
			if (!onIt) await deps.proposer.proposeSystem({ kind: "nodeGone", id });
		}
	};

	const again = () => {
		if (!stopped) timer = clock.schedule(periodMs, run);
	};
	const run = () => {
		round()
			.catch((error) => {
				// Leadership changes, learners that are not there yet: the next round sees it anew.
				const expected = isAppError(error) && ["unavailable", "wrong-state", "timeout"].includes(error.code);
				if (!expected) logger.warn("the members of the cluster could not be looked after", { error });
			})
			.finally(again);
	};
	again();
	return () => {
		stopped = true;
		timer?.cancel();
	};
}
