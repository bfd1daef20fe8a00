/** Version 3: what a cluster of several nodes keeps. */
import { table, text } from "./schema-1.ts";

export const schema3: readonly string[] = [
	...table(
		"joinToken",
		[text("created_at", "createdAt"), text("expires_at", "expiresAt")],
		["created_at, id", "expires_at, id"],
	),
	"CREATE TABLE joinToken_secret (id TEXT PRIMARY KEY NOT NULL, secret_hash TEXT NOT NULL UNIQUE) WITHOUT ROWID",
	"CREATE TABLE cluster_secret (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID",
	// As apply does it for the node of an older log (apply/cluster.ts).
	"UPDATE node SET doc = json_set(doc, '$.peerAddresses', json('[]'), '$.witness', json('false'))",
];
