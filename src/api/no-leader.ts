/**
 * A node that nobody lets take part any more has no leader either, but one that never comes: whoever is refused by it is told
 * what the cluster's status says, and not to try again in a moment. Nor does one have a leader that has only just been let in.
 */
import { AppError, isAppError } from "../lib/errors.ts";
import type { ClusterStatus } from "../model/cluster.ts";
import { removed } from "../store/raft/refusals.ts";

type Known = { cluster: { status(): ClusterStatus } };

/** The error as it came, unless it says that there is no leader now and there will be none. */
export const explained = (services: Known, error: unknown): unknown =>
	hasNoLeader(error) ? (neverAgain(services) ?? notArrived(services) ?? error) : error;

/** Null unless this node was admitted to a cluster and has not received its state: it knows nobody, and nothing yet. */
export function notArrived({ cluster }: Known): AppError | null {
	const { arriving, members } = cluster.status();
	if (!arriving || members.length > 0) return null;
	const message =
		"This node was admitted to a cluster, and has not received its state yet: nobody can sign in, and nothing can be done here. If that lasts, `limiquantix cluster status` on it, as root, says why.";
	return new AppError("unavailable", message, { retryAfterMs: 5000 });
}

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
