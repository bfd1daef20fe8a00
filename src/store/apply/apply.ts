/**
 * Applies one entry of the log to the state: the same on every node, since it knows nothing but the entry and the
 * state. The caller holds a transaction open around one or more entries and commits it together with the applied
 * index; what is thrown from here (an SQLite error: the disk is full, the database is damaged) must undo it all.
 *
 * Order for each command: seen before? → may it apply? → idempotency key used? → rules. A refused command leaves its
 * audit record and its result, nothing else.
 */
import { toRfc3339 } from "../../lib/clock.ts";
import { AppError, type ErrorInfo, isAppError, toErrorInfo } from "../../lib/errors.ts";
import { isUuid } from "../../lib/ids.ts";
import type { Event } from "../../model/event.ts";
import type { ResourceRef } from "../../model/schema.ts";
import type { EntryKind } from "../../raft/types.ts";
import { decodeCommand } from "../codec.ts";
import type { Command, CommandKind } from "../command.ts";
import { requesterKeyOf, subjectOf } from "../idempotency.ts";
import { idempotencyKeptMs, maxIdempotencyKeyLength, trimInterval } from "../limits.ts";
import { isDatabaseFailure, PartFailed } from "../sqlite/failures.ts";
import type { StateDatabase, StoredApplied } from "../sqlite/state-database.ts";
import type { Applied } from "../store.ts";
import { writeAudit } from "./audit.ts";
import { clusterHandlers } from "./cluster.ts";
import { ApplyContext } from "./context.ts";
import type { Handler, Handlers } from "./handler.ts";
import { imageHandlers } from "./image.ts";
import { networkHandlers } from "./network.ts";
import { nodeHandlers } from "./node.ts";
import { nodeImportHandlers } from "./node-import.ts";
import { nodeLeaveHandlers } from "./node-leave.ts";
import { authorize } from "./permission.ts";
import { poolHandlers } from "./pool.ts";
import { poolOrphanHandlers } from "./pool-orphans.ts";
import { pruneHandlers, trim } from "./prune.ts";
import { sessionHandlers } from "./sessions.ts";
import { snapshotHandlers } from "./snapshot.ts";
import { targetsOf } from "./targets.ts";
import { taskHandlers } from "./task.ts";
import { userHandlers } from "./users.ts";
import { vmHandlers } from "./vm.ts";
import { vmMoveHandlers } from "./vm-move.ts";
import { vmStatusHandlers } from "./vm-status.ts";
import { volumeHandlers } from "./volume.ts";
import { volumeWorkHandlers } from "./volume-work.ts";

const handlers: Handlers<CommandKind> = {
	...clusterHandlers,
	...nodeHandlers,
	...nodeImportHandlers,
	...nodeLeaveHandlers,
	...userHandlers,
	...sessionHandlers,
	...vmHandlers,
	...vmStatusHandlers,
	...vmMoveHandlers,
	...poolHandlers,
	...poolOrphanHandlers,
	...volumeHandlers,
	...snapshotHandlers,
	...volumeWorkHandlers,
	...imageHandlers,
	...networkHandlers,
	...taskHandlers,
	...pruneHandlers,
};

/** Which handler belongs to a kind is known to the table only; the one cast is here. */
const handlerOf = (kind: CommandKind): Handler<CommandKind> => handlers[kind] as unknown as Handler<CommandKind>;

/** `kind`: of Raft; none is a command. */
export type LogEntry = { index: number; term: number; kind?: EntryKind; data: Uint8Array };

/** `bug` is set when a rule broke down (not: refused); the command then counts as refused with `internal`. */
export type Outcome = {
	commandId: string;
	result: { applied: Applied } | { error: ErrorInfo };
	events: Event[];
	bug?: unknown;
};

const trimAfterBytes = 256 * 1024;

/** Null for an entry without a command: Raft's own, or bytes that nobody can read (`malformed`). */
export function applyEntry(state: StateDatabase, entry: LogEntry): Outcome | null {
	const outcome = entry.data.length === 0 ? null : applyBytes(state, entry);
	if (entry.index % trimInterval === 0 || entry.data.length > trimAfterBytes) trim(state, entry.index);
	return outcome;
}

function applyBytes(state: StateDatabase, entry: LogEntry): Outcome | null {
	let command: Command;
	try {
		command = decodeCommand(entry.data);
	} catch (error) {
		if (isAppError(error, "malformed")) return null;
		throw error;
	}
	return seenBefore(state, command) ?? applyCommand(state, command, entry.index);
}

