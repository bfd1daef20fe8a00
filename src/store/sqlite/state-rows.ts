/**
 * The one place that writes rows. Each change keeps the digest of the state (state-digest.ts): what is stored is added,
 * what was there is subtracted. The digest goes into the database with the transaction; after a rollback it is what it
 * was.
 */
import type { Database, SQLQueryBindings, Statement } from "bun:sqlite";
import { AssertionError, assert, present } from "../../lib/assert.ts";
import { isDatabaseFailure, PartFailed } from "./failures.ts";
import { digestText, type RowForm, stateDigest } from "./state-digest.ts";

export type Values = SQLQueryBindings[];
type Columns = Record<string, string | number>;
type RowText = { text: string };

/** A table, and the statements for a row of it: made once each, when they are first needed. */
class Table {
	readonly name: string;
	form: RowForm | null = null;
	/** Rows written since the start. */
	writes = 0;
	/** How many rows it has; null when they have to be counted. */
	rows: number | null = null;
	insert: Statement | null = null;
	insertNew: Statement | null = null;
	before: Statement | null = null;
	update: Statement | null = null;
	/** By their condition. */
	readonly deletes = new Map<string, Statement>();

	constructor(name: string) {
		this.name = name;
	}

	/** Of another database, or none. */
	useForm(form: RowForm | null): void {
		for (const statement of [this.insert, this.insertNew, this.before, this.update, ...this.deletes.values()])
			statement?.finalize();
		this.insert = this.insertNew = this.before = this.update = null;
		this.deletes.clear();
		this.form = form;
		this.rows = null;
	}
}

export class StateRows {
	#database: Database;
	/** Bun's own cache holds 20 statements. Texts are made from fixed parts, so there are some hundreds at most. */
	readonly #statements = new Map<string, Statement>();
	readonly #tables = new Map<string, Table>();
	#digest: bigint;
	/** Rows written since the start: whether a part has anything to undo. */
	#writes = 0;
	/** How often any row may have become another one without being written. */
	#undone = 0;
	/** Parts can be undone alone only in a transaction that was begun for it. */
	#parts = true;

	/** The database has the schema of this version, and a digest. */
	constructor(database: Database) {
		this.#database = database;
		this.#digest = this.#opened();
	}

