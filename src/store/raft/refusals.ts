/**
 * Why a proposal was not taken, or what became of it, as errors. `context.outcome` says what a caller can rely on:
 *
 *   not-proposed   it was not written anywhere: to try again is safe
 *   lost           it was overwritten by another leader's entries: it has not happened and never will
 *   unknown        it may have happened, or may yet happen
 */
import { AppError, type ErrorCode, isAppError, toAppError } from "../../lib/errors.ts";
import type { TransferResult } from "../../raft/transfer.ts";
import type { NodeId, Refusal, RefusalReason } from "../../raft/types.ts";

export type Outcome = "not-proposed" | "lost" | "unknown";

const refusals: Record<RefusalReason, [ErrorCode, string]> = {
	"not-leader": ["unavailable", "This node does not lead the cluster."],
	transferring: ["unavailable", "Leadership of the cluster is being handed over. Try again in a moment."],
	busy: ["too-many-requests", "Too many changes are waiting. Try again in a moment."],
	"no-space": ["no-space", "The disk of the leading node's log is full."],
	"too-large": ["too-large", "The change is too large."],
	"not-ready": ["unavailable", "The leader was just elected. Try again in a moment."],
	"change-in-flight": ["wrong-state", "Another change of the members is under way. Try again when it is done."],
	"not-a-member": ["not-found", "This node is no member of the cluster."],
	"already-a-member": ["already-exists", "This node is a member of the cluster already."],
	"was-removed": [
		"wrong-state",
		"A node of this id was removed from the cluster. It joins again as a new node, with a new id.",
	],
	"not-caught-up": ["wrong-state", "The node has not received enough of the cluster's changes yet."],
	"last-voter": ["wrong-state", "The last node that votes cannot be removed."],
	"too-many-members": ["wrong-state", "The cluster has as many nodes as it can."],
	"would-lose-quorum": [
		"wrong-state",
		"Without this node, too few of those that are left can be reached: nothing could be changed any more.",
	],
};

export function refusalError({ refused, leader }: Refusal): AppError {
	const [code, message] = refusals[refused];
	if (refused === "not-leader") return notLeading(leader);
	const later = code === "unavailable" || code === "too-many-requests" ? 1000 : code === "no-space" ? 5000 : null;
	return new AppError(code, message, {
		context: { refused, leader, outcome: "not-proposed" satisfies Outcome },
		...(later === null ? {} : { retryAfterMs: later }),
	});
}

export const notLeading = (leader: NodeId | null): AppError =>
	new AppError(
		"unavailable",
		leader === null
			? "The cluster has no leader now: too few of its nodes can reach each other, or one is being elected."
			: "Another node leads the cluster.",
		{ retryAfterMs: 1000, context: { refused: "not-leader", leader, outcome: "not-proposed" satisfies Outcome } },
	);

/** To try again here is no use. */
export const removed = (): AppError =>
	new AppError(
		"wrong-state",
		"This node was removed from the cluster: it changes nothing any more. Ask another node. `limiquantix cluster join` makes this one a member again.",
		{ context: { refused: "removed", leader: null, outcome: "not-proposed" satisfies Outcome } },
	);

export const full = (): AppError =>
	new AppError("no-space", "The disk of the leading node is nearly full.", {
		retryAfterMs: 5000,
		context: { refused: "no-space", outcome: "not-proposed" satisfies Outcome },
	});

export const lost = (): AppError =>
	new AppError("unavailable", "The change was not made: leadership changed before it was confirmed. Try again.", {
		retryAfterMs: 0,
		context: { outcome: "lost" satisfies Outcome },
	});

const mayStill = "The change was not confirmed; it may still take effect. Read again before retrying.";

/** `why` may have come from another node, and say so already. */
export const unknownOutcome = (why: string, code: ErrorCode = "unavailable", cause?: unknown): AppError =>
	new AppError(code, why.endsWith(mayStill) ? why : `${why} ${mayStill}`, {
		retryAfterMs: (isAppError(cause) ? cause.retryAfterMs : null) ?? 1000,
		context: { outcome: "unknown" satisfies Outcome },
		...(cause === undefined ? {} : { cause }),
	});

/** With these codes nobody is told that the change was refused. */
const undecided: readonly ErrorCode[] = ["unavailable", "timeout", "no-space", "internal", "corrupt"];

/**
 * The error for somebody whose change may have happened in an earlier attempt: what the last one says is no news of those
 * before it, be it that it was refused, overwritten, or not even sent.
 */
export const sinceItMayHaveHappened = (error: AppError): AppError =>
	error.context.outcome === "unknown"
		? error
		: unknownOutcome(error.message, undecided.includes(error.code) ? error.code : "unavailable", error);

/** Of an error that does not say it. "not-proposed": of something before that, which says nothing of earlier attempts. */
function endOf(code: ErrorCode): Outcome | "refused" {
	if (code === "unavailable" || code === "timeout") return "unknown";
	return code === "internal" || code === "unsupported" || code === "canceled" ? "not-proposed" : "refused";
}

/** Whether a change, of which this is the error of the last attempt, may have happened or may yet; `triedBefore`: in others, of unknown end. */
export function mayHaveHappened(error: unknown, triedBefore: boolean): boolean {
	const { code, context } = toAppError(error);
	const { outcome = endOf(code) } = context;
	return outcome === "unknown" || (outcome !== "refused" && triedBefore);
}

export const unconfirmedRead = (): AppError =>
	new AppError("unavailable", "No leader confirmed that this is the newest state.", { retryAfterMs: 1000 });

export function transferError(result: Extract<TransferResult, { refused: string }>): AppError {
	switch (result.refused) {
		case "not-leader":
			return notLeading(null);
		case "transferring":
			return new AppError("wrong-state", "Leadership is being handed over already.");
		case "not-a-voter":
			return new AppError("wrong-state", "This node leads already, or does not vote: it cannot take over.");
		case "no-target":
			return new AppError("wrong-state", "No node that could take over can be reached now.");
	}
}
