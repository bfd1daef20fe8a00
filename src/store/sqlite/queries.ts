/**
 * Lists: filters, search, sorts and keyset paging on the columns that columns.ts names. A page begins after the last
 * row of the page before (by sort value and id), so rows that come and go elsewhere neither repeat nor hide others,
 * and page 200 costs what page 1 costs.
 */
import type { SQLQueryBindings } from "bun:sqlite";
import { AppError } from "../../lib/errors.ts";
import { maxPageSize } from "../limits.ts";
import type { ListQuery, TableName } from "../store.ts";
import { tableColumns } from "./columns.ts";
import { decodePageToken, encodePageToken } from "./page-token.ts";
import type { StateDatabase } from "./state-database.ts";

type Where = { conditions: string[]; values: SQLQueryBindings[] };
type Row = { id: string; doc: string; sortValue: string | number };

/** Documents of one page as JSON texts, in order. */
export function listDocuments(
	state: StateDatabase,
	table: TableName,
	query: ListQuery,
): { docs: string[]; nextPageToken: string | null } {
	const { limit } = query;
	if (!Number.isInteger(limit) || limit < 1 || limit > maxPageSize)
		throw invalid("?limit", `is not a whole number from 1 to ${maxPageSize}`);
	const { column, descending } = sortOf(table, query.sort);
	const where = whereOf(table, query.filter, column);
	addSearch(where, table, query.search);
	const identity = JSON.stringify([table, query.sort ?? null, query.filter ?? null, query.search ?? null]);
	if (query.pageToken !== undefined && query.pageToken !== null && query.pageToken !== "") {
		const { value, id } = decodePageToken(identity, query.pageToken);
		where.conditions.push(`(${column}, id) ${descending ? "<" : ">"} (?, ?)`);
		where.values.push(value, id);
	}
	const order = descending ? "DESC" : "ASC";
	const rows = state.rows<Row>(
		`SELECT id, ${column} AS sortValue, doc FROM ${table} ${textOf(where)} ORDER BY ${column} ${order}, id ${order} LIMIT ?`,
		...where.values,
		limit + 1,
	);
	const page = rows.slice(0, limit);
	const last = rows.length > limit ? page.at(-1) : undefined;
	return {
		docs: page.map((row) => row.doc),
		nextPageToken: last ? encodePageToken(identity, { value: last.sortValue, id: last.id }) : null,
	};
}

export function allDocuments(state: StateDatabase, table: TableName, filter: ListQuery["filter"]): string[] {
	const where = whereOf(table, filter, null);
	return state
		.rows<{ doc: string }>(`SELECT doc FROM ${table} ${textOf(where)} ORDER BY id`, ...where.values)
		.map((row) => row.doc);
}

export function countRows(state: StateDatabase, table: TableName, filter: ListQuery["filter"]): number {
	const where = whereOf(table, filter, null);
	const row = state.row<{ count: number }>(`SELECT count(*) AS count FROM ${table} ${textOf(where)}`, ...where.values);
	return row?.count ?? 0;
}

const textOf = ({ conditions }: Where): string => (conditions.length === 0 ? "" : `WHERE ${conditions.join(" AND ")}`);

/** `sortColumn`: the rows are wanted in this order, and not all of them. */
function whereOf(table: TableName, filter: ListQuery["filter"] = {}, sortColumn: string | null): Where {
	const where: Where = { conditions: [], values: [] };
	// In one order, so that the same question has the same text and the same prepared statement.
	for (const name of Object.keys(filter).sort()) {
		const value = filter[name];
		// A list of one, as the API gives it, is found by an index like a single value.
		if (value !== undefined) addFilter(where, table, name, onlyOf(value), sortColumn);
	}
	return where;
}

type FilterValue = NonNullable<ListQuery["filter"]>[string];

const onlyOf = (value: FilterValue): FilterValue => {
	const [first, ...others] = [value].flat();
	return first === undefined || others.length > 0 ? value : first;
};

function addFilter(where: Where, table: TableName, name: string, value: FilterValue, sortColumn: string | null): void {
	const { filters } = tableColumns[table];
	const filter = Object.hasOwn(filters, name) ? filters[name] : undefined;
	if (!filter) throw invalid(`?${name}`, `is no filter here; there are: ${Object.keys(filters).join(", ")}`);
	const several = typeof value === "object" && value !== null;
	// "+" keeps SQLite from beginning with an index on this column: the sort's index is the better one then.
	const byIndex = filter.fine === true || sortColumn === null || (filter.sortedWith === sortColumn && !several);
	const plus = byIndex ? "" : "+";
	if ("link" in filter) {
		where.conditions.push(
			`${plus}id IN (SELECT owner_id FROM link WHERE owner_table = '${table}' AND kind = '${filter.link}' AND value IN (SELECT value FROM json_each(?)))`,
		);
		where.values.push(JSON.stringify([value].flat().map(String)));
	} else if (value === null) {
		where.conditions.push(`${plus}${filter.column} IS NULL`);
	} else if (several) {
		where.conditions.push(`${plus}${filter.column} IN (SELECT value FROM json_each(?))`);
		where.values.push(JSON.stringify(value));
	} else {
		where.conditions.push(`${plus}${filter.column} = ?`);
		where.values.push(typeof value === "boolean" ? Number(value) : value);
	}
}

function addSearch(where: Where, table: TableName, search: string | undefined): void {
	if (search === undefined || search === "") return;
	const column = tableColumns[table].search;
	if (column === null) throw invalid("?search", "is not possible here");
	where.conditions.push(`${column} LIKE ? ESCAPE '\\'`);
	where.values.push(`%${search.slice(0, 256).replaceAll(/[\\%_]/g, "\\$&")}%`);
}

function sortOf(table: TableName, sort: string | undefined): { column: string; descending: boolean } {
	const { sorts, defaultSort } = tableColumns[table];
	const asked = sort === undefined || sort === "" ? defaultSort : sort;
	const descending = asked.startsWith("-");
	const name = descending ? asked.slice(1) : asked;
	const column = Object.hasOwn(sorts, name) ? sorts[name] : undefined;
	if (column === undefined) throw invalid("?sort", `is none of ${Object.keys(sorts).join(", ")}`);
	return { column, descending };
}

function invalid(path: string, message: string): AppError {
	return new AppError("invalid", `${path} ${message}.`, { fields: [{ path, message }] });
}
