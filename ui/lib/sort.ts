/** Orders for tables: names as people sort them (web-2 before web-10), empty values last. */
const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

export type SortValue = string | number | boolean | null | undefined;

export function compareValues(a: SortValue, b: SortValue): number {
	const aEmpty = a === null || a === undefined || a === "";
	const bEmpty = b === null || b === undefined || b === "";
	if (aEmpty || bEmpty) return aEmpty === bEmpty ? 0 : aEmpty ? 1 : -1;
	if (typeof a === "string" && typeof b === "string") return collator.compare(a, b);
	return Number(a) - Number(b);
}

/** A sorted copy; `descending` keeps empty values last; equal rows keep their order. */
export function sortedBy<T>(rows: readonly T[], sortValue: (row: T) => SortValue, descending = false): T[] {
	const keyed = rows.map((row) => ({ row, value: sortValue(row) }));
	keyed.sort((a, b) => {
		const emptyA = a.value === null || a.value === undefined || a.value === "";
		const emptyB = b.value === null || b.value === undefined || b.value === "";
		if (emptyA || emptyB) return compareValues(a.value, b.value);
		return descending ? compareValues(b.value, a.value) : compareValues(a.value, b.value);
	});
	return keyed.map(({ row }) => row);
}

export const byName = (a: { name: string }, b: { name: string }): number => collator.compare(a.name, b.name);
