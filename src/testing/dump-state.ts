/** The whole state as text, to compare two copies: every table with every column, in an order that does not depend on rowids. */
import type { Database } from "bun:sqlite";
import { assert } from "../lib/assert.ts";
import { stateDigest } from "../store/sqlite/state-digest.ts";

export function dumpState(database: Database): string {
	const tables = database
		.query<{ name: string }, []>("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
		.all();
	return tables
		.map(({ name }) => {
			const rows = database.query(`SELECT * FROM "${name}"`).all();
			const lines = rows.map((row) => JSON.stringify(row)).sort();
			return `${name}\n${lines.map((line) => `  ${line}\n`).join("")}`;
		})
		.join("");
}

/** All rows but those that say how far the state is, which are beside it. */
export type StateCopy = { rows: string; index: number; term: number };

/** Its digest, which is not the same after two ways to the same rows, is checked here. */
export function copyOfState(database: Database): StateCopy {
	const damage = stateDigest.damageOfRows(database);
	assert(damage === null, `the state is intact: ${damage}`);
	const value = (key: string) =>
		Number((database.query("SELECT value FROM meta WHERE key = ?").get(key) as { value: number } | null)?.value ?? 0);
	return {
		rows: dumpState(database).replaceAll(/^ {2}\{"key":"(appliedIndex|appliedTerm|digest)".*\n/gm, ""),
		index: value("appliedIndex"),
		term: value("appliedTerm"),
	};
}

/** Each start of a node alone is a term of its own, which begins with an entry that is no command. */
export const afterStarts = (copy: StateCopy, starts: number): StateCopy => ({
	...copy,
	index: copy.index + starts,
	term: copy.term + starts,
});
