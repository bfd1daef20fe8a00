/** A table's rows on a phone: one card a row. */
import { Ellipsis } from "lucide-preact";
import { common as t } from "../../strings/common.ts";
import { Menu } from "../menu.tsx";
import type { BodyProps } from "./rows.tsx";
import { useVirtualRows } from "./virtual.ts";

const lineHeight = 22;
const frameHeight = 62;
/** Lines on a card; what does not fit is on the object's page. */
const mostLines = 4;

export function TableCards<T extends { id: string }>({ table, view, columns: chosen, selection }: BodyProps<T>) {
	const columns = chosen.shown;
	const title = columns.find(({ card }) => card === "title") ?? columns[0];
	const badges = columns.filter(({ card }) => card === "badge");
	const lines = columns.filter((column) => column !== title && column.card === undefined).slice(0, mostLines);
	const height = frameHeight + lines.length * lineHeight;
	const { list, view: seen } = useVirtualRows<HTMLUListElement>(view.rows.length, height);
	return (
		<ul class="table-cards" aria-label={table.caption} ref={list}>
			{seen.before > 0 && <li aria-hidden="true" style={{ height: `${seen.before}px` }} />}
			{view.rows.slice(seen.start, seen.end).map((row) => {
				const label = table.rowLabel(row);
				return (
					<li key={row.id} class="table-cards__slot" style={{ height: `${height}px` }}>
						<article
							class={`table-cards__card${table.dimmed?.(row) ? " data-table__row--dimmed" : ""}`}
							aria-label={label}
						>
							<header class="table-cards__header">
								{selection.enabled && (
									<input
										type="checkbox"
										class="checkbox"
										aria-label={t.selectRow(label)}
										checked={selection.has(row.id)}
										onClick={() => selection.toggle(row.id, false)}
									/>
								)}
								<span class="table-cards__title">{title?.cell(row)}</span>
								{badges.map((column) => (
									<span key={column.id}>{column.cell(row)}</span>
								))}
								{table.rowActions && (
									<Menu
										label={`${t.actions}: ${label}`}
										icon={Ellipsis}
										kind="ghost"
										small
										actions={table.rowActions(row)}
									/>
								)}
							</header>
							<dl class="table-cards__lines">
								{lines.map((column) => (
									<div key={column.id}>
										<dt>{column.header}</dt>
										<dd>{column.cell(row)}</dd>
									</div>
								))}
							</dl>
						</article>
					</li>
				);
			})}
			{seen.after > 0 && <li aria-hidden="true" style={{ height: `${seen.after}px` }} />}
		</ul>
	);
}
