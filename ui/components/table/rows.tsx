/** A table's rows, as a table. */
import { ArrowDown, ArrowUp, Ellipsis } from "lucide-preact";
import { common as t } from "../../strings/common.ts";
import { Menu } from "../menu.tsx";
import type { Selection } from "./data-table.tsx";
import type { Column, TableProps } from "./types.ts";
import type { TableView } from "./view.ts";
import { useVirtualRows } from "./virtual.ts";

export type BodyProps<T extends { id: string }> = {
	table: TableProps<T>;
	view: TableView<T>;
	columns: readonly Column<T>[];
	selection: Selection<T>;
};

/** Keep equal to --row-height. */
const rowHeight = 37;

export function TableRows<T extends { id: string }>({ table, view, columns, selection }: BodyProps<T>) {
	const { caption, rowActions, fill } = table;
	const { list, view: seen } = useVirtualRows<HTMLTableSectionElement>(view.rows.length, rowHeight);
	const span = columns.length + (selection.enabled ? 1 : 0) + (rowActions ? 1 : 0);
	return (
		<div class={fill ? "data-table__scroller" : "data-table__box"}>
			<table
				class="data-table__table"
				aria-rowcount={view.rows.length + 1}
				style={{ minWidth: `${leastWidth(columns, (selection.enabled ? 40 : 0) + (rowActions ? 44 : 0))}px` }}
			>
				<caption class="visually-hidden">{caption}</caption>
				<colgroup>
					{selection.enabled && <col style={{ width: "40px" }} />}
					{columns.map((column) => (
						<col key={column.id} style={column.width ? { width: column.width } : {}} />
					))}
					{rowActions && <col style={{ width: "44px" }} />}
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
							<th scope="col">
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

/** Columns without a width keep room for a name; beyond that the table scrolls sideways. */
function leastWidth<T>(columns: readonly Column<T>[], beside: number): number {
	const width = ({ width: css }: Column<T>) => (css?.endsWith("px") ? Number.parseInt(css, 10) : css ? 110 : 170);
	return columns.reduce((sum, column) => sum + width(column), beside);
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

type RowProps<T extends { id: string }> = Omit<BodyProps<T>, "view"> & { row: T; index: number; chosen: boolean };

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
