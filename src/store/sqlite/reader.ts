/** The queries of the rest of the program (StoreReader) on this node's copy. */
import type { Session, Token, User } from "../../model/access.ts";
import type { Event } from "../../model/event.ts";
import type { Page } from "../../model/schema.ts";
import type { UpkeepDoubt } from "../command.ts";
import { hashOfSubject } from "../idempotency.ts";
import type {
	Authority,
	EarlierAnswer,
	JsonPage,
	ListQuery,
	StoreReader,
	TableName,
	Tables,
	VmLoad,
} from "../store.ts";
import { type PrunePlan, prunableRows } from "./prunable.ts";
import { allDocuments, countRows, listDocuments } from "./queries.ts";
import { Remembered } from "./remembered.ts";
import type { StateDatabase, StoredApplied } from "./state-database.ts";

type SessionHolder = { session: Session; user: User };
type TokenHolder = { token: Token; user: User };

export class SqliteReader implements StoreReader {
	protected readonly state: StateDatabase;

	readonly #sessions: Remembered<SessionHolder>;
	readonly #tokens: Remembered<TokenHolder>;

	constructor(state: StateDatabase) {
		this.state = state;
		this.#sessions = new Remembered(state, ["session", "session_secret", "user"]);
		this.#tokens = new Remembered(state, ["token", "token_secret", "user"]);
	}

	get<T extends TableName>(table: T, id: string): Tables[T] | null {
		return this.state.get(table, id);
	}

	list<T extends TableName>(table: T, query: ListQuery): Page<Tables[T]> {
		const { docs, nextPageToken } = listDocuments(this.state, table, query);
		return { items: docs.map((doc) => JSON.parse(doc) as Tables[T]), nextPageToken };
	}

	listJson(table: TableName, query: ListQuery): JsonPage {
		const { docs, nextPageToken } = listDocuments(this.state, table, query);
		return { itemsJson: `[${docs.join(",")}]`, nextPageToken };
	}

	all<T extends TableName>(table: T, filter?: ListQuery["filter"]): Tables[T][] {
		return allDocuments(this.state, table, filter).map((doc) => JSON.parse(doc) as Tables[T]);
	}

	count(table: TableName, filter?: ListQuery["filter"]): number {
		return countRows(this.state, table, filter);
	}

	userByName(name: string): { user: User; passwordHash: string } | null {
		const id = this.state.idByName("user", name);
		const user = id === null ? null : this.get("user", id);
		const passwordHash = id === null ? null : this.state.passwordHash(id);
		return user === null || passwordHash === null ? null : { user, passwordHash };
	}

	userSecret(id: string): { passwordHash: string } | null {
		const passwordHash = this.state.passwordHash(id);
		return passwordHash === null ? null : { passwordHash };
	}

	sessionBySecretHash(secretHash: string): SessionHolder | null {
		return this.#sessions.get(secretHash, () => this.#sessionBySecretHash(secretHash));
	}

	#sessionBySecretHash(secretHash: string): SessionHolder | null {
		const id = this.state.idBySecretHash("session", secretHash);
		const session = id === null ? null : this.get("session", id);
		const user = session === null ? null : this.get("user", session.userId);
		return session === null || user === null ? null : { session, user };
	}

	tokenBySecretHash(secretHash: string): TokenHolder | null {
		return this.#tokens.get(secretHash, () => this.#tokenBySecretHash(secretHash));
	}

	#tokenBySecretHash(secretHash: string): TokenHolder | null {
		const id = this.state.idBySecretHash("token", secretHash);
		const token = id === null ? null : this.get("token", id);
		const user = token === null ? null : this.get("user", token.userId);
		return token === null || user === null ? null : { token, user };
	}

	authority(): Authority | null {
		return this.state.authority();
	}

	secretsKeyId(): string | null {
		return this.state.secretsKeyId();
	}

	sealedCredentials(poolId: string): string | null {
		return this.state.sealedCredentials(poolId);
	}

	joinTokenSecret(id: string): string | null {
		return this.state.secretHash("joinToken", id);
	}

	macInUse(mac: string): boolean {
		return this.state.isLinked("vm", "mac", mac);
	}

	/** Counted by size, for which an index is enough: a SUM would take each VM's document apart. */
	vmLoads(): VmLoad[] {
		const loads = new Map<string, VmLoad>();
		for (const column of ["memory_bytes", "vcpus"] as const)
			for (const { nodeId, size, count } of this.state.rows<{ nodeId: string; size: number; count: number }>(
				`SELECT node_id AS nodeId, ${column} AS size, COUNT(*) AS count FROM vm GROUP BY ${column}, node_id`,
			)) {
				const load = loads.get(nodeId) ?? { nodeId, memoryBytes: 0, vcpus: 0 };
				loads.set(nodeId, load);
				if (column === "vcpus") load.vcpus += size * count;
				else load.memoryBytes += size * count;
			}
		return [...loads.values()].sort((one, other) => (one.nodeId < other.nodeId ? -1 : 1));
	}

	eventsAfter(id: string, limit: number): Event[] | null {
		const after = parseEventId(id);
		if (after === null || compareIds(after, parseEventId(this.lastEventId())) > 0) return null;
		const dropped = parseEventId(String(this.state.meta("eventsDroppedTo") ?? "0.0"));
		if (compareIds(after, dropped) < 0) return null;
		return this.state
			.rows<{ doc: string }>(
				"SELECT doc FROM event WHERE (log_index, position) > (?, ?) ORDER BY log_index, position LIMIT ?",
				after.logIndex,
				after.position,
				limit,
			)
			.map((row) => JSON.parse(row.doc) as Event);
	}

	lastEventId(): string {
		const last = this.state.row<{ logIndex: number; position: number }>(
			"SELECT log_index AS logIndex, position FROM event ORDER BY seq DESC LIMIT 1",
		);
		return last === null ? "0.0" : `${last.logIndex}.${last.position}`;
	}

	idempotent(requesterKey: string): EarlierAnswer | null {
		const row = this.state.idempotencyRow(requesterKey);
		if (row === null) return null;
		const applied = { ...(JSON.parse(row.result) as StoredApplied), replayed: true };
		return { operation: row.operation, requestHash: hashOfSubject(row.subject), applied };
	}

	upkeepTimeMs(): number | null {
		const newest = (table: string, column: string) =>
			this.state.row<{ time: string }>(`SELECT ${column} AS time FROM ${table} ORDER BY ${column} DESC LIMIT 1`)?.time;
		const time = this.state.meta("upkeepTime") ?? newest("audit", "time") ?? newest("task", "created_at") ?? null;
		return time === null ? null : Date.parse(String(time));
	}

	upkeepDoubts(): UpkeepDoubt[] {
		const doubts = this.state.meta("upkeepDoubts");
		return doubts === null ? [] : (JSON.parse(String(doubts)) as UpkeepDoubt[]);
	}

	prunable(plan: PrunePlan): number {
		return prunableRows(this.state, plan);
	}

	get appliedIndex(): number {
		return this.state.appliedIndex;
	}
}

type EventId = { logIndex: number; position: number };

function parseEventId(id: string): EventId | null {
	const match = /^(\d{1,15})\.(\d{1,9})$/.exec(id);
	return match ? { logIndex: Number(match[1]), position: Number(match[2]) } : null;
}

const compareIds = (a: EventId, b: EventId | null): number =>
	b === null ? 1 : a.logIndex - b.logIndex || a.position - b.position;
