/** The audit: a record for every mutation that somebody asked for, accepted or not. */
import type { AuditRecord } from "../../model/access.ts";
import type { ResourceRef } from "../../model/schema.ts";
import type { Command } from "../command.ts";
import type { StateDatabase } from "../sqlite/state-database.ts";

const maxTargets = 100;

/** `errorCode` null: accepted. */
export function writeAudit(
	state: StateDatabase,
	command: Command,
	time: string,
	targets: ResourceRef[],
	errorCode: string | null,
): void {
	if (command.operation === "system" || command.requester.kind === "system") return;
	if (command.body.kind === "auditAppend") return;
	const record: AuditRecord = {
		id: command.id,
		time,
		requester: command.requester,
		remoteAddress: command.remoteAddress,
		operation: command.operation,
		outcome: outcomeOf(errorCode),
		targets: targets.slice(0, maxTargets),
		errorCode,
	};
	state.insertAudit(record);
}

function outcomeOf(errorCode: string | null): AuditRecord["outcome"] {
	if (errorCode === null) return "accepted";
	return errorCode === "forbidden" || errorCode === "unauthenticated" ? "denied" : "rejected";
}
