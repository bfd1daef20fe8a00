/** The header: cluster, search, health, tasks, help, user. */
import { signal } from "@preact/signals";
import { CircleHelp, KeyRound, ListChecks, LogOut, MenuIcon, Moon, Search, Sun, SunMoon, User } from "lucide-preact";
import { useLocation } from "preact-iso";
import { cluster } from "../api/live/live.ts";
import { me } from "../api/session.ts";
import { runningTasks } from "../api/tasks.ts";
import { IconButton } from "../components/button.tsx";
import { Kbd } from "../components/layout.tsx";
import { Menu } from "../components/menu.tsx";
import { searchBoxes } from "../components/table/search-box.tsx";
import { tooltipProps } from "../components/tooltip.tsx";
import { setTheme, theme, themes } from "../lib/theme.ts";
import { href } from "../routes.ts";
import { common } from "../strings/common.ts";
import { frame as t } from "../strings/frame.ts";
import { tasks as tasksText } from "../strings/tasks.ts";
import { health } from "./attention.ts";
import { signOutNow, toggleTasks } from "./commands.ts";
import { paletteOpen } from "./palette.tsx";
import { helpOpen } from "./shortcuts-help.tsx";
import { StaleAge } from "./stale-age.tsx";
import { tasksOpen } from "./task-bar.tsx";
import "./header.css";

export const navigationOpen = signal(false);

const themeIcons = { system: SunMoon, light: Sun, dark: Moon } as const;

export function Header() {
	const { route } = useLocation();
	const name = me.value?.requester.name ?? "";
	const word = t.health[health.value];
	return (
		<header class="header">
			<IconButton
				icon={MenuIcon}
				label={navigationOpen.value ? t.closeMenu : t.menu}
				class="header__menu"
				expanded={navigationOpen.value}
				onClick={() => {
					navigationOpen.value = !navigationOpen.value;
				}}
			/>
			<a href={href("overview")} class="header__brand">
				<Mark />
				<span class="truncate">{cluster.value?.name ?? common.product}</span>
			</a>
			<button
				type="button"
				class="header__search"
				onClick={() => {
					paletteOpen.value = true;
				}}
			>
				<Search size={15} aria-hidden="true" />
				<span class="header__search-text">{t.searchPlaceholder}</span>
				<span class="header__search-keys" aria-hidden="true">
					{/* On a page with a list, "/" leads to the list's own search box, which says so. */}
					{searchBoxes.value === 0 && <Kbd keys="/" />}
					<Kbd keys="Ctrl K" />
				</span>
			</button>
			<div class="header__end">
				<a href={href("overview")} class={`header__health header__health--${health.value}`} title={t.healthTitle(word)}>
					<span class="header__health-dot" aria-hidden="true" />
					<span class="header__health-word">
						{word} <StaleAge />
					</span>
				</a>
				<TasksButton />
				<IconButton
					icon={CircleHelp}
					label={t.help}
					class="header__help"
					onClick={() => {
						helpOpen.value = true;
					}}
				/>
				<Menu
					label={t.user(name)}
					text={name}
					icon={User}
					kind="ghost"
					class="header__user"
					actions={[
						{ id: "account", label: t.account, icon: KeyRound, onSelect: () => route(href("account")) },
						...themes.map((one, index) => ({
							id: one,
							label: t.themes[one],
							icon: themeIcons[one],
							checked: theme.value === one,
							divided: index === 0,
							onSelect: () => setTheme(one),
						})),
						{ id: "sign-out", label: t.signOut, icon: LogOut, divided: true, onSelect: signOutNow },
					]}
				/>
			</div>
		</header>
	);
}

function TasksButton() {
	const count = runningTasks.value.length;
	const label = tasksText.inHeader(count);
	return (
		<button
			type="button"
			class="button button--ghost header__tasks"
			aria-label={label}
			aria-expanded={tasksOpen.value}
			aria-controls="task-drawer"
			onClick={toggleTasks}
			{...tooltipProps(label)}
		>
			<ListChecks size={16} aria-hidden="true" />
			<span class="header__tasks-word">{tasksText.title}</span>
			{count > 0 && (
				<span class="header__tasks-count">
					<span class="header__tasks-word">(</span>
					{count}
					<span class="header__tasks-word"> {tasksText.runningWord})</span>
				</span>
			)}
		</button>
	);
}

export function Mark({ size = 22 }: { size?: number }) {
	return (
		<svg width={size} height={size} viewBox="0 0 32 32" class="mark" aria-hidden="true">
			<rect width="32" height="32" rx="7" class="mark__ground" />
			<path d="M9 8v16h14" class="mark__line" />
			<rect x="15.4" y="8.4" width="8.2" height="8.2" rx="2" class="mark__line mark__line--thin" />
		</svg>
	);
}
