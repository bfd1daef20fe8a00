import { describe, expect, test } from "bun:test";
import { columnsThatFit } from "./columns.ts";
import type { Column, Filter } from "./types.ts";
import { narrow } from "./view.ts";
import { scrollBy, windowOf } from "./virtual.ts";

describe("windowOf", () => {
	test("short lists are rendered whole", () => {
		expect(windowOf(149, 37, 0, 400)).toEqual({ start: 0, end: 149, before: 0, after: 0 });
	});
	test("long ones as far as they can be seen, and some more", () => {
		const view = windowOf(10_000, 37, 37 * 5000, 400);
		expect([view.start, view.end]).toEqual([4988, 5023]);
		expect(view.before + view.after + (view.end - view.start) * 37).toBe(10_000 * 37);
	});
	test("at the ends, and beyond them", () => {
		for (const top of [-5000, 0, 10_000 * 37, 20_000 * 37]) {
			const { start, end, before, after } = windowOf(10_000, 37, top, 400);
			expect(start).toBeGreaterThanOrEqual(0);
			expect(end).toBeGreaterThanOrEqual(start);
			expect(end).toBeLessThanOrEqual(10_000);
			expect(before + after + (end - start) * 37).toBe(10_000 * 37);
		}
	});
});

test("scrollBy brings a row into view with one beside it, and leaves what is seen", () => {
	expect(scrollBy(100, 28, 400)).toBe(0);
	expect(scrollBy(-280, 28, 400)).toBe(-308);
	expect(scrollBy(2800, 28, 400)).toBe(2800 + 56 - 400);
});

describe("columnsThatFit", () => {
	const column = (id: string, width: string | undefined, more: Partial<Column<Row>> = {}): Column<Row> => ({
		...{ id, header: id, cell: () => null, ...more },
		...(width ? { width } : {}),
	});
	const all = [
		column("name", undefined, { fixed: true, card: "title" }),
		column("state", "130px", { card: "badge" }),
		column("memory", "100px"),
		column("tags", "17%", { card: "none" }),
		column("created", "110px"),
		column("id", "300px", { hidden: true }),
	];
	const fit = (room: number | null, chosen: Record<string, boolean> = {}) =>
		columnsThatFit(all, chosen, room).map(({ id }) => id);

	test("all that are on, where there is room or none is known", () => {
		expect(fit(null)).toEqual(["name", "state", "memory", "tags", "created"]);
		expect(fit(620)).toEqual(["name", "state", "memory", "tags", "created"]);
	});
	test("whole columns go: first what cards do without, then from the end; the name and the state stay", () => {
		expect(fit(600)).toEqual(["name", "state", "memory", "created"]);
		expect(fit(450)).toEqual(["name", "state", "memory"]);
		expect(fit(100)).toEqual(["name", "state"]);
	});
	test("what somebody chose stays, what they switched off is gone", () => {
		expect(fit(600, { tags: true, memory: false })).toEqual(["name", "state", "tags", "created"]);
		expect(fit(300, { id: true })).toEqual(["name", "state", "id"]);
	});
});

type Row = { id: string; name: string; size: number | null };
const rows: Row[] = [
	{ id: "1", name: "web-10", size: 3 },
	{ id: "2", name: "web-2", size: null },
	{ id: "3", name: "db-1", size: 9 },
];
const columns: Column<Row>[] = [
	{ id: "name", header: "", cell: () => null, sort: ({ name }) => name },
	{ id: "size", header: "", cell: () => null, sort: ({ size }) => size },
	{ id: "plain", header: "", cell: () => null },
];
const filters: Filter<Row>[] = [
	{ id: "kind", label: "", choices: [], matches: ({ name }, chosen) => chosen.some((kind) => name.startsWith(kind)) },
];
const shown = (search: string, sortKey: string, chosen: string[] = []) =>
	narrow(rows, { columns, filters, searchText: ({ name }) => name, search, sortKey, chosen: () => chosen }).map(
		({ id }) => id,
	);

describe("narrow", () => {
	test("orders, empty values last", () => {
		expect(shown("", "name")).toEqual(["3", "2", "1"]);
		expect(shown("", "-name")).toEqual(["1", "2", "3"]);
		expect(shown("", "-size")).toEqual(["3", "1", "2"]);
	});
	test("an order that is none leaves the rows as they are", () => {
		expect(shown("", "plain")).toEqual(["1", "2", "3"]);
		expect(shown("", "__proto__")).toEqual(["1", "2", "3"]);
	});
	test("searches every word", () => {
		expect(shown("WEB 2", "name")).toEqual(["2"]);
		expect(shown("web nothing", "name")).toEqual([]);
	});
	test("filters, and search within them", () => {
		expect(shown("", "name", ["db"])).toEqual(["3"]);
		expect(shown("web", "name", ["db"])).toEqual([]);
	});
});
