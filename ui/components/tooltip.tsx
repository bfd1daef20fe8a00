/**
 * One tooltip for the whole page, in the top layer so that nothing cuts it off. `tooltipProps` goes on the element
 * that it explains; whoever cannot see it gets the same text by `aria-describedby` (Described) or by the label. A touch
 * opens none, since nothing would close it over what it covers; only why something is off is said to a tap as well.
 */
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useId, useLayoutEffect, useRef } from "preact/hooks";
import "./tooltip.css";

type Shown = { text: string; anchor: HTMLElement };
const shown = signal<Shown | null>(null);
const gap = 6;
/** The last thing pressed was a finger's: what gets the focus then was not reached by keyboard, however it looks. */
let touched = false;

/** `reason`: the text says why the element is off. */
export function tooltipProps(text: string | null | undefined, reason = false) {
	if (!text) return {};
	const show = (event: { currentTarget: EventTarget | null }) => {
		if (event.currentTarget instanceof HTMLElement) shown.value = { text, anchor: event.currentTarget };
	};
	const hide = () => {
		shown.value = null;
	};
	const enter = (event: { currentTarget: EventTarget | null; pointerType: string }) => {
		if (event.pointerType !== "touch") show(event);
	};
	// After a tap browsers act as if a mouse had come; it leaves when something else is tapped.
	const tap = (event: { currentTarget: EventTarget | null }) => {
		if (touched && reason) show(event);
	};
	const showForKeyboard = (event: { currentTarget: EventTarget | null }) => {
		if (touched) return;
		if (event.currentTarget instanceof HTMLElement && event.currentTarget.matches(":focus-visible")) show(event);
	};
	return { onPointerEnter: enter, onMouseEnter: tap, onMouseLeave: hide, onFocus: showForKeyboard, onBlur: hide };
}

/** Carries the text for `aria-describedby`; the child gets the id. */
export function Described({ text, children }: { text: string | null; children: (id?: string) => ComponentChildren }) {
	const id = useId();
	return (
		<>
			{children(text === null ? undefined : id)}
			{text !== null && (
				<span id={id} class="visually-hidden">
					{text}
				</span>
			)}
		</>
	);
}

export function TooltipHost() {
	const ref = useRef<HTMLDivElement>(null);
	const current = shown.value;
	useEffect(() => {
		const onPointerDown = ({ pointerType }: PointerEvent) => {
			touched = pointerType === "touch";
			if (touched) shown.value = null;
		};
		// On-screen keyboards send keys too, but none of them moves the focus with Tab.
		const onKeyDown = ({ key }: KeyboardEvent) => {
			if (key === "Tab") touched = false;
		};
		addEventListener("pointerdown", onPointerDown, { capture: true, passive: true });
		addEventListener("keydown", onKeyDown, { capture: true });
		return () => {
			removeEventListener("pointerdown", onPointerDown, { capture: true });
			removeEventListener("keydown", onKeyDown, { capture: true });
		};
	}, []);
	// With the render itself: an effect after the paint would leave an empty tooltip open over what was just pressed.
	useLayoutEffect(() => {
		const element = ref.current;
		if (!element || !current) return;
		if (!current.anchor.isConnected) {
			shown.value = null;
			return;
		}
		element.showPopover();
		const anchor = current.anchor.getBoundingClientRect();
		const own = element.getBoundingClientRect();
		const below = anchor.bottom + gap + own.height < innerHeight;
		const left = anchor.left + anchor.width / 2 - own.width / 2;
		element.style.left = `${Math.max(gap, Math.min(left, innerWidth - own.width - gap))}px`;
		element.style.top = `${below ? anchor.bottom + gap : anchor.top - gap - own.height}px`;
		const hide = () => {
			shown.value = null;
		};
		addEventListener("scroll", hide, { capture: true, passive: true });
		addEventListener("keydown", hide);
		return () => {
			removeEventListener("scroll", hide, { capture: true });
			removeEventListener("keydown", hide);
			element.hidePopover();
		};
	}, [current]);
	return (
		<div ref={ref} popover="manual" class="tooltip" aria-hidden="true">
			{current?.text}
		</div>
	);
}
