/** Facts about the window, as signals. */
import { type ReadonlySignal, signal } from "@preact/signals";

function media(query: string): ReadonlySignal<boolean> {
	if (typeof matchMedia === "undefined") return signal(false);
	const list = matchMedia(query);
	const value = signal(list.matches);
	list.addEventListener("change", () => {
		value.value = list.matches;
	});
	return value;
}

/** Tables become cards, menus become sheets. */
export const isPhone = media("(width <= 640px)");
/** The side bar becomes a drawer. */
export const isNarrow = media("(width <= 900px)");
/** Fingers, beside whatever else there is. */
export const hasTouch = media("(any-pointer: coarse)");
