/** What a client can rely on after an error of a proposal (store/raft/refusals.ts). */
import { isAppError } from "../../lib/errors.ts";
import type { ProposalOutcome } from "./process.ts";

export function outcomeOf(error: unknown): ProposalOutcome {
	if (!isAppError(error)) return "unknown";
	const { outcome } = error.context;
	return outcome === "not-proposed" || outcome === "lost" ? "refused" : "unknown";
}
