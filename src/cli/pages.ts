/** Lists, page by page, and the options that every list takes. */
import type { OperationTypes } from "../gen/api.ts";
import { AppError } from "../lib/errors.ts";
import type { Cli } from "./cli.ts";
import { choice, integer, type OptionSpec, text } from "./options.ts";

type PageOperation = {
	[K in keyof OperationTypes]: OperationTypes[K]["response"] extends { items: unknown[]; nextPageToken: string | null }
		? K
		: never;
}[keyof OperationTypes] &
	string;
type Query<Id extends PageOperation> = NonNullable<OperationTypes[Id]["query"]>;
type Item<Id extends PageOperation> = OperationTypes[Id]["response"] extends { items: (infer T)[] } ? T : never;

const pageSize = 1000;
/** More than any cluster has; ends a server's endless list. */
const maxPages = 10_000;

/** All objects, or the first `limit`. */
export async function allPages<Id extends PageOperation>(
	cli: Cli,
	operation: Id,
	query: Query<Id>,
	limit = Number.POSITIVE_INFINITY,
): Promise<Item<Id>[]> {
	const call = cli.call as unknown as (
		id: Id,
		options: { query: unknown },
	) => Promise<{ body: { items: Item<Id>[]; nextPageToken: string | null } }>;
	const items: Item<Id>[] = [];
	let pageToken: string | null = null;
	for (let page = 0; page < maxPages; page++) {
		const wanted: number = Math.min(pageSize, limit - items.length);
		const token: { pageToken?: string } = pageToken === null ? {} : { pageToken };
		const { body } = await call(operation, { query: { ...query, limit: wanted, ...token } });
		items.push(...body.items);
		if (body.nextPageToken === null || items.length >= limit) return items.slice(0, limit);
		pageToken = body.nextPageToken;
	}
	throw new AppError("internal", "The list does not end.");
}

type Sorted<C extends readonly string[]> = C[number] | `-${C[number]}`;

/** --limit, --search and --sort of a list. */
export const listOptions = <const C extends readonly string[]>(columns: C) => ({
	limit: integer("--limit <count>", "list so many at most", { min: 1, max: 1_000_000 }),
	search: text("--search <text>", "only those with this in their name"),
	sort: choice(
		"--sort <column>",
		columns.flatMap((column) => [column, `-${column}`]) as Sorted<C>[],
		"order; with - the other way round",
	) as OptionSpec<Sorted<C> | undefined>,
});

/** The members that have a value; empty lists have none. */
export function given<T extends Record<string, unknown>>(
	values: T,
): { [K in keyof T]?: Exclude<T[K], undefined | null> } {
	return Object.fromEntries(
		Object.entries(values).filter(
			([, value]) => value !== undefined && value !== null && !(Array.isArray(value) && value.length === 0),
		),
	) as { [K in keyof T]?: Exclude<T[K], undefined | null> };
}
