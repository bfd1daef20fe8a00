/**
 * What goes to disk, and the messages that wait for it. One write is under way at a time. Messages wait here and not
 * with the caller: it cannot send one too early.
 */
import { assert } from "../lib/assert.ts";
import type { Core } from "./core.ts";
import type { Message } from "./messages.ts";
import { planted } from "./mutants.ts";
import type { Entry, Persist } from "./types.ts";

const none: readonly Entry[] = [];

/** Sends once the term, the vote and the entries up to `index`, as they are now, are durable. */
export function sendDurable(core: Core, message: Message, index = 0): void {
	const skip =
		(planted(core, "vote-not-durable") && message.type === "vote-answer") ||
		(planted(core, "term-not-durable") && message.type === "vote") ||
		(planted(core, "acks-before-durable") && message.type === "append-answer");
	if (skip || (core.hardVersion === core.durableHardVersion && index <= core.log.durableIndex)) {
		core.out.push(message);
		return;
	}
	// A later acknowledgement says all that an earlier one does.
	const last = core.waiting.at(-1);
	if (
		last !== undefined &&
		message.type === "append-answer" &&
		message.accepted &&
		last.message.type === "append-answer" &&
		last.message.accepted &&
		last.message.to === message.to &&
		last.message.term === message.term &&
		index >= last.index
	) {
		last.message = message;
		last.index = index;
		last.hardVersion = core.hardVersion;
		return;
	}
	// A disk that hangs: what does not fit is lost, as on a network.
	if (core.waiting.length >= core.limits.maxWaitingMessages) return;
	core.waiting.push({ message, hardVersion: core.hardVersion, index });
}

/** Cuts the log, and drops acknowledgements of what is cut off: it will never be durable. */
export function truncateLog(core: Core, afterIndex: number): void {
	core.log.truncate(afterIndex);
	if (core.persisting !== null) core.persisting.lastIndex = Math.min(core.persisting.lastIndex, afterIndex);
	core.waiting = core.waiting.filter(({ index }) => index <= afterIndex);
}

/** The next write, or null when there is nothing to write or it has to wait. */
export function takePersist(core: Core): Persist | null {
	const { log } = core;
	if (core.persisting !== null) return null;
	if (core.noSpaceUntil !== null && core.now < core.noSpaceUntil) return null;
	const hardState = core.hardVersion > core.durableHardVersion;
	const waits = core.installing !== null;
	const dirty = !waits && (log.lastIndex > log.handedIndex || log.truncateAfter !== null);
	if (!hardState && !dirty) return null;
	// A disk without room for entries may have room for a vote.
	const alone = waits || (core.noSpaceUntil !== null && hardState);
	const entries =
		alone || log.lastIndex === log.handedIndex
			? none
			: log.entries(log.handedIndex + 1, log.lastIndex, core.limits.maxPersistBytes);
	const truncateAfter = alone ? null : log.truncateAfter;
	if (!alone) {
		log.handedIndex += entries.length;
		log.truncateAfter = null;
	}
	const token = core.nextToken++;
	core.persisting = {
		token,
		hardVersion: core.hardVersion,
		lastIndex: alone ? log.durableIndex : log.handedIndex,
		truncateAfter,
		hardStateOnly: alone,
	};
	const { term, vote, recoveries, recovering } = core;
	return { token, hardState: hardState ? { term, vote, recoveries, recovering } : null, truncateAfter, entries };
}

export function finishPersist(core: Core, token: number): void {
	const done = core.persisting;
	assert(done !== null && done.token === token, "the write that is under way is reported");
	core.persisting = null;
	core.behind = null;
	// Space for a vote alone does not mean that entries fit.
	if (done.lastIndex > core.log.durableIndex || core.log.handedIndex === core.log.lastIndex) core.noSpaceUntil = null;
	core.durableHardVersion = done.hardVersion;
	core.log.durableUpTo(done.lastIndex);
	releaseWaiting(core);
}

/** Nothing was written. */
export function refusePersist(core: Core, token: number): void {
	const refused = core.persisting;
	assert(refused !== null && refused.token === token, "the write that is under way is reported");
	if (planted(core, "refused-write-acknowledged")) {
		finishPersist(core, token);
		return;
	}
	core.persisting = null;
	core.behind = null;
	if (core.noSpaceUntil === null) core.noSpaceSince = core.now;
	core.noSpaceUntil = core.now + 1;
	const { log } = core;
	log.handedIndex = log.durableIndex;
	if (refused.truncateAfter !== null)
		log.truncateAfter = Math.min(log.truncateAfter ?? refused.truncateAfter, refused.truncateAfter);
	if (planted(core, "lost-vote-on-full-disk")) {
		core.vote = null;
		core.durableHardVersion = core.hardVersion;
		releaseWaiting(core);
	}
}

function releaseWaiting(core: Core): void {
	if (core.waiting.length === 0) return;
	const still = core.waiting.filter(({ message, hardVersion, index }) => {
		const durable = hardVersion <= core.durableHardVersion && index <= core.log.durableIndex;
		if (durable) core.out.push(message);
		return !durable;
	});
	core.waiting = still;
}
