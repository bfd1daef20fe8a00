/**
 * The one place that writes rows. Each change keeps the digest of the state (state-digest.ts): what is stored is added,
 * what was there is subtracted. The digest goes into the database with the transaction; after a rollback it is what it
 * was.
 */
import type { Database, SQLQueryBindings, Statement } from "bun:sqlite";
import { assert, present } from "../../lib/assert.ts";
import { isDatabaseFailure, PartFailed } from "./failures.ts";
import { digestText, type RowForm, stateDigest } from "./state-digest.ts";

export type Values = SQLQueryBindings[];
type Columns = Record<string, string | number>;
type RowText = { text: string };

export class StateRows {
	#database: Database;
	/** Bun's own cache holds 20 statements. Texts are made from fixed parts, so there are some hundreds at most. */
	readonly #statements = new Map<string, Statement>();
	#forms: Map<string, RowForm>;
	#digest: bigint;
	/** Rows written since the start: whether a part has anything to undo. */
	#writes = 0;
	readonly #writesOf = new Map<string, number>();
	/** How often any row may have become another one without being written. */
	#undone = 0;
	/** Parts can be undone alone only in a transaction that was begun for it. */
	#parts = true;

	/** The database has the schema of this version, and a digest. */
	constructor(database: Database) {
		this.#database = database;
		this.#forms = stateDigest.rowForms(database);
		this.#digest = present(stateDigest.storedDigest(database), "the digest of the state");
	}

	get database(): Database {
		return this.#database;
	}

	/** Another state takes the place of this one, which is closed: `open` moves the file and opens it. Nothing happens between. */
	replace(open: () => Database): void {
		this.close();
		this.#undone += 1;
		this.#database = open();
		this.#forms = stateDigest.rowForms(this.#database);
		this.#digest = present(stateDigest.storedDigest(this.#database), "the digest of the state");
	}

	/** Differs when a row of the table may have changed since. */
	writesOf(table: string): number {
		return this.#undone + (this.#writesOf.get(table) ?? 0);
	}

	#writing(table: string): void {
		this.#writes += 1;
		this.#writesOf.set(table, (this.#writesOf.get(table) ?? 0) + 1);
	}

	#statement(sql: string): Statement {
		return this.#prepared(sql, () => sql);
	}

	/** `name` stands for the text: long ones cost more to make and to look up than to run. */
	#prepared(name: string, text: () => string): Statement {
		let statement = this.#statements.get(name);
		if (!statement) {
			assert(this.#statements.size < 4096, "the texts of statements are made from fixed parts");
			statement = this.database.prepare(text());
			this.#statements.set(name, statement);
		}
		return statement;
	}

	row<Row>(sql: string, ...values: Values): Row | null {
		return this.#statement(sql).get(...values) as Row | null;
	}

	rows<Row>(sql: string, ...values: Values): Row[] {
		return this.#statement(sql).all(...values) as Row[];
	}

	/** `values`: of all columns that are not generated. */
	insertRow(table: string, values: Columns): void {
		this.#insert("INSERT", table, values);
	}

	/** Nothing happens when a row with this key is there. */
	insertNewRow(table: string, values: Columns): void {
		this.#insert("INSERT OR IGNORE", table, values);
	}

	#insert(verb: string, table: string, given: Columns): void {
		const { columns } = this.#form(table);
		const values = inOrder(table, columns, given);
		const statement = this.#prepared(
			`${verb} ${table}`,
			() => `${verb} INTO ${table} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
		);
		this.#writing(table);
		if (statement.run(...values).changes > 0) this.#digest += hashOf(table, values);
	}

	/** All columns of a row but its key, which is one column. False when there is no row with this key. */
	updateRow(table: string, key: Columns, changed: Columns): boolean {
		const { columns, text } = this.#form(table);
		const values = inOrder(table, columns, { ...key, ...changed });
		const [keyName] = Object.keys(key);
		const look = this.#prepared(`before ${table}`, () => `SELECT ${text} AS text FROM ${table} WHERE ${keyName} = ?`);
		const before = look.get(...Object.values(key)) as RowText | null;
		if (before === null) return false;
		const change = this.#prepared(`UPDATE ${table}`, () => {
			const set = Object.keys(changed).map((name) => `${name} = ?`);
			return `UPDATE ${table} SET ${set.join(", ")} WHERE ${keyName} = ?`;
		});
		this.#writing(table);
		change.run(...Object.values(changed), ...Object.values(key));
		this.#digest += hashOf(table, values) - stateDigest.hashOf(before.text);
		return true;
	}

	/** `condition` is SQL, made from fixed parts. */
	deleteRows(table: string, condition: string, ...values: Values): void {
		const statement = this.#prepared(
			`DELETE ${table} ${condition}`,
			() => `DELETE FROM ${table} WHERE ${condition} RETURNING ${this.#form(table).text} AS text`,
		);
		this.#writing(table);
		for (const { text } of statement.all(...values) as RowText[]) this.#digest -= stateDigest.hashOf(text);
	}

	#form(table: string): RowForm {
		return present(this.#forms.get(table), `the table ${table}`);
	}

	/** All or nothing; nothing when `work` throws. */
	transaction(work: () => void): void {
		// Nearly always nothing has to be undone: it is tried without savepoints, and all of it again with them if need be.
		try {
			this.#parts = false;
			this.#transaction(work);
		} catch (error) {
			if (!(error instanceof PartFailed)) throw error;
			this.#parts = true;
			this.#transaction(work);
		} finally {
			this.#parts = true;
		}
	}

	#transaction(work: () => void): void {
		const before = this.#digest;
		this.#statement("BEGIN IMMEDIATE").run();
		try {
			work();
			if (this.#digest !== before) this.#writeDigest();
			this.#statement("COMMIT").run();
		} catch (error) {
			this.#digest = before;
			this.#undone += 1;
			// A full disk ends the transaction by itself.
			if (this.database.inTransaction) this.#statement("ROLLBACK").run();
			throw error;
		}
	}

	/** Inside a transaction: undone alone when `work` throws, but for failures of the database, which undo it all. */
	savepoint<Result>(work: () => Result): Result {
		const before = this.#digest;
		if (!this.#parts) {
			const writes = this.#writes;
			try {
				return work();
			} catch (error) {
				if (isDatabaseFailure(error) || this.#writes === writes) throw error;
				throw new PartFailed();
			}
		}
		this.#statement("SAVEPOINT part").run();
		try {
			const result = work();
			this.#statement("RELEASE part").run();
			return result;
		} catch (error) {
			if (isDatabaseFailure(error)) throw error;
			this.#digest = before;
			this.#undone += 1;
			this.#statement("ROLLBACK TO part").run();
			this.#statement("RELEASE part").run();
			throw error;
		}
	}

	#writeDigest(): void {
		this.#digest = BigInt.asUintN(64, this.#digest);
		this.#statement("UPDATE meta SET value = ? WHERE key = ?").run(digestText(this.#digest), stateDigest.key);
	}

	/** With statements left open, SQLite would keep the files open, too. */
	close(): void {
		for (const statement of this.#statements.values()) statement.finalize();
		this.#statements.clear();
		this.database.close();
	}
}

const hashOf = (table: string, values: readonly (string | number)[]): bigint =>
	stateDigest.hashOf(stateDigest.rowText(table, values));

function inOrder(table: string, columns: readonly string[], given: Columns): (string | number)[] {
	assert(Object.keys(given).length === columns.length, `a row of ${table} is given as a whole`);
	return columns.map((column) => present(given[column], `the column ${column} of ${table}`));
}
