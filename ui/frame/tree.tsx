/**
 * Nodes with their VMs beside every page (WAI-ARIA tree): arrows move, right and left open and close, Enter goes.
 * Virtual from some hundred entries on.
 */
import { computed, signal } from "@preact/signals";
import { ChevronRight } from "lucide-preact";
import { useRef } from "preact/hooks";
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

type Entry = { level: 1; node: Node; open: boolean; count: number } | { level: 2; vm: Vm };

const entries = computed<Entry[]>(() => {
	const byNode = new Map<string, Vm[]>();
	for (const vm of live.vm.items.value) {
		const list = byNode.get(vm.nodeId);
		if (list) list.push(vm);
		else byNode.set(vm.nodeId, [vm]);
	}
	return [...live.node.items.value].sort(byName).flatMap((node): Entry[] => {
		const vms = (byNode.get(node.id) ?? []).sort(byName);
		const open = !closed.value.includes(node.id);
		const head: Entry = { level: 1, node, open, count: vms.length };
		return open ? [head, ...vms.map((vm): Entry => ({ level: 2, vm }))] : [head];
	});
});

function setOpen(nodeId: string, open: boolean): void {
	closed.value = open ? closed.peek().filter((id) => id !== nodeId) : [...closed.peek(), nodeId];
	writeStored("local", "tree.closed", closed.value);
}

export function Tree() {
	const { path } = useLocation();
	const all = entries.value;
	const { list, view } = useVirtualRows<HTMLDivElement>(all.length, rowHeight);
	const active = useRef(0);
	if (live.node.state.value === "loading" || live.node.state.value === "idle") return <Skeleton lines={4} />;
	if (active.current >= all.length) active.current = 0;

	const focus = (index: number) => {
		active.current = Math.max(0, Math.min(all.length - 1, index));
		const item = list.current?.querySelector<HTMLElement>(`[data-index="${active.current}"]`);
		for (const other of list.current?.querySelectorAll<HTMLElement>("[tabindex='0']") ?? []) other.tabIndex = -1;
		if (!item) return;
		item.tabIndex = 0;
		item.focus();
	};
	const onKeyDown = (event: KeyboardEvent) => {
		const at = active.current;
		const entry = all[at];
		if (event.ctrlKey || event.metaKey || event.altKey || !entry) return;
		if (event.key === "ArrowDown") focus(at + 1);
		else if (event.key === "ArrowUp") focus(at - 1);
		else if (event.key === "Home") focus(view.start);
		else if (event.key === "End") focus(view.end - 1);
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
				const index = (event.target as HTMLElement).dataset.index;
				if (index) active.current = Number(index);
			}}
		>
			{view.before > 0 && <div role="none" style={{ height: `${view.before}px` }} />}
			{all.slice(view.start, view.end).map((entry, offset) => {
				const index = view.start + offset;
				const tabIndex = index === active.current || (index === view.start && active.current < view.start) ? 0 : -1;
				return entry.level === 1 ? (
					<NodeItem key={entry.node.id} entry={entry} index={index} tabIndex={tabIndex} path={path} />
				) : (
					<VmItem key={entry.vm.id} vm={entry.vm} index={index} tabIndex={tabIndex} path={path} />
				);
			})}
			{view.after > 0 && <div role="none" style={{ height: `${view.after}px` }} />}
		</div>
	);
}

type ItemProps = { index: number; tabIndex: number; path: string };

function NodeItem({ entry, index, tabIndex, path }: ItemProps & { entry: Extract<Entry, { level: 1 }> }) {
	const { node, open, count } = entry;
	const address = href("node", { nodeId: node.id });
	const IconOf = resourceIcons.node;
	return (
		<a
			href={address}
			role="treeitem"
			aria-level={1}
			aria-expanded={count > 0 ? open : undefined}
			aria-current={path === address ? "page" : undefined}
			class="tree__item"
			data-index={index}
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

function VmItem({ vm, index, tabIndex, path }: ItemProps & { vm: Vm }) {
	const address = href("vm", { vmId: vm.id });
	const current = path === address || path.startsWith(`${address}/`);
	return (
		<a
			href={address}
			role="treeitem"
			aria-level={2}
			aria-current={current ? "page" : undefined}
			class="tree__item tree__item--vm"
			data-index={index}
			tabIndex={tabIndex}
		>
			<StateDot look={vmLook(vm)} />
			<span class="tree__name">{vm.name}</span>
		</a>
	);
}
