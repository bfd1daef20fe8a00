/**
 * The state of the cluster in SQLite: rows in and out, without any rule of what may be in them (that is apply/). One
 * connection serves writes and reads; both are synchronous, so no read ever sees half a transaction.
 */
import { assert } from "../../lib/assert.ts";
import type { AuditRecord, Session, Token } from "../../model/access.ts";
import type { Snapshot } from "../../model/snapshot.ts";
import type { Volume } from "../../model/storage.ts";
import type { Task } from "../../model/task.ts";
import type { ConfigurationAt } from "../../raft/types.ts";
import type { Applied, Authority, TableName, Tables } from "../store.ts";
import { type Link, linksOf } from "./columns.ts";
import { StateRows, type Values } from "./state-rows.ts";

export type SecretKind = "session" | "token" | "joinToken";

type Kept = { json: string; object: object };
/** Of each table. */
const maxKept = 64;

type LastEvent = { seq: number; total: number };

export class StateDatabase extends StateRows {
	/** What `known` has read, and how much had been written to the table then. */
	readonly #kept = new Map<TableName, { writes: number; byId: Map<string, Kept> }>();
	#lastEvent: (LastEvent & { writes: number }) | null = null;

	getJson(table: TableName, id: string): string | null {
		return this.row<{ doc: string }>(`SELECT doc FROM ${table} WHERE id = ?`, id)?.doc ?? null;
	}

	get<T extends TableName>(table: T, id: string): Tables[T] | null {
		const json = this.getJson(table, id);
		return json === null ? null : (JSON.parse(json) as Tables[T]);
	}

	/**
	 * As `get`, for those who change nothing of what they get: the same object again while nothing is written to its table. A
	 * command reads what it is about, and who sent it, several times.
	 */
	known<T extends TableName>(table: T, id: string): Tables[T] | null {
		const kept = this.#keptOf(table);
		const found = kept.get(id);
		if (found !== undefined) return found.object as Tables[T];
		const json = this.getJson(table, id);
		if (json === null) return null;
		const object = JSON.parse(json) as Tables[T];
		if (kept.size >= maxKept) kept.clear();
		kept.set(id, { json, object });
		return object;
	}

