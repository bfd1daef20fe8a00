/**
 * The table of every list: search, filters and order in the address, choice of columns, selection with bulk actions,
 * sticky header, virtual rows, and cards on a phone. Column widths are fixed, so that live cells never move others.
 */
import { SearchX } from "lucide-preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { isPhone } from "../../lib/media.ts";
import { common as t } from "../../strings/common.ts";
import { Button } from "../button.tsx";
import { EmptyState, ErrorState, Skeleton } from "../feedback.tsx";
import { TableCards } from "./cards.tsx";
import { useColumns, useRowWidth } from "./columns.ts";
import { TableRows } from "./rows.tsx";
import { Toolbar } from "./toolbar.tsx";
import type { TableProps } from "./types.ts";
import { useTableView } from "./view.ts";
import "./data-table.css";

export function DataTable<T extends { id: string }>(props: TableProps<T>) {
	const { rows, state = "ready", error = null, fill = false, empty } = props;
	const view = useTableView(props);
	const [measured, width] = useRowWidth();
	// Cards have room for every line.
	const columns = useColumns(props, isPhone.value ? null : width);
	const selection = useSelection(props, view.rows);
	const frame = `data-table${fill ? " data-table--fill" : ""}`;
	if (error && state === "error") {
		return (
			<div class={frame}>
				<ErrorState error={error} onRetry={props.onRetry} />
			</div>
		);
	}
	if (state === "idle" || state === "loading") {
		return (
			<div class={`${frame} data-table--framed data-table--loading`}>
				<Skeleton lines={fill ? 10 : 4} />
			</div>
		);
	}
	if (rows.length === 0 && empty && !props.partial) return <div class={frame}>{empty}</div>;
	const Body = isPhone.value ? TableCards : TableRows;
	return (
		<div class={frame} ref={measured}>
			<Toolbar table={props} view={view} columns={columns} selection={selection} />
			{view.rows.length === 0 ? (
				<EmptyState icon={SearchX} title={t.noMatches} text={t.noMatchesText}>
					<Button onClick={view.clear}>{t.clearFilters}</Button>
				</EmptyState>
			) : (
				<Body table={props} view={view} columns={columns} selection={selection} />
			)}
		</div>
	);
}

export type Selection<T> = {
	enabled: boolean;
	/** The chosen rows that are shown. */
	rows: readonly T[];
	has(id: string): boolean;
	toggle(id: string, range: boolean): void;
	toggleAll(): void;
	clear(): void;
};

function useSelection<T extends { id: string }>({ bulkActions }: TableProps<T>, rows: readonly T[]): Selection<T> {
	const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
	const [last, setLast] = useState<string | null>(null);
	const selected = useMemo(() => (chosen.size === 0 ? [] : rows.filter(({ id }) => chosen.has(id))), [rows, chosen]);
	useEffect(() => {
		// Rows that are gone leave the selection, so that they do not come back chosen.
		if (chosen.size > 0 && selected.length === 0) setChosen(new Set());
	}, [selected.length]);
	return {
		enabled: bulkActions !== undefined,
		rows: selected,
		has: (id) => chosen.has(id),
		toggle(id, range) {
			const next = new Set(chosen);
			const add = !chosen.has(id);
			const from = range && last !== null ? rows.findIndex((row) => row.id === last) : -1;
			const to = rows.findIndex((row) => row.id === id);
			const ids = from < 0 ? [id] : rows.slice(Math.min(from, to), Math.max(from, to) + 1).map((row) => row.id);
			for (const one of ids) {
				if (add) next.add(one);
				else next.delete(one);
			}
			setChosen(next);
			setLast(id);
		},
		toggleAll: () => setChosen(selected.length === rows.length ? new Set() : new Set(rows.map(({ id }) => id))),
		clear: () => setChosen(new Set()),
	};
}
