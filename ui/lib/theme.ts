/** Light, dark, or as the system; kept in the browser. */
import { signal } from "@preact/signals";
import { readStored, writeStored } from "./storage.ts";

export const themes = ["system", "light", "dark"] as const;
export type Theme = (typeof themes)[number];

export const theme = signal<Theme>("system");

export function startTheme(): void {
	const stored = readStored<string>("local", "theme", "system");
	setTheme(themes.find((known) => known === stored) ?? "system");
	window.addEventListener("storage", (event) => {
		if (event.key === "lqx.theme")
			setTheme(themes.find((known) => JSON.stringify(known) === event.newValue) ?? "system");
	});
}

export function setTheme(next: Theme): void {
	theme.value = next;
	if (next === "system") delete document.documentElement.dataset.theme;
	else document.documentElement.dataset.theme = next;
	writeStored("local", "theme", next === "system" ? undefined : next);
}
