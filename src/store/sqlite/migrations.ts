/**
 * Brings a database to the schema of this version: numbered steps, each in a transaction with its number
 * (`user_version`). A database of a newer version is refused, since this one would misread it. A released step never
 * changes; the next change is a new step.
 */
import type { Database } from "bun:sqlite";
import { AppError } from "../../lib/errors.ts";
import { schema1 } from "./schema-1.ts";
import { schema3 } from "./schema-3.ts";
import { schema4 } from "./schema-4.ts";
import { writeDigest } from "./state-digest.ts";

export type Migration = {
	version: number;
	statements: readonly string[];
	/** What statements cannot do; in the same transaction. */
	after?: (database: Database) => void;
};

export const migrations: readonly Migration[] = [
	{ version: 1, statements: schema1 },
	// The digest of the state covers the schema, so this is the end of each step from here on.
	{ version: 2, statements: [], after: writeDigest },
	{ version: 3, statements: schema3, after: writeDigest },
	{ version: 4, statements: schema4, after: writeDigest },
];

export const schemaVersion = migrations.at(-1)?.version ?? 0;

export function migrate(database: Database, steps: readonly Migration[] = migrations): void {
	const row = database.query<{ user_version: number }, []>("PRAGMA user_version").get();
	const current = row?.user_version ?? 0;
	refuseNewer(current, steps.at(-1)?.version ?? 0);
	for (const step of steps) {
		if (step.version <= current) continue;
		database.transaction(() => {
			for (const statement of step.statements) database.run(statement);
			database.run(`PRAGMA user_version = ${step.version}`);
			step.after?.(database);
		})();
	}
}

/** `unsupported`. */
export function refuseNewer(version: number, newest = schemaVersion): void {
	if (version <= newest) return;
	throw new AppError(
		"unsupported",
		`The state database has schema version ${version}; this version of LimiQuantix knows ${newest}. Install a version at least as new as the one that ran here before.`,
	);
}
