/**
 * What the rest of the program sees of the replicated state, which Raft keeps the same on every member. Writes are
 * commands (command.ts); reads are queries on this node's SQLite copy after `readIndex()`.
 */
import type { AuditRecord, Session, Token, User } from "../model/access.ts";
import type { JoinToken } from "../model/cluster.ts";
import type { Event } from "../model/event.ts";
import type { Network } from "../model/network.ts";
import type { Cluster, Node } from "../model/node.ts";
import type { Page } from "../model/schema.ts";
import type { Snapshot } from "../model/snapshot.ts";
import type { Image, Pool, Volume } from "../model/storage.ts";
import type { Task } from "../model/task.ts";
import type { Vm } from "../model/vm.ts";
import type { Command, CommandBody, UpkeepDoubt } from "./command.ts";

export type Tables = {
	cluster: Cluster;
	node: Node;
	vm: Vm;
	volume: Volume;
	snapshot: Snapshot;
	pool: Pool;
	image: Image;
	network: Network;
	task: Task;
	user: User;
	session: Session;
	token: Token;
	joinToken: JoinToken;
	audit: AuditRecord;
};
export type TableName = keyof Tables;

export type Authority = { certificatePem: string; keyPem: string };

/** `index` is the log index at which the command was applied; `replayed` when an idempotency key had been used. */
export type Applied = {
	index: number;
	replayed: boolean;
	targets: { kind: string; id: string }[];
	taskId: string | null;
};

/** Equality filters (several values: any of them) and sort on the columns that queries.ts lists for each table. */
export type ListQuery = {
	filter?: Record<string, string | number | boolean | null | readonly (string | number)[]>;
	/** Case-insensitive substring of the name. */
	search?: string;
	/** "name", "-createdAt"; the id breaks ties. */
	sort?: string;
	limit: number;
	pageToken?: string | null;
};

export type VmLoad = { nodeId: string; memoryBytes: number; vcpus: number };

export type JsonPage = { itemsJson: string; nextPageToken: string | null };

export interface StoreReader {
	get<T extends TableName>(table: T, id: string): Tables[T] | null;
	/** Keyset paging: stable while rows come and go. An unknown column or a bad token is `invalid`. */
	list<T extends TableName>(table: T, query: ListQuery): Page<Tables[T]>;
	/** The same page with its items as one JSON array, as they are stored: nothing is parsed and written again. */
	listJson(table: TableName, query: ListQuery): JsonPage;
	/** All rows, for reconcilers and counts; bounded by what a cluster holds. */
	all<T extends TableName>(table: T, filter?: ListQuery["filter"]): Tables[T][];
	count<T extends TableName>(table: T, filter?: ListQuery["filter"]): number;
	/** Secrets: hashes only. */
	userByName(name: string): { user: User; passwordHash: string } | null;
	userSecret(id: string): { passwordHash: string } | null;
	sessionBySecretHash(secretHash: string): { session: Session; user: User } | null;
	tokenBySecretHash(secretHash: string): { token: Token; user: User } | null;
	/** The cluster's CA; null before there is one. The key is a secret: it goes into no answer. */
	authority(): Authority | null;
	/** Fingerprint of the key with which credentials are sealed; null before there is one. */
	secretsKeyId(): string | null;
	/** Null for a pool without. Sealed: nobody reads them without the key. */
	sealedCredentials(poolId: string): string | null;
	/** The hash of a join token's secret; null when there is no such token. */
	joinTokenSecret(id: string): string | null;
	/** MAC addresses in use by NICs of all VMs. */
	macInUse(mac: string): boolean;
	/** What the VMs of each node want in all, running or not; nodes without VMs are left out. */
	vmLoads(): VmLoad[];
	/** Events after `id` (exclusive), oldest first; null when `id` is older than what is kept (read everything anew). */
	eventsAfter(id: string, limit: number): Event[] | null;
	lastEventId(): string;
	/** The answer that an idempotency key of this requester got, if any. */
	idempotent(requesterKey: string): EarlierAnswer | null;
	/** The time by which the last `prune` was planned; before the first, that of the newest record; null without any. */
	upkeepTimeMs(): number | null;
	/** What was held against the clock then. */
	upkeepDoubts(): UpkeepDoubt[];
	/** How many rows of one table such a prune would delete now: the most of any, at most as many as it deletes at a time. */
	prunable(plan: Extract<CommandBody, { kind: "prune" }>): number;
	readonly appliedIndex: number;
}

/** `requestHash` is the command's `idempotencyHash`; null when it had none. */
export type EarlierAnswer = { operation: string; requestHash: string | null; applied: Applied };

/** Whoever does not read `stream` to its end cancels it. */
export type Backup = { index: number; sizeBytes: number; stream: ReadableStream<Uint8Array> };

export interface Store extends StoreReader {
	/**
	 * Appends the command durably, applies it, and resolves with the result. Rejects with the AppError that apply gave
	 * (not-found, wrong-state, already-exists, in-use, stale-etag, forbidden, invalid …), with `unavailable` without a
	 * leader, `no-space` when the log's disk is full. At most 4,096 proposals wait; more are `too-many-requests`.
	 */
	propose(command: Command): Promise<Applied>;
	/**
	 * Resolves once this copy has everything that was acknowledged before the call. `unavailable` when it does not get
	 * there soon: no quorum, or a full disk that holds changes back. What it has can be read nevertheless, as stale.
	 */
	readIndex(): Promise<number>;
	/** Called after each commit with its events, in order. Listeners must not throw and must be quick. */
	subscribe(listener: (events: readonly Event[]) => void): () => void;
	/** A consistent copy of the whole state into a new file, fsynced with its folder. */
	snapshot(path: string): Promise<{ index: number; bytes: number }>;
	/** Such a copy to send away. One is made at a time: `too-many-requests`. */
	backup(): Promise<Backup>;
	status(): { leader: string | null; quorum: boolean; appliedIndex: number; commitIndex: number; term: number };
	close(): Promise<void>;
}

/** Makes commands of this process: adds id and time. `proposeSystem` is for reconcilers. */
export interface Proposer {
	propose(body: CommandBody, meta: Omit<Command, "body" | "id" | "timeMs">): Promise<Applied>;
	/** `as`: for what happened at another time, and may have been proposed before: of one id, one is applied. */
	proposeSystem(body: CommandBody, as?: { id: string; timeMs: number }): Promise<Applied>;
}
