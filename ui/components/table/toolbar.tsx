/**
 * Above a table: search, filters, how many, which columns; what can be done with the chosen rows once there are some.
 * On a phone, where the cards have no heads, also the order and choosing all.
 */
import { ArrowDown, ArrowUp, Columns3 } from "lucide-preact";
import { formatCount } from "../../lib/format.ts";
import { isPhone } from "../../lib/media.ts";
import { common as t } from "../../strings/common.ts";
import { Button } from "../button.tsx";
import { Menu } from "../menu.tsx";
import type { ChosenColumns } from "./columns.ts";
import type { Selection } from "./data-table.tsx";
import { SearchBox } from "./search-box.tsx";
import type { TableProps } from "./types.ts";
import type { TableView } from "./view.ts";

type ToolbarProps<T extends { id: string }> = {
	table: TableProps<T>;
	view: TableView<T>;
	columns: ChosenColumns<T>;
	selection: Selection<T>;
};

export function Toolbar<T extends { id: string }>({ table, view, columns, selection }: ToolbarProps<T>) {
	const { filters = [], bulkActions, searchText, rows, partial, tools } = table;
	const count = selection.rows.length;
	const hideable = columns.all.filter(({ fixed }) => !fixed);
	const phone = isPhone.value;
	const cards = phone && rows.length > 1;
	if (!searchText && filters.length === 0 && !tools && count === 0 && !cards) return null;
	const selectAll = cards && selection.enabled && count < view.rows.length && (
		<Button small kind="ghost" onClick={selection.toggleAll}>
			{t.selectAllShort}
		</Button>
	);
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
				{selectAll}
				<Button small kind="ghost" onClick={selection.clear}>
					{t.clearSelection}
				</Button>
			</div>
		);
	}
	const searchBox = searchText && (
		<SearchBox value={view.search} onInput={view.setSearch} label={`${t.search}: ${table.caption}`} />
	);
	const shownCount = (
		<span class="data-table__count" role="status">
			{t.shown(formatCount(view.rows.length), formatCount(rows.length))}
			{partial ? ` (${t.loadingMore})` : ""}
		</span>
	);
	// Among buttons that wrap it would end up on a line of its own.
	const countBesideSearch = phone && searchBox;
	return (
		<div class="data-table__toolbar">
			{countBesideSearch ? (
				<div class="data-table__find">
					{searchBox}
					{shownCount}
				</div>
			) : (
				searchBox
			)}
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
			{cards && <SortMenu view={view} columns={columns} />}
			{selectAll}
			{view.narrowed && (
				<Button small kind="ghost" onClick={view.clear}>
					{t.clearFilters}
				</Button>
			)}
			{!countBesideSearch && shownCount}
			{tools}
			{hideable.length > 1 && !phone && (
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

type SortProps<T extends { id: string }> = { view: TableView<T>; columns: ChosenColumns<T> };

/** The current one again turns it around. */
function SortMenu<T extends { id: string }>({ view, columns }: SortProps<T>) {
	const sortable = columns.all.filter(({ sort }) => sort);
	if (sortable.length === 0) return null;
	const current = sortable.find(({ id }) => id === view.sort?.column);
	const descending = view.sort?.descending ?? false;
	return (
		<Menu
			label={current ? t.sortedBy(current.header, descending) : t.sort}
			text={current?.header ?? t.sort}
			icon={descending ? ArrowDown : ArrowUp}
			small
			actions={sortable.map(({ id, header }) => ({
				id,
				label: header,
				checked: id === current?.id,
				...(id === current?.id ? { note: descending ? t.descending : t.ascending } : {}),
				onSelect: () => view.toggleSort(id),
			}))}
		/>
	);
}
