/** What the palette and the keyboard can do: go to a section, create, switch the theme, sign out. */
import { KeyRound, ListChecks, LogOut, Moon, Plus, Sun, SunMoon, Upload } from "lucide-preact";
import { toastFailure } from "../api/notify.ts";
import { obstacleTo, signOut } from "../api/session.ts";
import type { Icon } from "../components/icons.ts";
import { setTheme, themes } from "../lib/theme.ts";
import { href } from "../routes.ts";
import { frame as t } from "../strings/frame.ts";
import { sections } from "./navigation.ts";
import { tasksOpen } from "./task-bar.tsx";

export type Command = {
	id: string;
	label: string;
	group: string;
	icon: Icon;
	keys?: string;
	/** Why it cannot be done now. */
	obstacle?: string | null;
	run: (route: (url: string) => void) => void;
};

const themeIcons = { system: SunMoon, light: Sun, dark: Moon } as const;

/** What cannot be done now is there as well, with its reason, as on the pages. */
export function commands(): Command[] {
	const go = (address: string) => (route: (url: string) => void) => route(address);
	const list: Command[] = sections.map(({ id, shortcut, address, icon, keys }) => ({
		id: `go-${id}`,
		label: shortcut,
		group: t.palette.goTo,
		icon,
		keys,
		run: go(address),
	}));
	const group = t.palette.actions;
	list.push(
		{
			id: "create-vm",
			label: t.shortcuts.createVm,
			group,
			icon: Plus,
			keys: "c",
			obstacle: obstacleTo("vmCreate"),
			run: go(href("vmCreate")),
		},
		{
			id: "add-image",
			label: t.addImage,
			group,
			icon: Upload,
			obstacle: obstacleTo("imageCreate"),
			run: go(`${href("images")}?add=upload`),
		},
		{
			id: "create-pool",
			label: t.createPool,
			group,
			icon: Plus,
			obstacle: obstacleTo("poolCreate"),
			run: go(href("poolCreate")),
		},
		{ id: "tasks", label: t.shortcuts.tasks, group, icon: ListChecks, keys: "t", run: toggleTasks },
		{ id: "account", label: t.changePassword, group, icon: KeyRound, run: go(href("account")) },
		...themes.map((theme) => ({
			id: `theme-${theme}`,
			label: t.themes[theme],
			group,
			icon: themeIcons[theme],
			run: () => setTheme(theme),
		})),
		{ id: "sign-out", label: t.signOut, group, icon: LogOut, run: signOutNow },
	);
	return list;
}

export const toggleTasks = (): void => {
	tasksOpen.value = !tasksOpen.peek();
};

export const signOutNow = (): void => {
	signOut().catch((error: unknown) => toastFailure(t.signOut, error));
};
