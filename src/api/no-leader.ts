/**
 * A node that nobody lets take part any more has no leader either, but one that never comes: whoever is refused by it is told
 * what the cluster's status says, and not to try again in a moment.
 */
import { AppError, isAppError } from "../lib/errors.ts";
import type { ClusterStatus } from "../model/cluster.ts";
import { removed } from "../store/raft/refusals.ts";

type Known = { cluster: { status(): ClusterStatus } };

/** The error as it came, unless it says that there is no leader now and there will be none. */
export const explained = (services: Known, error: unknown): unknown =>
	hasNoLeader(error) ? (neverAgain(services) ?? error) : error;

/** Why this node takes no changes, for good; null when that may well be over in a moment. */
export function neverAgain({ cluster }: Known): AppError | null {
	const status = cluster.status();
	if (status.removed) return removed();
	const isLost = status.leaderNodeId === null || !status.quorum;
	return isLost && status.recoveredElsewhere && status.problem !== null
		? new AppError("wrong-state", status.problem)
		: null;
}

const hasNoLeader = (error: unknown): boolean =>
	isAppError(error, "unavailable") && error.context.refused === "not-leader" && error.context.leader === null;
