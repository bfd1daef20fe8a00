/** The header: cluster, search, health, help, user. */
import { signal } from "@preact/signals";
import { CircleHelp, KeyRound, LogOut, Menu as MenuIcon, Moon, Search, Sun, SunMoon, User } from "lucide-preact";
import { useLocation } from "preact-iso";
import { cluster } from "../api/live/live.ts";
import { me } from "../api/session.ts";
import { IconButton } from "../components/button.tsx";
import { Kbd } from "../components/layout.tsx";
import { Menu } from "../components/menu.tsx";
import { setTheme, theme, themes } from "../lib/theme.ts";
import { href } from "../routes.ts";
import { common } from "../strings/common.ts";
import { frame as t } from "../strings/frame.ts";
import { health } from "./attention.ts";
import { signOutNow } from "./commands.ts";
import { paletteOpen } from "./palette.tsx";
import { helpOpen } from "./shortcuts-help.tsx";
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
				<span aria-hidden="true">
					<Kbd keys="Ctrl K" />
				</span>
			</button>
			<div class="header__end">
				<a href={href("overview")} class={`header__health header__health--${health.value}`} title={t.healthTitle(word)}>
					<span class="header__health-dot" aria-hidden="true" />
					<span class="header__health-word">{word}</span>
				</a>
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

export function Mark({ size = 22 }: { size?: number }) {
	return (
		<svg width={size} height={size} viewBox="0 0 32 32" class="mark" aria-hidden="true">
			<rect width="32" height="32" rx="7" class="mark__ground" />
			<path d="M9 8v16h14" class="mark__line" />
			<rect x="15.4" y="8.4" width="8.2" height="8.2" rx="2" class="mark__line mark__line--thin" />
		</svg>
	);
}
