/**
 * The table of every list: search, filters and order in the address, choice of columns, selection with bulk actions,
 * sticky header, virtual rows, and cards on a phone. Column widths are fixed, so that live cells never move others.
 */
import { Columns3, SearchX } from "lucide-preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { formatCount } from "../../lib/format.ts";
import { isPhone } from "../../lib/media.ts";
import { readStored, writeStored } from "../../lib/storage.ts";
import { common as t } from "../../strings/common.ts";
import { Button } from "../button.tsx";
import { EmptyState, ErrorState, Skeleton } from "../feedback.tsx";
import { Menu } from "../menu.tsx";
import { TableCards } from "./cards.tsx";
import { TableRows } from "./rows.tsx";
import { SearchBox } from "./search-box.tsx";
import type { TableProps } from "./types.ts";
import { type TableView, useTableView } from "./view.ts";
import "./data-table.css";

export function DataTable<T extends { id: string }>(props: TableProps<T>) {
	const { rows, state = "ready", error = null, fill = false, empty } = props;
	const view = useTableView(props);
	const columns = useColumns(props);
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
		<div class={frame}>
			<Toolbar table={props} view={view} columns={columns} selection={selection} />
			{view.rows.length === 0 ? (
				<EmptyState icon={SearchX} title={t.noMatches} text={t.noMatchesText}>
					<Button onClick={view.clear}>{t.clearFilters}</Button>
				</EmptyState>
			) : (
				<Body table={props} view={view} columns={columns.shown} selection={selection} />
			)}
		</div>
	);
}

type ToolbarProps<T extends { id: string }> = {
	table: TableProps<T>;
	view: TableView<T>;
	columns: ChosenColumns<T>;
	selection: Selection<T>;
};

function Toolbar<T extends { id: string }>({ table, view, columns, selection }: ToolbarProps<T>) {
	const { filters = [], bulkActions, searchText, rows, partial, tools } = table;
	const count = selection.rows.length;
	const hideable = columns.all.filter(({ fixed }) => !fixed);
	if (!searchText && filters.length === 0 && !tools && count === 0) return null;
	if (bulkActions && count > 0) {
		const actions = bulkActions(selection.rows, selection.clear);
		return (
			<div class="data-table__toolbar data-table__toolbar--bulk" role="toolbar" aria-label={t.selected(count)}>
				<strong role="status">{t.selected(count)}</strong>
				{actions.map((action) => (
					<Button
						key={action.id}
						small
						icon={action.icon}
						kind={action.danger ? "danger" : "secondary"}
						obstacle={action.obstacle}
						onClick={action.onSelect}
					>
						{action.label}
					</Button>
				))}
				<Button small kind="ghost" onClick={selection.clear}>
					{t.clearSelection}
				</Button>
			</div>
		);
	}
	return (
		<div class="data-table__toolbar">
			{searchText && <SearchBox value={view.search} onInput={view.setSearch} label={`${t.search}: ${table.caption}`} />}
			{filters.map((filter) => {
				const chosen = view.chosen(filter.id);
				return (
					<Menu
						key={filter.id}
						label={filter.label}
						text={filter.label}
						small
						count={chosen.length}
						actions={filter.choices.map((choice) => ({
							id: choice.value,
							label: choice.label,
							checked: chosen.includes(choice.value),
							onSelect: () =>
								view.setChosen(
									filter.id,
									chosen.includes(choice.value)
										? chosen.filter((value) => value !== choice.value)
										: [...chosen, choice.value],
								),
						}))}
					/>
				);
			})}
			{view.narrowed && (
				<Button small kind="ghost" onClick={view.clear}>
					{t.clearFilters}
				</Button>
			)}
			<span class="data-table__count" role="status">
				{t.shown(formatCount(view.rows.length), formatCount(rows.length))}
				{partial ? ` (${t.loadingMore})` : ""}
			</span>
			{tools}
			{hideable.length > 1 && !isPhone.value && (
				<Menu
					label={t.columns}
					icon={Columns3}
					kind="ghost"
					small
					actions={hideable.map((column) => ({
						id: column.id,
						label: column.header,
						checked: columns.shown.includes(column),
						onSelect: () => columns.toggle(column.id),
					}))}
				/>
			)}
		</div>
	);
}

type ChosenColumns<T> = {
	all: TableProps<T & { id: string }>["columns"];
	shown: TableProps<T & { id: string }>["columns"];
	toggle(id: string): void;
};

function useColumns<T extends { id: string }>({ name, columns }: TableProps<T>): ChosenColumns<T> {
	const key = `columns.${name}`;
	const [changed, setChanged] = useState(() => readStored<Record<string, boolean>>("local", key, {}));
	const shown = useMemo(
		() => columns.filter(({ id, hidden, fixed }) => fixed || (changed[id] ?? !hidden)),
		[columns, changed],
	);
	return {
		all: columns,
		shown,
		toggle(id) {
			const next = { ...changed, [id]: !shown.some((column) => column.id === id) };
			setChanged(next);
			writeStored("local", key, next);
		},
	};
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
