/**
 * Audit records of requests that are no command of their own: denials, console tickets, uploads. Each record is a
 * replicated write, and whoever is denied decides how often: so the first few of a credential in a minute are written
 * one by one, and what comes after that in the same minute becomes one record for each operation, with a count. In
 * memory and bounded; what is still gathered when the node is killed is lost, at a clean end it is written. Without a quorum
 * nobody waits for a record (late-records.ts).
 */
import { type Clock, type Timer, toRfc3339 } from "../lib/clock.ts";
import type { IdSource } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import type { AuditRecord } from "../model/access.ts";
import type { OperationId } from "../model/permissions.ts";
import type { ResourceRef } from "../model/schema.ts";
import type { Proposer, Store } from "../store/store.ts";
import type { Identity } from "./identity.ts";
import { LateRecords, mayBeLater } from "./late-records.ts";

export type AuditEntry = {
	identity: Identity;
	operation: OperationId;
	remoteAddress: string | null;
	outcome: AuditRecord["outcome"];
	/** Null for accepted. */
	errorCode: string | null;
	targets: ResourceRef[];
};

export type AuditRecorderDeps = {
	store: Pick<Store, "status">;
	proposer: Proposer;
	clock: Clock;
	ids: IdSource;
	logger: Logger;
};

const windowMs = 60_000;
/** Of a credential and outcome in a minute; so many console tickets are opened by people, not more. */
export const recordedOneByOne = 10;
/** Credentials at a time; beyond that the minute that began first ends early. */
const maxWindows = 10_000;
const maxTargets = 100;

type Gathered = { entry: AuditEntry; targets: Map<string, ResourceRef>; count: number };
type Window = { recorded: number; gathered: Map<string, Gathered>; timer: Timer };

export class AuditRecorder {
	readonly #deps: AuditRecorderDeps;
	/** In the order of their beginning. */
	readonly #windows = new Map<string, Window>();
	readonly #writing = new Set<Promise<void>>();
	readonly #late: LateRecords;

	constructor(deps: AuditRecorderDeps) {
		this.#deps = deps;
		const { clock, logger, store } = deps;
		this.#late = new LateRecords({
			...{ clock, logger },
			hasQuorum: () => store.status().quorum,
			write: (record) => this.#propose(record),
		});
	}

	/** Writes the record and waits for it, gathers it, or keeps it for when there is a quorum. A failure to write is logged and changes nothing for the caller. */
	async record(entry: AuditEntry): Promise<void> {
		const { requester, credential } = entry.identity;
		const key = `${entry.outcome}/${requester.kind}/${credential?.id ?? requester.id ?? ""}`;
		const window = this.#windows.get(key) ?? this.#begin(key);
		if (window.recorded < recordedOneByOne) {
			window.recorded += 1;
			return this.#write(entry, entry.targets, 1);
		}
		gather(window, entry);
	}

	/** Credentials whose minute has not ended. */
	get size(): number {
		return this.#windows.size;
	}

	/** Writes what is gathered, and waits for all that is being written. */
	async close(): Promise<void> {
		for (const key of [...this.#windows.keys()]) this.#end(key);
		await Promise.all(this.#writing);
		await this.#late.close();
	}

	#begin(key: string): Window {
		const oldest = this.#windows.keys().next();
		if (this.#windows.size >= maxWindows && !oldest.done) this.#end(oldest.value);
		const timer = this.#deps.clock.schedule(windowMs, () => this.#end(key));
		const window = { recorded: 0, gathered: new Map<string, Gathered>(), timer };
		this.#windows.set(key, window);
		return window;
	}

	#end(key: string): void {
		const window = this.#windows.get(key);
		if (!window) return;
		this.#windows.delete(key);
		window.timer.cancel();
		for (const { entry, targets, count } of window.gathered.values())
			void this.#write(entry, [...targets.values()], count);
	}

	#write(entry: AuditEntry, targets: ResourceRef[], count: number): Promise<void> {
		const writing = this.#append(entry, targets, count).finally(() => this.#writing.delete(writing));
		this.#writing.add(writing);
		return writing;
	}

	async #append({ identity, ...entry }: AuditEntry, targets: ResourceRef[], count: number): Promise<void> {
		const { clock, ids, logger, store } = this.#deps;
		const { operation, remoteAddress, outcome, errorCode } = entry;
		const { requester } = identity;
		const record: AuditRecord = {
			...{ id: ids.newId(), time: toRfc3339(clock.nowMs()), requester, remoteAddress, operation, outcome },
			...{ targets: targets.slice(0, maxTargets), errorCode },
			...(count > 1 ? { count } : {}),
		};
		if (!store.status().quorum) {
			this.#late.add(record);
			return;
		}
		try {
			await this.#propose(record);
		} catch (error) {
			if (mayBeLater(error)) this.#late.add(record);
			else logger.warn("an audit record could not be written", { operation, outcome, count, requester, error });
		}
	}

	/** Id and time of a record are those of its command: a second attempt makes no second record, nor a later one of it. */
	#propose(record: AuditRecord): Promise<unknown> {
		const as = { id: record.id, timeMs: Date.parse(record.time) };
		return this.#deps.proposer.proposeSystem({ kind: "auditAppend", record }, as);
	}
}

/** The number of operations and error codes is the bound: neither is text from outside. */
function gather({ gathered }: Window, entry: AuditEntry): void {
	const key = `${entry.operation}/${entry.errorCode ?? ""}`;
	const one = gathered.get(key) ?? { entry, targets: new Map<string, ResourceRef>(), count: 0 };
	one.entry = entry;
	one.count += 1;
	for (const target of entry.targets)
		if (one.targets.size < maxTargets) one.targets.set(`${target.kind}/${target.id}`, target);
	gathered.set(key, one);
}
