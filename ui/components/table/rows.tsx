/** A table's rows, as a table. */
import { ArrowDown, ArrowUp, Ellipsis } from "lucide-preact";
import { common as t } from "../../strings/common.ts";
import { Menu } from "../menu.tsx";
import { actionsWidth, type ChosenColumns, checkWidth, leastWidth } from "./columns.ts";
import type { Selection } from "./data-table.tsx";
import type { Column, TableProps } from "./types.ts";
import type { TableView } from "./view.ts";
import { useVirtualRows } from "./virtual.ts";

export type BodyProps<T extends { id: string }> = {
	table: TableProps<T>;
	view: TableView<T>;
	columns: ChosenColumns<T>;
	selection: Selection<T>;
};

/** Keep equal to --row-height. */
const rowHeight = 37;

export function TableRows<T extends { id: string }>({ table, view, columns: chosen, selection }: BodyProps<T>) {
	const columns = chosen.shown;
	const { caption, rowActions, fill } = table;
	const { list, view: seen } = useVirtualRows<HTMLTableSectionElement>(view.rows.length, rowHeight);
	const beside = (selection.enabled ? checkWidth : 0) + (rowActions ? actionsWidth : 0);
	const span = columns.length + (selection.enabled ? 1 : 0) + (rowActions ? 1 : 0);
	return (
		<div class={fill ? "data-table__scroller" : "data-table__box"}>
			<table
				class={`data-table__table${chosen.scrolls ? " data-table__table--scrolls" : ""}`}
				aria-rowcount={view.rows.length + 1}
				style={{ minWidth: `${leastWidth(columns, beside)}px` }}
			>
				<caption class="visually-hidden">{caption}</caption>
				<colgroup>
					{selection.enabled && <col style={{ width: `${checkWidth}px` }} />}
					{columns.map((column) => (
						<col key={column.id} style={column.width ? { width: column.width } : {}} />
					))}
					{rowActions && <col style={{ width: `${actionsWidth}px` }} />}
				</colgroup>
				<thead>
					<tr>
						{selection.enabled && (
							<th scope="col" class="data-table__check">
								<input
									type="checkbox"
									class="checkbox"
									aria-label={t.selectAll}
									checked={selection.rows.length === view.rows.length}
									ref={(box) => {
										const count = selection.rows.length;
										if (box) box.indeterminate = count > 0 && count < view.rows.length;
									}}
									onChange={selection.toggleAll}
								/>
							</th>
						)}
						{columns.map((column) => (
							<Header key={column.id} column={column} view={view} />
						))}
						{rowActions && (
							<th scope="col" class="data-table__actions">
								<span class="visually-hidden">{t.actions}</span>
							</th>
						)}
					</tr>
				</thead>
				<tbody ref={list}>
					{seen.before > 0 && <Spacer height={seen.before} span={span} />}
					{view.rows.slice(seen.start, seen.end).map((row, index) => (
						<Row
							key={row.id}
							row={row}
							index={seen.start + index}
							table={table}
							columns={columns}
							selection={selection}
							chosen={selection.has(row.id)}
						/>
					))}
					{seen.after > 0 && <Spacer height={seen.after} span={span} />}
				</tbody>
			</table>
		</div>
	);
}

const Spacer = ({ height, span }: { height: number; span: number }) => (
	<tr>
		<td colSpan={span} class="data-table__spacer" style={{ height: `${height}px` }} />
	</tr>
);

function Header<T extends { id: string }>({ column, view }: { column: Column<T>; view: TableView<T> }) {
	const sorted = view.sort?.column === column.id ? (view.sort.descending ? "descending" : "ascending") : undefined;
	const Arrow = sorted === "descending" ? ArrowDown : ArrowUp;
	return (
		<th scope="col" aria-sort={sorted} class={column.align === "end" ? "data-table__end" : undefined}>
			{column.sort ? (
				<button type="button" class="data-table__sort" onClick={() => view.toggleSort(column.id)}>
					{column.align !== "end" && column.header}
					<Arrow size={13} aria-hidden="true" class={sorted ? "" : "data-table__arrow"} />
					{column.align === "end" && column.header}
				</button>
			) : (
				column.header
			)}
		</th>
	);
}

type RowProps<T extends { id: string }> = Omit<BodyProps<T>, "view" | "columns"> & {
	columns: readonly Column<T>[];
	row: T;
	index: number;
	chosen: boolean;
};

function Row<T extends { id: string }>({ row, index, table, columns, selection, chosen }: RowProps<T>) {
	const { rowLabel, rowActions, dimmed } = table;
	const label = rowLabel(row);
	return (
		<tr
			aria-rowindex={index + 2}
			class={`${chosen ? "data-table__row--chosen" : ""}${dimmed?.(row) ? " data-table__row--dimmed" : ""}`}
		>
			{selection.enabled && (
				<td class="data-table__check">
					<input
						type="checkbox"
						class="checkbox"
						aria-label={t.selectRow(label)}
						checked={chosen}
						onClick={(event) => selection.toggle(row.id, event.shiftKey)}
					/>
				</td>
			)}
			{columns.map((column) => (
				<td key={column.id} class={column.align === "end" ? "data-table__end" : undefined}>
					{column.cell(row)}
				</td>
			))}
			{rowActions && (
				<td class="data-table__actions">
					<Menu label={`${t.actions}: ${label}`} icon={Ellipsis} kind="ghost" small actions={rowActions(row)} />
				</td>
			)}
		</tr>
	);
}