	#keptOf(table: TableName): Map<string, Kept> {
		let kept = this.#kept.get(table);
		if (kept === undefined) {
			kept = { writes: -1, byId: new Map() };
			this.#kept.set(table, kept);
		}
		const writes = this.writesOf(table);
		if (kept.writes !== writes) kept.byId.clear();
		kept.writes = writes;
		return kept.byId;
	}

	insert<T extends TableName>(table: T, object: Tables[T]): string {
		const json = JSON.stringify(object);
		this.insertRow(table, { id: object.id, doc: json });
		this.#insertLinks(table, object.id, this.#links(table, object));
		return json;
	}

	/** A record with an id that is there already is the same record. */
	insertAudit(record: AuditRecord): void {
		this.insertNewRow("audit", { id: record.id, doc: JSON.stringify(record) });
	}

	update<T extends TableName>(table: T, before: Tables[T], after: Tables[T]): string {
		const json = JSON.stringify(after);
		const kept = this.#keptOf(table).get(after.id);
		const known = kept?.object === before ? { id: after.id, doc: kept.json } : null;
		const found = this.updateRow(table, { id: after.id }, { doc: json }, known);
		assert(found, `${table} ${after.id} is there to be updated`);
		if (!linksOf[table]) return json;
		const links = this.#links(table, after);
		if (JSON.stringify(links) !== JSON.stringify(this.#links(table, before))) {
			this.#deleteLinks(table, after.id);
			this.#insertLinks(table, after.id, links);
		}
		return json;
	}

	delete(table: TableName, id: string): void {
		this.deleteRows(table, "id = ?", id);
		if (linksOf[table]) this.#deleteLinks(table, id);
	}

	#links<T extends TableName>(table: T, object: Tables[T]): Link[] {
		return linksOf[table]?.(object) ?? [];
	}

	#insertLinks(table: TableName, id: string, links: readonly Link[]): void {
		for (const [kind, value] of links) this.insertNewRow("link", { owner_table: table, kind, value, owner_id: id });
	}

	#deleteLinks(table: TableName, id: string): void {
		this.deleteRows("link", "owner_table = ? AND owner_id = ?", table, id);
	}

	/** Objects of `table` that refer to `value`, ordered by id. */
	linked<T extends TableName>(table: T, kind: string, value: string, limit = -1): Tables[T][] {
		return this.#documents(
			`SELECT doc FROM link JOIN ${table} ON ${table}.id = link.owner_id
				WHERE link.owner_table = '${table}' AND link.kind = ? AND link.value = ? ORDER BY link.owner_id LIMIT ?`,
			kind,
			value,
			limit,
		);
	}

	isLinked(table: TableName, kind: string, value: string): boolean {
		const sql = "SELECT 1 AS found FROM link WHERE owner_table = ? AND kind = ? AND value = ? LIMIT 1";
		return this.row(sql, table, kind, value) !== null;
	}

	unfinishedTasksOf(targetId: string): Task[] {
		return this.#documents(
			`SELECT doc FROM link CROSS JOIN task ON task.id = link.owner_id
				WHERE link.owner_table = 'task' AND link.kind = 'targetId' AND link.value = ?
				AND task.state IN ('pending', 'running') ORDER BY task.created_at, task.id`,
			targetId,
		);
	}

	unfinishedTasksOfKind(kind: Task["kind"]): Task[] {
		return this.#documents(
			"SELECT doc FROM task WHERE kind = ? AND state IN ('pending', 'running') ORDER BY created_at, id",
			kind,
		);
	}

	/** Id of the object with this name, upper and lower case being the same. */
	idByName(table: TableName, name: string): string | null {
		return this.row<{ id: string }>(`SELECT id FROM ${table} WHERE name = ? ORDER BY id LIMIT 1`, name)?.id ?? null;
	}

	volumesOfVm(vmId: string): Volume[] {
		return this.#documents("SELECT doc FROM volume WHERE vm_id = ? ORDER BY name, id", vmId);
	}

	/** Oldest first. */
	snapshotsOfVm(vmId: string): Snapshot[] {
		return this.#documents("SELECT doc FROM snapshot WHERE vm_id = ? ORDER BY created_at, id", vmId);
	}

	all<T extends TableName>(table: T): Tables[T][] {
		return this.#documents(`SELECT doc FROM ${table} ORDER BY id`);
	}

	sessionsOf(userId: string): Session[] {
		return this.#documents("SELECT doc FROM session WHERE user_id = ? ORDER BY created_at, id", userId);
	}

	tokensOf(userId: string): Token[] {
		return this.#documents("SELECT doc FROM token WHERE user_id = ? ORDER BY name, id", userId);
	}

	#documents<T>(sql: string, ...values: Values): T[] {
		return this.rows<{ doc: string }>(sql, ...values).map((row) => JSON.parse(row.doc) as T);
	}

	// Hashes of secrets.

	passwordHash(userId: string): string | null {
		const row = this.row<{ hash: string }>("SELECT password_hash AS hash FROM user_secret WHERE id = ?", userId);
		return row?.hash ?? null;
	}

	setPasswordHash(userId: string, hash: string): void {
		this.deletePasswordHash(userId);
		this.insertRow("user_secret", { id: userId, password_hash: hash });
	}

	deletePasswordHash(userId: string): void {
		this.deleteRows("user_secret", "id = ?", userId);
	}

	idBySecretHash(kind: SecretKind, hash: string): string | null {
		return this.row<{ id: string }>(`SELECT id FROM ${kind}_secret WHERE secret_hash = ?`, hash)?.id ?? null;
	}

	secretHash(kind: SecretKind, id: string): string | null {
		return this.row<{ hash: string }>(`SELECT secret_hash AS hash FROM ${kind}_secret WHERE id = ?`, id)?.hash ?? null;
	}

	setSecretHash(kind: SecretKind, id: string, hash: string): void {
		this.insertRow(`${kind}_secret`, { id, secret_hash: hash });
	}

	deleteSecretHash(kind: SecretKind, id: string): void {
		this.deleteRows(`${kind}_secret`, "id = ?", id);
	}

	authority(): Authority | null {
		const value = this.#clusterSecret("authority");
		return value === null ? null : (JSON.parse(value) as Authority);
	}

	setAuthority({ certificatePem, keyPem }: Authority): void {
		this.insertRow("cluster_secret", { key: "authority", value: JSON.stringify({ certificatePem, keyPem }) });
	}

	/** Fingerprint of the key with which credentials are sealed; null before there is one. */
	secretsKeyId = (): string | null => this.#clusterSecret("secretsKeyId");

	setSecretsKeyId(keyId: string): void {
		this.#setClusterSecret("secretsKeyId", keyId);
	}

	sealedCredentials = (poolId: string): string | null => this.#clusterSecret(`pool:${poolId}`);

	/** Null: it has none any more. */
	setSealedCredentials(poolId: string, sealed: string | null): void {
		this.#setClusterSecret(`pool:${poolId}`, sealed);
	}

	#clusterSecret(key: string): string | null {
		return this.row<{ value: string }>("SELECT value FROM cluster_secret WHERE key = ?", key)?.value ?? null;
	}

	#setClusterSecret(key: string, value: string | null): void {
		this.deleteRows("cluster_secret", "key = ?", key);
		if (value !== null) this.insertRow("cluster_secret", { key, value });
	}

	/** As deleteAllSessions: nobody whom it admitted is believed any more. */
	deleteAuthority(): void {
		this.deleteRows("cluster_secret", "key = 'authority'");
	}

	/** Everybody has to sign in again. Unlike the command, it makes no events: for a state that nobody is served from. */
	deleteAllSessions(): void {
		this.deleteRows("session_secret", "true");
		this.deleteRows("session", "true");
	}

	/** As deleteAllSessions, and for the same reason: who was admitted, or had a token taken back, would have a use again. */
	deleteAllJoinTokens(): void {
		this.deleteRows("joinToken_secret", "true");
		this.deleteRows("joinToken", "true");
	}

	// The applied index and other single values.

	meta(key: string): string | number | null {
		return this.row<{ value: string | number }>("SELECT value FROM meta WHERE key = ?", key)?.value ?? null;
	}

	setMeta(key: string, value: string | number): void {
		if (!this.updateRow("meta", { key }, { value })) this.insertRow("meta", { key, value });
	}

	setApplied(index: number, term: number): void {
		this.setMeta("appliedIndex", index);
		this.setMeta("appliedTerm", term);
	}

	/** Who the members are, since which entry; null before the first change of them. */
	get configuration(): ConfigurationAt | null {
		const text = this.meta("configuration");
		return text === null ? null : (JSON.parse(String(text)) as ConfigurationAt);
	}

	setConfiguration({ index, configuration }: ConfigurationAt): void {
		this.setMeta("configuration", JSON.stringify({ index, configuration }));
	}

	/** All that was committed is on the disk: a power cut takes nothing of it. */
	makeDurable(): void {
		const { busy } = this.database.query("PRAGMA wal_checkpoint(FULL)").get() as { busy: number };
		assert(busy === 0, "nobody reads the state while it is made durable");
	}

	/** What a copy of it takes: what was deleted stays in the file, and is not in the copy. */
	get copyBytes(): number {
		const sql =
			"SELECT (page_count - freelist_count) * page_size AS bytes FROM pragma_page_count, pragma_freelist_count, pragma_page_size";
		return this.row<{ bytes: number }>(sql)?.bytes ?? 0;
	}

	get appliedIndex(): number {
		return Number(this.meta("appliedIndex") ?? 0);
	}

	get appliedTerm(): number {
		return Number(this.meta("appliedTerm") ?? 0);
	}

	// Results of commands.

	commandResult(commandId: string): { logIndex: number; result: string } | null {
		return this.row("SELECT log_index AS logIndex, result FROM command_result WHERE command_id = ?", commandId);
	}

	insertCommandResult(logIndex: number, commandId: string, result: string): void {
		this.insertRow("command_result", { log_index: logIndex, command_id: commandId, result });
	}

	setIdempotencyRow(requesterKey: string, logIndex: number, row: IdempotencyRow): void {
		this.deleteRows("idempotency", "requester_key = ?", requesterKey);
		this.insertRow("idempotency", {
			requester_key: requesterKey,
			log_index: logIndex,
			time_ms: row.timeMs,
			operation: row.operation,
			subject: row.subject,
			result: row.result,
		});
	}

	idempotencyRow(requesterKey: string): IdempotencyRow | null {
		return this.row(
			"SELECT operation, subject, time_ms AS timeMs, result FROM idempotency WHERE requester_key = ?",
			requesterKey,
		);
	}

	/** Appends an event, as JSON. */
	insertEvent(logIndex: number, position: number, doc: string): void {
		const last = this.#lastEvent?.writes === this.writesOf("event") ? this.#lastEvent : this.#readLastEvent();
		const seq = (last?.seq ?? 0) + 1;
		const total = (last?.total ?? 0) + doc.length;
		this.insertRow("event", { seq, log_index: logIndex, position, total_bytes: total, doc });
		this.#lastEvent = { seq, total, writes: this.writesOf("event") };
	}

	#readLastEvent(): LastEvent | null {
		return this.row<LastEvent>("SELECT seq, total_bytes AS total FROM event ORDER BY seq DESC LIMIT 1");
	}
}

export type IdempotencyRow = { operation: string; subject: string; timeMs: number; result: string };
/** What is kept of the result of a command: what was applied, or why it was refused. */
export type StoredApplied = Omit<Applied, "replayed">;