	/** The digest that it has. */
	#opened(): bigint {
		for (const table of this.#tables.values()) table.useForm(null);
		for (const [name, form] of stateDigest.rowForms(this.#database)) {
			const table = this.#tables.get(name) ?? new Table(name);
			table.useForm(form);
			this.#tables.set(name, table);
		}
		return present(stateDigest.storedDigest(this.#database), "the digest of the state");
	}

	get database(): Database {
		return this.#database;
	}

	/** Another state takes the place of this one, which is closed: `open` moves the file and opens it. Nothing happens between. */
	replace(open: () => Database): void {
		this.close();
		this.#undone += 1;
		this.#database = open();
		this.#digest = this.#opened();
	}

	/** Differs when a row of the table may have changed since. */
	writesOf(table: string): number {
		return this.#undone + (this.#tables.get(table)?.writes ?? 0);
	}

	/** Rows of the table: counted once, and again after something was undone. To count half a million takes a tenth of a second. */
	countOf(name: string): number {
		const table = this.#table(name);
		table.rows ??= present(this.row<{ rows: number }>(`SELECT count(*) AS rows FROM ${name}`), "a count").rows;
		return table.rows;
	}

	/** Some of it may not be there any more, or again. */
	#forgetRows(): void {
		this.#undone += 1;
		for (const table of this.#tables.values()) table.rows = null;
	}

	#writing(table: Table): void {
		this.#writes += 1;
		table.writes += 1;
	}

	#statement(sql: string): Statement {
		let statement = this.#statements.get(sql);
		if (!statement) {
			assert(this.#statements.size < 4096, "the texts of statements are made from fixed parts");
			statement = this.database.prepare(sql);
			this.#statements.set(sql, statement);
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
	insertRow(name: string, values: Columns): void {
		const table = this.#table(name);
		table.insert ??= this.#insertion("INSERT", table);
		this.#insert(table, table.insert, values);
	}

	/** Nothing happens when a row with this key is there. */
	insertNewRow(name: string, values: Columns): void {
		const table = this.#table(name);
		table.insertNew ??= this.#insertion("INSERT OR IGNORE", table);
		this.#insert(table, table.insertNew, values);
	}

	#insertion(verb: string, { name, form }: OpenTable): Statement {
		const { columns } = form;
		return this.database.prepare(
			`${verb} INTO ${name} (${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
		);
	}

	#insert(table: OpenTable, statement: Statement, given: Columns): void {
		const values = inOrder(table, given);
		this.#writing(table);
		if (statement.run(...values).changes === 0) return;
		this.#digest += hashOf(table.name, values);
		if (table.rows !== null) table.rows += 1;
	}

	/**
	 * All columns of a row but its key, which is one column, the first. False when there is no row with this key. `known`: the
	 * row as it is, if the caller has it.
	 */
	updateRow(name: string, key: Columns, changed: Columns, known: Columns | null = null): boolean {
		const table = this.#table(name);
		const values = inOrder(table, { ...key, ...changed });
		const keyName = table.form.columns[0] as string;
		const keyValue = present(key[keyName], "the key");
		const before = known === null ? this.#textOf(table, keyName, keyValue) : textOf(table, known);
		if (before === null) return false;
		table.update ??= this.database.prepare(`UPDATE ${name} SET ${setOf(table.form.columns)} WHERE ${keyName} = ?`);
		this.#writing(table);
		const { changes } = table.update.run(...values.slice(1), keyValue);
		assert(changes === 1, `the row of ${name} is there to be updated`);
		this.#digest += hashOf(name, values) - stateDigest.hashOf(before);
		return true;
	}

	#textOf(table: OpenTable, keyName: string, key: string | number): string | null {
		const { name, form } = table;
		table.before ??= this.database.prepare(`SELECT ${form.text} AS text FROM ${name} WHERE ${keyName} = ?`);
		return (table.before.get(key) as RowText | null)?.text ?? null;
	}

	/** `condition` is SQL, made from fixed parts. */
	deleteRows(name: string, condition: string, ...values: Values): void {
		const table = this.#table(name);
		let statement = table.deletes.get(condition);
		if (!statement) {
			assert(table.deletes.size < 256, "conditions are made from fixed parts");
			const sql = `DELETE FROM ${name} WHERE ${condition} RETURNING ${table.form.text} AS text`;
			statement = this.database.prepare(sql);
			table.deletes.set(condition, statement);
		}
		this.#writing(table);
		const deleted = statement.all(...values) as RowText[];
		for (const { text } of deleted) this.#digest -= stateDigest.hashOf(text);
		if (table.rows !== null) table.rows -= deleted.length;
	}

	#table(name: string): OpenTable {
		const table = this.#tables.get(name);
		assert(table?.form, `there is a table with this name`);
		return table as OpenTable;
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
			this.#forgetRows();
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
			this.#forgetRows();
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
		for (const table of this.#tables.values()) table.useForm(null);
		this.database.close();
	}
}

type OpenTable = Table & { form: RowForm };

const hashOf = (table: string, values: readonly (string | number)[]): bigint =>
	stateDigest.hashOf(stateDigest.rowText(table, values));

const textOf = (table: OpenTable, row: Columns): string => stateDigest.rowText(table.name, inOrder(table, row));

const setOf = ([, ...columns]: readonly string[]): string => columns.map((column) => `${column} = ?`).join(", ");

/** As a whole. */
function inOrder({ name, form: { columns } }: OpenTable, given: Columns): (string | number)[] {
	const values: (string | number)[] = [];
	for (const column of columns) {
		const value = given[column];
		if (value === undefined || value === null) throw new AssertionError(`the column ${column} of ${name} is missing`);
		values.push(value);
	}
	assert(Object.keys(given).length === values.length, "a row has the columns of its table and no others");
	return values;
}
