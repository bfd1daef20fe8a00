/**
 * Nodes with their VMs beside every page (WAI-ARIA tree): arrows move, right and left open and close, Enter goes.
 * Virtual from some hundred entries on: a row out of sight is scrolled to first, and has the focus once it is there.
 */
import { computed, signal } from "@preact/signals";
import { ChevronRight } from "lucide-preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { live } from "../api/live/live.ts";
import type { Node, Vm } from "../api/types.ts";
import { StateDot } from "../components/badge.tsx";
import { Skeleton } from "../components/feedback.tsx";
import { resourceIcons } from "../components/icons.ts";
import { nodeLook, vmLook } from "../components/states.ts";
import { useVirtualRows } from "../components/table/virtual.ts";
import { byName } from "../lib/sort.ts";
import { readStored, writeStored } from "../lib/storage.ts";
import { href } from "../routes.ts";
import { frame as t } from "../strings/frame.ts";
import "./tree.css";

const rowHeight = 28;
const closed = signal<readonly string[]>(readStored("local", "tree.closed", []));

/** `place` of `siblings`: rows that are not rendered cannot be counted by a screen reader. */
type Entry = { id: string; place: number; siblings: number } & (
	| { level: 1; node: Node; open: boolean; count: number }
	| { level: 2; vm: Vm }
);

const entries = computed<Entry[]>(() => {
	const byNode = new Map<string, Vm[]>();
	for (const vm of live.vm.items.value) {
		const list = byNode.get(vm.nodeId);
		if (list) list.push(vm);
		else byNode.set(vm.nodeId, [vm]);
	}
	const nodes = [...live.node.items.value].sort(byName);
	return nodes.flatMap((node, index): Entry[] => {
		const vms = (byNode.get(node.id) ?? []).sort(byName);
		const open = !closed.value.includes(node.id);
		const place = { id: node.id, place: index + 1, siblings: nodes.length };
		const head: Entry = { ...place, level: 1, node, open, count: vms.length };
		const below = (vm: Vm, at: number): Entry => ({ id: vm.id, place: at + 1, siblings: vms.length, level: 2, vm });
		return open ? [head, ...vms.map(below)] : [head];
	});
});

function setOpen(nodeId: string, open: boolean): void {
	closed.value = open ? closed.peek().filter((id) => id !== nodeId) : [...closed.peek(), nodeId];
	writeStored("local", "tree.closed", closed.value);
}

export function Tree() {
	const { path } = useLocation();
	const all = entries.value;
	const { list, view, show } = useVirtualRows<HTMLDivElement>(all.length, rowHeight);
	// Where the keyboard is, by id: live changes above it must not move it.
	const [active, setActive] = useState<string | null>(null);
	const toFocus = useRef<string | null>(null);
	useLayoutEffect(() => {
		if (toFocus.current === null) return;
		// A row out of sight is rendered after the scrolling has been measured: then this runs again.
		const item = list.current?.querySelector<HTMLElement>(`[data-id="${toFocus.current}"]`);
		if (!item) return;
		toFocus.current = null;
		item.focus({ preventScroll: true });
	});
	if (live.node.state.value === "loading" || live.node.state.value === "idle") return <Skeleton lines={4} />;

	const at = Math.max(
		0,
		all.findIndex(({ id }) => id === active),
	);
	/** Of the rows that are rendered one can be reached by Tab. */
	const reached = Math.max(view.start, Math.min(at, view.end - 1));
	const focus = (index: number) => {
		const next = Math.max(0, Math.min(all.length - 1, index));
		const id = all[next]?.id ?? null;
		toFocus.current = id;
		setActive(id);
		show(next);
	};
	const onKeyDown = (event: KeyboardEvent) => {
		const entry = all[at];
		if (event.ctrlKey || event.metaKey || event.altKey || !entry) return;
		if (event.key === "ArrowDown") focus(at + 1);
		else if (event.key === "ArrowUp") focus(at - 1);
		else if (event.key === "Home") focus(0);
		else if (event.key === "End") focus(all.length - 1);
		else if (event.key === "ArrowRight" && entry.level === 1) {
			if (entry.open) focus(at + 1);
			else setOpen(entry.node.id, true);
		} else if (event.key === "ArrowLeft") {
			if (entry.level === 1) setOpen(entry.node.id, false);
			else focus(all.findLastIndex((other, index) => index < at && other.level === 1));
		} else return;
		event.preventDefault();
	};

	return (
		<div
			ref={list}
			role="tree"
			aria-label={t.tree}
			class="tree"
			onKeyDown={onKeyDown}
			onFocusIn={(event) => {
				const { id } = (event.target as HTMLElement).dataset;
				if (id) setActive(id);
			}}
		>
			{view.before > 0 && <div role="none" style={{ height: `${view.before}px` }} />}
			{all.slice(view.start, view.end).map((entry, offset) => {
				const tabIndex = view.start + offset === reached ? 0 : -1;
				return entry.level === 1 ? (
					<NodeItem key={entry.id} entry={entry} tabIndex={tabIndex} path={path} />
				) : (
					<VmItem key={entry.id} entry={entry} tabIndex={tabIndex} path={path} />
				);
			})}
			{view.after > 0 && <div role="none" style={{ height: `${view.after}px` }} />}
		</div>
	);
}

type ItemProps<Level> = { entry: Extract<Entry, { level: Level }>; tabIndex: number; path: string };

function NodeItem({ entry, tabIndex, path }: ItemProps<1>) {
	const { node, open, count } = entry;
	const address = href("node", { nodeId: node.id });
	const IconOf = resourceIcons.node;
	return (
		<a
			href={address}
			role="treeitem"
			aria-level={1}
			aria-posinset={entry.place}
			aria-setsize={entry.siblings}
			aria-expanded={count > 0 ? open : undefined}
			aria-current={path === address ? "page" : undefined}
			class="tree__item"
			data-id={entry.id}
			tabIndex={tabIndex}
		>
			<span
				class={`tree__toggle${open ? " tree__toggle--open" : ""}`}
				aria-hidden="true"
				onClick={(event) => {
					event.preventDefault();
					event.stopPropagation();
					setOpen(node.id, !open);
				}}
			>
				{count > 0 && <ChevronRight size={14} />}
			</span>
			<IconOf size={14} aria-hidden="true" class="tree__icon" />
			<span class="tree__name">{node.name}</span>
			<StateDot look={nodeLook(node.status.phase)} />
		</a>
	);
}

function VmItem({ entry, tabIndex, path }: ItemProps<2>) {
	const { vm } = entry;
	const address = href("vm", { vmId: vm.id });
	const current = path === address || path.startsWith(`${address}/`);
	return (
		<a
			href={address}
			role="treeitem"
			aria-level={2}
			aria-posinset={entry.place}
			aria-setsize={entry.siblings}
			aria-current={current ? "page" : undefined}
			class="tree__item tree__item--vm"
			data-id={entry.id}
			tabIndex={tabIndex}
		>
			<StateDot look={vmLook(vm)} />
			<span class="tree__name">{vm.name}</span>
		</a>
	);
}
