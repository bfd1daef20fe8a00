/** The audit: a record for every mutation that somebody asked for, accepted or not. */
import type { AuditRecord } from "../../model/access.ts";
import type { ResourceRef } from "../../model/schema.ts";
import type { Command, CommandBody } from "../command.ts";
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
	if (command.operation === "system") return;
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
		...confirmationOf(command.body),
	};
	state.insertAudit(record);
}

/** What was typed, whether it was right or not. */
function confirmationOf(body: CommandBody): { confirmation?: string } {
	const typed = body.kind === "nodeRemove" ? body.confirmName : body.kind === "vmMove" ? body.confirmNodeOff : null;
	return typed === null ? {} : { confirmation: `${typed.slice(0, 128)} is off` };
}

function outcomeOf(errorCode: string | null): AuditRecord["outcome"] {
	if (errorCode === null) return "accepted";
	return errorCode === "forbidden" || errorCode === "unauthenticated" ? "denied" : "rejected";
}
