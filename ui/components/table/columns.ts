/**
 * Which columns a table shows: those that are on by default or chosen, as far as there is room. What does not fit is
 * left out whole, rather than cut off under the column of actions; whoever chose a column keeps it, and scrolls.
 */
import { useLayoutEffect, useMemo, useState } from "preact/hooks";
import { readStored, writeStored } from "../../lib/storage.ts";
import type { Column, TableProps } from "./types.ts";

export const checkWidth = 40;
export const actionsWidth = 44;

/** Columns without a width keep room for a name; a share is taken as what some tags need. */
const widthOf = ({ width }: Pick<Column<unknown>, "width">): number =>
	width?.endsWith("px") ? Number.parseInt(width, 10) : width ? 110 : 170;

export const leastWidth = (columns: readonly Pick<Column<never>, "width">[], beside: number): number =>
	columns.reduce((sum, column) => sum + widthOf(column), beside);

type Sized = Pick<Column<never>, "id" | "width" | "fixed" | "hidden" | "card">;

/** Pure. `chosen`: what this person switched on or off; `room`: pixels, null when that is not known. */
export function columnsThatFit<C extends Sized>(
	columns: readonly C[],
	chosen: Readonly<Record<string, boolean>>,
	room: number | null,
): C[] {
	const wanted = columns.filter(({ id, hidden, fixed }) => fixed || (chosen[id] ?? !hidden));
	if (room === null) return wanted;
	// First what even a card does without, then from the end.
	const rank = ({ card }: C) => (card === "none" ? 0 : 1);
	const spare = wanted
		.filter(({ id, fixed, card }) => !fixed && !chosen[id] && card !== "title" && card !== "badge")
		.reverse()
		.sort((a, b) => rank(a) - rank(b));
	const left = new Set(wanted);
	for (const column of spare) {
		if (leastWidth([...left], 0) <= room) break;
		left.delete(column);
	}
	return wanted.filter((column) => left.has(column));
}

export type ChosenColumns<T> = {
	all: readonly Column<T>[];
	shown: readonly Column<T>[];
	/** They do not fit: the table scrolls sideways. */
	scrolls: boolean;
	toggle(id: string): void;
};

export function useColumns<T extends { id: string }>(props: TableProps<T>, width: number | null): ChosenColumns<T> {
	const { name, columns, bulkActions, rowActions } = props;
	const key = `columns.${name}`;
	const [chosen, setChosen] = useState(() => readStored<Record<string, boolean>>("local", key, {}));
	const beside = (bulkActions ? checkWidth : 0) + (rowActions ? actionsWidth : 0);
	const room = width === null ? null : width - beside;
	const shown = useMemo(() => columnsThatFit(columns, chosen, room), [columns, chosen, room]);
	return {
		all: columns,
		shown,
		scrolls: room !== null && leastWidth(shown, 0) > room,
		toggle(id) {
			const next = { ...chosen, [id]: !shown.some((column) => column.id === id) };
			setChosen(next);
			writeStored("local", key, next);
		},
	};
}

const scrollBarWidth = 16;

/** The room for rows in an element, kept up to date: its ref, and the width. */
export function useRowWidth(): [ref: (element: HTMLElement | null) => void, width: number | null] {
	const [element, setElement] = useState<HTMLElement | null>(null);
	const [width, setWidth] = useState<number | null>(null);
	useLayoutEffect(() => {
		if (!element) return;
		const measure = () => setWidth(element.clientWidth - scrollBarWidth);
		measure();
		const observer = new ResizeObserver(measure);
		observer.observe(element);
		return () => observer.disconnect();
	}, [element]);
	return [setElement, width];
}
