/**
 * Version 1 of the database. An object is one JSON document; columns for filters and sorts are generated from it, so
 * they cannot disagree with it, and stand before it in the row, so that reading them does not read the document.
 * `link` says which object refers to which value, for questions in the other direction (which VM uses this MAC
 * address?) and for filters on lists (tags, targets of tasks). Secrets have tables of their own.
 */

export const text = (column: string, path: string, more = "") =>
	`${column} TEXT GENERATED ALWAYS AS (json_extract(doc, '$.${path}')) STORED${more}`;
export const integer = (column: string, path: string) =>
	`${column} INTEGER GENERATED ALWAYS AS (json_extract(doc, '$.${path}')) STORED`;
const name = text("name", "name", " COLLATE NOCASE");

export const table = (tableName: string, columns: readonly string[], indices: readonly string[]): string[] => [
	`CREATE TABLE ${tableName} (id TEXT PRIMARY KEY NOT NULL, ${[...columns, "doc TEXT NOT NULL"].join(", ")})`,
	...indices.map(
		(columnList) =>
			`CREATE INDEX ${tableName}_by_${columnList.replaceAll(/\W+/g, "_")} ON ${tableName} (${columnList})`,
	),
];

export const schema1: readonly string[] = [
	"CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value) WITHOUT ROWID",
	...table("cluster", [name], []),
	...table("node", [name, text("phase", "status.phase"), text("created_at", "createdAt")], ["name, id"]),
	...table(
		"vm",
		[
			name,
			text("power_state", "status.powerState"),
			text("node_id", "nodeId"),
			text("created_at", "createdAt"),
			integer("memory_bytes", "spec.memory.sizeBytes"),
			integer("vcpus", "spec.cpu.vcpus"),
			text("desired_power", "desiredPower"),
			integer("deleting", "deleting"),
		],
		[
			"name, id, power_state, node_id",
			"created_at, id, power_state, node_id",
			"memory_bytes, id, power_state, node_id",
			"vcpus, id, power_state, node_id",
			"power_state, name, id",
			"node_id, name, id",
			// What a node asks every few seconds: which of its VMs run, and how many.
			"node_id, power_state, id",
		],
	),
	...table(
		"volume",
		[
			name,
			text("pool_id", "poolId"),
			text("vm_id", "vmId"),
			text("phase", "phase"),
			text("node_id", "nodeId"),
			text("format", "format"),
			text("created_at", "createdAt"),
			integer("size_bytes", "sizeBytes"),
		],
		[
			"name, id, phase",
			"created_at, id, phase",
			"size_bytes, id, phase",
			"pool_id, name, id",
			"vm_id, name, id",
			"phase, name, id",
		],
	),
	...table(
		"pool",
		[name, text("type", "type"), text("phase", "phase"), text("created_at", "createdAt")],
		["name, id", "created_at, id"],
	),
	...table(
		"image",
		[
			name,
			text("pool_id", "poolId"),
			text("phase", "phase"),
			text("format", "format"),
			text("node_id", "nodeId"),
			text("created_at", "createdAt"),
		],
		["name, id, phase, format", "created_at, id, phase, format", "pool_id, name, id"],
	),
	...table(
		"network",
		[name, text("kind", "config.kind"), integer("deleting", "deleting"), text("created_at", "createdAt")],
		["name, id", "created_at, id"],
	),
	...table(
		"task",
		[
			text("state", "state"),
			text("kind", "kind"),
			text("node_id", "nodeId"),
			text("parent_id", "parentId"),
			text("created_at", "createdAt"),
			text("finished_at", "finishedAt"),
		],
		["created_at, id, state, kind", "state, created_at, id", "kind, created_at, id", "finished_at, id"],
	),
	...table(
		"user",
		[name, text("role", "role"), integer("enabled", "enabled"), text("created_at", "createdAt")],
		["name, id", "created_at, id"],
	),
	...table(
		"session",
		[text("user_id", "userId"), text("created_at", "createdAt"), text("expires_at", "expiresAt")],
		["user_id, created_at, id", "created_at, id", "expires_at, id"],
	),
	...table(
		"token",
		[name, text("user_id", "userId"), text("role", "role"), text("created_at", "createdAt")],
		["user_id, name, id", "name, id", "created_at, id"],
	),
	...table(
		"audit",
		[
			text("time", "time"),
			text("requester_name", "requester.name"),
			text("operation", "operation"),
			text("outcome", "outcome"),
		],
		["time, id, operation, outcome", "requester_name, time, id", "operation, time, id", "outcome, time, id"],
	),
	`CREATE TABLE link (owner_table TEXT NOT NULL, kind TEXT NOT NULL, value TEXT NOT NULL, owner_id TEXT NOT NULL,
		PRIMARY KEY (owner_table, kind, value, owner_id)) WITHOUT ROWID`,
	"CREATE INDEX link_by_owner ON link (owner_table, owner_id)",
	"CREATE TABLE user_secret (id TEXT PRIMARY KEY NOT NULL, password_hash TEXT NOT NULL) WITHOUT ROWID",
	"CREATE TABLE session_secret (id TEXT PRIMARY KEY NOT NULL, secret_hash TEXT NOT NULL UNIQUE) WITHOUT ROWID",
	"CREATE TABLE token_secret (id TEXT PRIMARY KEY NOT NULL, secret_hash TEXT NOT NULL UNIQUE) WITHOUT ROWID",
	// total_bytes: of this event and all before it, to bound what is kept without counting.
	`CREATE TABLE event (seq INTEGER PRIMARY KEY, log_index INTEGER NOT NULL, position INTEGER NOT NULL,
		total_bytes INTEGER NOT NULL, doc TEXT NOT NULL)`,
	"CREATE UNIQUE INDEX event_by_id ON event (log_index, position)",
	"CREATE TABLE command_result (log_index INTEGER PRIMARY KEY, command_id TEXT NOT NULL UNIQUE, result TEXT NOT NULL)",
	`CREATE TABLE idempotency (requester_key TEXT PRIMARY KEY NOT NULL, log_index INTEGER NOT NULL, time_ms INTEGER NOT NULL,
		operation TEXT NOT NULL, subject TEXT NOT NULL, result TEXT NOT NULL) WITHOUT ROWID`,
	"CREATE INDEX idempotency_by_index ON idempotency (log_index)",
];
