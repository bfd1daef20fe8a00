/**
 * Going back shows a list where it was left. The page scrolls in an element, not in the window, so that the browser
 * does not do it by itself.
 */
const positions = new Map<string, number>();
const mostKept = 100;
const scrollers = "#main, .data-table__scroller";
let goingBack = false;

const keyOf = (element: Element): string => `${location.pathname}${location.search} ${element.id || "table"}`;

export function startScrollMemory(): void {
	addEventListener("popstate", () => {
		goingBack = true;
	});
	addEventListener(
		"scroll",
		({ target }) => {
			if (!(target instanceof Element) || !target.matches(scrollers)) return;
			if (positions.size >= mostKept) positions.delete(positions.keys().next().value ?? "");
			positions.set(keyOf(target), target.scrollTop);
		},
		{ capture: true, passive: true },
	);
}

/** Call when another page is shown: to its top, or to where it was. Focus that went with the old page goes to the new. */
export function pageShown(): void {
	const restore = goingBack;
	goingBack = false;
	const main = document.getElementById("main");
	if (main && !restore) main.scrollTop = 0;
	if (document.activeElement === document.body) main?.focus({ preventScroll: true });
	if (!restore) return;
	requestAnimationFrame(() => {
		for (const element of document.querySelectorAll(scrollers)) element.scrollTop = positions.get(keyOf(element)) ?? 0;
	});
}
