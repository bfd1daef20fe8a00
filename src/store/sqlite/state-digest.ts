/**
 * The digest of the whole state: one number that says whether the rows are those that were written. SQLite has no
 * checksums of pages: a bit that flips inside a row reads as another value, and `PRAGMA integrity_check`, which knows
 * only whether the file makes sense, says "ok".
 *
 * It is the sum, modulo 2^64, of the xxHash64 of every row (and of the schema and its version), so it is kept by adding
 * what a change writes and subtracting what it takes away (state-rows.ts), and does not depend on the order of rows.
 * `meta` holds it, in hexadecimal, written in the transaction that it belongs to. Copies of the same state have the same
 * digest, on whichever node. Indices are not in it; integrity_check compares them with their rows. Why not a checksum in
 * each row: docs/decisions/0021-digest-of-the-state.md.
 */
import type { Database } from "bun:sqlite";

/** How a row of a table becomes the text that is hashed: its columns but for the generated ones, which follow from it. */
export type RowForm = {
	columns: string[];
	/** SQL, for rows that are stored. */
	text: string;
	/** SQL that is true for a row whose generated columns are not what they should be; null without such columns. */
	mismatch: string | null;
};

export type StateDigest = {
	/** Of `meta`. */
	readonly key: string;
	/** Databases of earlier versions of the schema have no digest. */
	readonly sinceVersion: number;
	rowForms(database: Database): Map<string, RowForm>;
	/** The same as `text` of the form. `values` in the order of its columns. */
	rowText(table: string, values: readonly (string | number)[]): string;
	hashOf(rowText: string): bigint;
	/** Reads every row. */
	digestOf(database: Database): bigint;
	/** What the database says that its digest is; null when it says nothing. */
	storedDigest(database: Database): bigint | null;
	/** What is wrong with the rows or with the structure and the indices; null when nothing is. */
	damageOfRows(database: Database): string | null;
	damageOfStructure(database: Database): string | null;
	version(database: Database): number;
	/** Of all bytes of a file. */
	hashOfFile(path: string): bigint;
};

/** The text of this function is also run in a worker (worker-client.ts), so it refers to nothing outside it. */
export function makeStateDigest(): StateDigest {
	const key = "digest";
	const sinceVersion = 2;
	const mask = 0xffff_ffff_ffff_ffffn;
	const schemaText = "concat_ws(char(31), 'sqlite_schema', type, name, tbl_name, ifnull(sql, char(0)))";
	const version = (database: Database): number =>
		(database.query("PRAGMA user_version").get() as { user_version: number }).user_version;
	const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
	const rowForms = (database: Database): Map<string, RowForm> => {
		const tables = database.query("SELECT name, sql FROM sqlite_schema WHERE type = 'table' ORDER BY name").all();
		const forms = new Map<string, RowForm>();
		for (const { name, sql } of tables as { name: string; sql: string }[]) {
			const all = database.query("SELECT name, hidden FROM pragma_table_xinfo(?) ORDER BY cid").all(name) as {
				name: string;
				hidden: number;
			}[];
			const columns = all.filter(({ hidden }) => hidden === 0).map((column) => column.name);
			const generated = all.filter(({ hidden }) => hidden !== 0).map((column) => column.name);
			const differences = generated.map((column) => {
				const [, expression] = new RegExp(`\\b${column} \\w+ GENERATED ALWAYS AS \\((.+?)\\) STORED`).exec(sql) ?? [];
				if (expression === undefined) throw new Error(`the column ${column} of ${name} is not written as it should be`);
				// In their own collation, names that differ in case would be the same.
				return `${quoted(column)} COLLATE BINARY IS NOT ${expression}`;
			});
			// concat_ws leaves out what is null.
			const parts = [
				`'${name.replaceAll("'", "''")}'`,
				...columns.map((column) => `ifnull(${quoted(column)}, char(0))`),
			];
			forms.set(name, {
				columns,
				text: `concat_ws(char(31), ${parts.join(", ")})`,
				mismatch: differences.length === 0 ? null : differences.join(" OR "),
			});
		}
		return forms;
	};
	const rowText = (table: string, values: readonly (string | number)[]): string =>
		`${table}\u001f${values.join("\u001f")}`;
	const hashOf = (rowText: string): bigint => Bun.hash.xxHash64(rowText);
	const digestOf = (database: Database): bigint => {
		let sum = hashOf(`user_version ${version(database)}`);
		const add = (text: string, from: string) => {
			const rows = database.prepare(`SELECT ${text} AS text FROM ${from}`);
			try {
				for (const row of rows.iterate() as Iterable<{ text: string }>) sum += hashOf(row.text);
			} finally {
				rows.finalize();
			}
		};
		add(schemaText, "sqlite_schema");
		for (const [name, { text }] of rowForms(database))
			add(text, name === "meta" ? `meta WHERE key <> '${key}'` : quoted(name));
		return sum & mask;
	};
	const storedDigest = (database: Database): bigint | null => {
		const row = database.query("SELECT value FROM meta WHERE key = ?").get(key) as { value: unknown } | null;
		return typeof row?.value === "string" && /^[0-9a-f]{16}$/.test(row.value) ? BigInt(`0x${row.value}`) : null;
	};
	return {
		key,
		sinceVersion,
		rowForms,
		rowText,
		hashOf,
		digestOf,
		storedDigest,
		version,
		hashOfFile(path) {
			const fs = process.getBuiltinModule("node:fs");
			const file = fs.openSync(path, "r");
			try {
				const block = new Uint8Array(4 * 1024 * 1024);
				let hash = 0n;
				for (;;) {
					const length = fs.readSync(file, block);
					if (length === 0) return hash;
					hash = Bun.hash.xxHash64(block.subarray(0, length), hash);
				}
			} finally {
				fs.closeSync(file);
			}
		},
		damageOfRows(database) {
			const hasDigest = database.query("SELECT 1 FROM meta WHERE key = ?").get(key) !== null;
			if (!hasDigest && version(database) < sinceVersion) return null;
			for (const [name, { mismatch }] of rowForms(database))
				if (mismatch !== null && database.query(`SELECT 1 FROM ${quoted(name)} WHERE ${mismatch}`).get() !== null)
					return `a column of ${name} is not what its row says`;
			return storedDigest(database) === digestOf(database) ? null : "its rows are not those that were written";
		},
		damageOfStructure(database) {
			const rows = database.query("PRAGMA integrity_check(5)").all() as { integrity_check: string }[];
			const problems = rows
				.flatMap((row) => row.integrity_check.split("\n"))
				.filter((line) => line !== "ok" && !line.startsWith("***"));
			return problems.length === 0 ? null : problems.slice(0, 5).join("; ");
		},
	};
}

export const stateDigest = makeStateDigest();

export const digestText = (digest: bigint): string => digest.toString(16).padStart(16, "0");

/** Computes it anew: after a change of the schema or of rows outside of state-rows.ts. */
export function writeDigest(database: Database): void {
	database.run("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", [
		stateDigest.key,
		digestText(stateDigest.digestOf(database)),
	]);
}