/** A command that comes a second time has the result that it had. */
function seenBefore(state: StateDatabase, command: Command): Outcome | null {
	const result = resultOf(state, command.id, true);
	return result === null ? null : { commandId: command.id, result, events: [] };
}

/** What came of a command that was applied; null when it was not, or long ago. */
export function resultOf(state: StateDatabase, commandId: string, replayed: boolean): Outcome["result"] | null {
	const known = state.commandResult(commandId);
	if (known === null) return null;
	const result = JSON.parse(known.result) as { applied: StoredApplied } | { error: ErrorInfo };
	return "applied" in result ? { applied: { ...result.applied, replayed } } : result;
}

function applyCommand(state: StateDatabase, command: Command, index: number): Outcome {
	const time = timeOf(command);
	const targets = safeTargetsOf(state, command);
	try {
		return state.savepoint(() => {
			const { context, applied } = applyRules(state, command, index, time, targets);
			if (!applied.replayed) writeAudit(state, command, time, targets, null);
			context?.events.forEach(({ json }, position) => {
				state.insertEvent(index, position, json);
			});
			const { replayed: _replayed, ...stored } = applied;
			state.insertCommandResult(index, command.id, JSON.stringify({ applied: stored }));
			return { commandId: command.id, result: { applied }, events: context?.events.map(({ event }) => event) ?? [] };
		});
	} catch (error) {
		if (isDatabaseFailure(error) || error instanceof PartFailed) throw error;
		const info = toErrorInfo(error);
		writeAudit(state, command, time, targets, info.code);
		state.insertCommandResult(index, command.id, JSON.stringify({ error: info }));
		const bug = error instanceof AppError ? {} : { bug: error };
		return { commandId: command.id, result: { error: info }, events: [], ...bug };
	}
}

function applyRules(
	state: StateDatabase,
	command: Command,
	index: number,
	time: string,
	targets: ResourceRef[],
): { context: ApplyContext | null; applied: Applied } {
	checkEnvelope(command);
	const actor = authorize(state, command);
	const earlier = earlierUse(state, command);
	if (earlier !== null) return { context: null, applied: { ...earlier, replayed: true } };
	const context = new ApplyContext(state, command, index, time, actor);
	const taskId = handlerOf(command.body.kind)(context, command.body);
	const stored: StoredApplied = { index, targets: targets.map(({ kind, id }) => ({ kind, id })), taskId };
	if (command.idempotencyKey !== null) {
		state.setIdempotencyRow(requesterKeyOf(command.requester, command.idempotencyKey), index, {
			operation: command.operation,
			subject: subjectOf(command),
			timeMs: command.timeMs,
			result: JSON.stringify(stored),
		});
	}
	return { context, applied: { ...stored, replayed: false } };
}

function checkEnvelope(command: Command): void {
	if (!isUuid(command.id)) throw new AppError("invalid", "The id of a command is a UUID.");
	if (!["user", "token", "local", "system"].includes(command.requester.kind))
		throw new AppError("invalid", "Unknown kind of requester.");
	const key = command.idempotencyKey;
	if (key !== null && (key.length === 0 || key.length > maxIdempotencyKeyLength))
		throw new AppError("invalid", `An idempotency key has 1 to ${maxIdempotencyKeyLength} characters.`);
	if (command.idempotencyHash !== undefined && !/^[0-9a-f]{64}$/.test(command.idempotencyHash))
		throw new AppError("invalid", "The hash of a request is SHA-256, in hexadecimal.");
}

/** The result of the earlier use of the command's idempotency key; null for a key that is new or forgotten. */
function earlierUse(state: StateDatabase, command: Command): StoredApplied | null {
	if (command.idempotencyKey === null) return null;
	const row = state.idempotencyRow(requesterKeyOf(command.requester, command.idempotencyKey));
	if (row === null || command.timeMs - row.timeMs > idempotencyKeptMs) return null;
	if (row.operation !== command.operation || row.subject !== subjectOf(command))
		throw new AppError("invalid", "Idempotency-Key: This key was used with another request.");
	return JSON.parse(row.result) as StoredApplied;
}

/** Times beyond what RFC 3339 can say would throw; such a command is refused by its own rules soon enough. */
function timeOf(command: Command): string {
	const latest = Date.UTC(9999, 11, 31);
	return toRfc3339(Math.min(Math.max(command.timeMs, 0), latest));
}

function safeTargetsOf(state: StateDatabase, command: Command): ResourceRef[] {
	try {
		return targetsOf(state, command.body);
	} catch (error) {
		if (isDatabaseFailure(error)) throw error;
		return [];
	}
}
