/**
 * A button with a menu (WAI-ARIA menu button): arrows, Home, End, first letters, Escape. Items that are not allowed
 * now are shown with their reason. Items with `checked` toggle and leave the menu open.
 */
import { Check } from "lucide-preact";
import { useEffect, useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Button, type ButtonKind } from "./button.tsx";
import type { Icon } from "./icons.ts";
import "./menu.css";

export type Action = {
	id: string;
	label: string;
	icon?: Icon;
	obstacle?: string | null | undefined;
	danger?: boolean;
	/** A line above it. */
	divided?: boolean;
	checked?: boolean;
	/** Small print under the label. */
	note?: string;
	onSelect: () => void;
};

export type MenuProps = {
	label: string;
	actions: readonly Action[];
	/** Text of the button; without it only the icon shows, and the label is its name. */
	text?: string;
	icon?: Icon;
	kind?: ButtonKind;
	small?: boolean;
	/** Shown behind the text: how many are chosen. */
	count?: number;
	class?: string;
};

export function Menu({ label, actions, text, icon, kind = "secondary", small, count, class: className }: MenuProps) {
	const [open, setOpen] = useState(false);
	const trigger = useRef<HTMLButtonElement>(null);
	const close = (refocus: boolean) => {
		setOpen(false);
		if (refocus) trigger.current?.focus();
	};
	return (
		<>
			<Button
				elementRef={trigger}
				kind={kind}
				small={small}
				icon={icon}
				class={className}
				label={text === undefined ? label : count ? `${label} (${count})` : label}
				expanded={open}
				hasPopup="menu"
				onClick={() => setOpen(!open)}
			>
				{text === undefined ? undefined : (
					<>
						{text}
						{count ? <span class="menu__count">{count}</span> : null}
					</>
				)}
			</Button>
			{open && <MenuList label={label} actions={actions} anchor={trigger.current} onClose={close} />}
		</>
	);
}

type ListProps = {
	label: string;
	actions: readonly Action[];
	anchor: HTMLElement | null;
	onClose: (refocus: boolean) => void;
};

function MenuList({ label, actions, anchor, onClose }: ListProps) {
	const list = useRef<HTMLDivElement>(null);
	const typed = useRef({ text: "", at: 0 });
	const baseId = useId();
	const items = () => [...(list.current?.querySelectorAll<HTMLElement>("[data-menu-item]") ?? [])];

	useLayoutEffect(() => {
		const element = list.current;
		if (!element) return;
		element.showPopover();
		place(element, anchor);
		items()[0]?.focus();
	}, []);
	useEffect(() => {
		const outside = (event: Event) => {
			const target = event.target;
			if (target instanceof Node && (list.current?.contains(target) || anchor?.contains(target))) return;
			onClose(false);
		};
		const moved = (event: Event) => {
			if (!(event.target instanceof Node) || !list.current?.contains(event.target)) onClose(false);
		};
		addEventListener("pointerdown", outside);
		addEventListener("scroll", moved, { capture: true, passive: true });
		addEventListener("resize", moved);
		return () => {
			removeEventListener("pointerdown", outside);
			removeEventListener("scroll", moved, { capture: true });
			removeEventListener("resize", moved);
		};
	}, []);

	const onKeyDown = (event: KeyboardEvent) => {
		const all = items();
		const at = all.indexOf(document.activeElement as HTMLElement);
		const go = (index: number) => all[(index + all.length) % all.length]?.focus();
		if (event.key === "ArrowDown") go(at + 1);
		else if (event.key === "ArrowUp") go(at - 1);
		else if (event.key === "Home") go(0);
		else if (event.key === "End") go(all.length - 1);
		else if (event.key === "Escape") onClose(true);
		else if (event.key === "Tab") {
			onClose(true);
			return;
		} else if (event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey) {
			const fresh = event.timeStamp - typed.current.at > 600;
			typed.current = { text: (fresh ? "" : typed.current.text) + event.key.toLowerCase(), at: event.timeStamp };
			all.find((item) => item.textContent?.trim().toLowerCase().startsWith(typed.current.text))?.focus();
		} else return;
		event.preventDefault();
		event.stopPropagation();
	};

	return (
		<div ref={list} popover="manual" role="menu" aria-label={label} class="menu" onKeyDown={onKeyDown}>
			{actions.map((action, index) => {
				const off = Boolean(action.obstacle);
				const note = action.obstacle ?? action.note;
				const noteId = `${baseId}-${index}`;
				const IconOf = action.checked === undefined ? action.icon : action.checked ? Check : undefined;
				return (
					<button
						key={action.id}
						type="button"
						{...(action.checked === undefined
							? { role: "menuitem" as const }
							: { role: "menuitemcheckbox" as const, "aria-checked": action.checked })}
						aria-disabled={off || undefined}
						aria-describedby={note ? noteId : undefined}
						tabIndex={-1}
						data-menu-item
						class={`menu__item${action.danger ? " menu__item--danger" : ""}${action.divided ? " menu__item--divided" : ""}`}
						onClick={() => {
							if (off) return;
							if (action.checked === undefined) onClose(true);
							action.onSelect();
						}}
						onMouseMove={(event) => event.currentTarget.focus({ preventScroll: true })}
					>
						<span class="menu__icon">{IconOf && <IconOf size={16} aria-hidden="true" />}</span>
						<span class="menu__text">
							{action.label}
							{note && (
								// Described, not named by it.
								<span class="menu__note" id={noteId} aria-hidden="true">
									{note}
								</span>
							)}
						</span>
					</button>
				);
			})}
		</div>
	);
}

/** Under the anchor where there is room, else above; inside the window. On a phone it is a sheet (see menu.css). */
function place(element: HTMLElement, anchor: HTMLElement | null): void {
	if (!anchor || innerWidth <= 640) return;
	const at = anchor.getBoundingClientRect();
	const own = element.getBoundingClientRect();
	const left = at.left + own.width > innerWidth - 8 ? at.right - own.width : at.left;
	const below = at.bottom + 4 + own.height <= innerHeight - 8 || at.top < own.height;
	element.style.left = `${Math.max(8, left)}px`;
	element.style.top = `${Math.max(8, below ? at.bottom + 4 : at.top - 4 - own.height)}px`;
	element.style.maxHeight = `${below ? innerHeight - at.bottom - 12 : at.top - 12}px`;
}
