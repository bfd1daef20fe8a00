/** Header, side bar, page, task bar: what stays while pages come and go. */
import { X } from "lucide-preact";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { useLocation } from "preact-iso";
import { staleness } from "../api/staleness.ts";
import { IconButton } from "../components/button.tsx";
import { ConfirmHost } from "../components/confirm.tsx";
import { isNarrow } from "../lib/media.ts";
import { pageShown } from "../lib/scroll-memory.ts";
import { listenForShortcuts, type Shortcut } from "../lib/shortcuts.ts";
import { MoveHost } from "../pages/vm/moving.tsx";
import { TakeHost } from "../pages/vm/snapshots/taking.tsx";
import { frame as t } from "../strings/frame.ts";
import { ensureFrameData } from "./attention.ts";
import { Banners } from "./banners.tsx";
import { commands } from "./commands.ts";
import { Header, navigationOpen } from "./header.tsx";
import { Palette, paletteOpen } from "./palette.tsx";
import { helpOpen, ShortcutsHelp } from "./shortcuts-help.tsx";
import { SideBar } from "./side-bar.tsx";
import { TaskBar } from "./task-bar.tsx";
import "./frame.css";

export function Frame({ children }: { children: ComponentChildren }) {
	const { path, route } = useLocation();
	useEffect(ensureFrameData, []);
	useEffect(() => listenForShortcuts(() => shortcuts(route)), [route]);
	useEffect(() => {
		navigationOpen.value = false;
		pageShown();
	}, [path]);
	return (
		<div class={`frame${staleness.value ? " frame--stale" : ""}`}>
			<a class="frame__skip" href="#main">
				{t.skip}
			</a>
			<Header />
			<Banners />
			<div class="frame__middle">
				{isNarrow.value ? navigationOpen.value && <NavigationDrawer /> : <SideBarColumn />}
				<main id="main" class="frame__main" tabIndex={-1}>
					{children}
				</main>
			</div>
			<TaskBar />
			<Palette />
			<ShortcutsHelp />
			<ConfirmHost />
			<MoveHost />
			<TakeHost />
		</div>
	);
}

const SideBarColumn = () => (
	<div class="frame__side">
		<SideBar />
	</div>
);

function NavigationDrawer() {
	const dialog = useRef<HTMLDialogElement>(null);
	const close = () => {
		navigationOpen.value = false;
	};
	useEffect(() => {
		dialog.current?.showModal();
	}, []);
	return (
		// biome-ignore lint/a11y/useKeyWithClickEvents: a click beside it closes; Escape does it by keyboard
		<dialog
			ref={dialog}
			class="frame__drawer"
			aria-label={t.navigation}
			onClose={close}
			onClick={(event) => {
				if (event.target === dialog.current) close();
			}}
		>
			<div class="frame__drawer-head">
				<IconButton icon={X} label={t.closeMenu} onClick={close} />
			</div>
			<SideBar />
		</dialog>
	);
}

function shortcuts(route: (url: string) => void): Shortcut[] {
	const openPalette = () => {
		paletteOpen.value = true;
	};
	return [
		{ keys: "Ctrl-K", label: t.shortcuts.search, run: openPalette },
		{
			keys: "/",
			label: t.shortcuts.searchPage,
			run: () => {
				const box = document.querySelector<HTMLInputElement>("#main [data-search]");
				if (box) box.select();
				else openPalette();
			},
		},
		{
			keys: "?",
			label: t.shortcuts.help,
			run: () => {
				helpOpen.value = true;
			},
		},
		...commands().flatMap(({ keys, label, obstacle, run }) =>
			keys && !obstacle ? [{ keys, label, run: () => run(route) }] : [],
		),
	];
}
