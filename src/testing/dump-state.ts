/** The whole state as text, to compare two copies: every table with every column, in an order that does not depend on rowids. */
import type { Database } from "bun:sqlite";

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
