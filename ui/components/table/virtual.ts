/**
 * Only the rows that can be seen are rendered: needed from some hundred rows on. All rows have the same height. The
 * scroller is the nearest ancestor that scrolls, so a list works inside a box and inside the page alike.
 */
import { useLayoutEffect, useRef, useState } from "preact/hooks";

export type VirtualWindow = {
	start: number;
	/** Exclusive. */
	end: number;
	/** Pixels before and behind the rendered rows. */
	before: number;
	after: number;
};

const overscan = 12;
/** Fewer rows than this are all rendered: simpler for find-in-page and assistive technology. */
export const virtualFrom = 150;

/** Pure: which rows cover `top`..`top + height` of the list. */
export function windowOf(count: number, rowHeight: number, top: number, height: number): VirtualWindow {
	if (count < virtualFrom) return { start: 0, end: count, before: 0, after: 0 };
	const first = Math.floor(top / rowHeight) - overscan;
	const last = Math.ceil((top + height) / rowHeight) + overscan;
	const start = Math.max(0, Math.min(first, count));
	const end = Math.max(start, Math.min(last, count));
	return { start, end, before: start * rowHeight, after: (count - end) * rowHeight };
}

/** Pure: how far to scroll so that a row is seen whole; 0 when it is. `margin`: rows beside it that are seen, too. */
export function scrollBy(rowTop: number, rowHeight: number, height: number, margin = 1): number {
	const room = margin * rowHeight;
	if (rowTop < room) return rowTop - room;
	return Math.max(0, rowTop + rowHeight + room - height);
}

export function useVirtualRows<E extends HTMLElement>(count: number, rowHeight: number) {
	const list = useRef<E>(null);
	const remeasure = useRef(() => {});
	const [view, setView] = useState(() => windowOf(count, rowHeight, 0, globalThis.innerHeight ?? 800));
	useLayoutEffect(() => {
		const element = list.current;
		if (!element) return;
		const scroller = scrollParent(element);
		let frame = 0;
		const measure = () => {
			frame = 0;
			const box = scroller === document.documentElement ? { top: 0 } : scroller.getBoundingClientRect();
			const top = box.top - element.getBoundingClientRect().top;
			const next = windowOf(count, rowHeight, top, scroller.clientHeight);
			setView((now) => (now.start === next.start && now.end === next.end && now.after === next.after ? now : next));
		};
		const later = () => {
			frame ||= requestAnimationFrame(measure);
		};
		measure();
		remeasure.current = measure;
		if (count < virtualFrom) return;
		scroller.addEventListener("scroll", later, { passive: true });
		const resized = new ResizeObserver(later);
		resized.observe(scroller);
		return () => {
			cancelAnimationFrame(frame);
			scroller.removeEventListener("scroll", later);
			resized.disconnect();
		};
	}, [count, rowHeight]);
	// Between a change of the list and the measuring after it, the old window may reach beyond the end.
	const end = Math.min(view.end, count);
	/** Scrolls a row into view; it is rendered after that, if it was not. */
	const show = (index: number): void => {
		const element = list.current;
		if (!element) return;
		const scroller = scrollParent(element);
		const box = scroller === document.documentElement ? { top: 0 } : scroller.getBoundingClientRect();
		const rowTop = element.getBoundingClientRect().top + index * rowHeight - box.top;
		scroller.scrollTop += scrollBy(rowTop, rowHeight, scroller.clientHeight);
		remeasure.current();
	};
	return { list, show, view: count < virtualFrom ? windowOf(count, rowHeight, 0, 0) : { ...view, end } };
}

function scrollParent(element: HTMLElement): HTMLElement {
	for (let parent = element.parentElement; parent; parent = parent.parentElement) {
		const { overflowY } = getComputedStyle(parent);
		if (overflowY === "auto" || overflowY === "scroll") return parent;
	}
	return document.documentElement;
}
