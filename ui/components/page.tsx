/** The head of every page: icon, name, state, tags; the main action as a button, the rest in one menu; tabs. */
import { Ellipsis } from "lucide-preact";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { cluster } from "../api/live/live.ts";
import { common as t } from "../strings/common.ts";
import { Button } from "./button.tsx";
import type { Icon } from "./icons.ts";
import { type Action, Menu } from "./menu.tsx";
import { usePageActions } from "./page-actions.ts";
import "./page.css";

export type TabLink = { id: string; label: string; href: string; count?: number };

export type PageProps = {
	title: string;
	icon?: Icon;
	/** Above the title: where this belongs. */
	parent?: { label: string; href: string };
	badges?: ComponentChildren;
	/** Shown as buttons, the first one as the main one. */
	primary?: readonly (Omit<Action, "onSelect"> & { onSelect?: () => void; href?: string; quiet?: boolean })[];
	/** Behind the "more" button. */
	menu?: readonly Action[];
	tabs?: readonly TabLink[];
	currentTab?: string;
	tabsLabel?: string;
	/** The content brings its own scrolling and fills the window (lists, console). */
	fill?: boolean;
	children?: ComponentChildren;
};

export function Page(props: PageProps) {
	const { title, icon: IconOf, parent, badges, primary = [], menu = [], tabs, currentTab, fill, children } = props;
	const tabLabel = tabs?.find(({ id }) => id === currentTab)?.label;
	usePageTitle(tabLabel ? `${title}: ${tabLabel}` : title);
	// What is a link leads elsewhere: the palette knows the way there by itself.
	usePageActions(title, [
		...primary.flatMap(({ onSelect, ...action }) => (onSelect ? [{ ...action, onSelect }] : [])),
		...menu,
	]);
	return (
		<div class={`page${fill ? " page--fill" : ""}`}>
			<header class={`page__header${tabs ? " page__header--tabs" : ""}`}>
				<div class="page__titles">
					{parent && (
						<a class="page__parent" href={parent.href}>
							{parent.label}
						</a>
					)}
					<div class="page__title-row">
						{IconOf && <IconOf size={20} class="page__icon" aria-hidden="true" />}
						<h1 tabIndex={-1}>{title}</h1>
						{badges && <span class="page__badges">{badges}</span>}
					</div>
				</div>
				<div class="page__actions">
					{primary.map((action, index) => (
						<Button
							key={action.id}
							kind={action.danger ? "danger" : index === 0 && !action.quiet ? "primary" : "secondary"}
							obstacle={action.obstacle}
							icon={action.icon}
							href={action.href}
							onClick={action.onSelect}
						>
							{action.label}
						</Button>
					))}
					{menu.length > 0 && <Menu label={t.more} icon={Ellipsis} actions={menu} />}
				</div>
				{tabs && <Tabs tabs={tabs} current={currentTab} label={props.tabsLabel ?? title} />}
			</header>
			<div class="page__content">{children}</div>
		</div>
	);
}

export function Tabs({
	tabs,
	current,
	label,
}: {
	tabs: readonly TabLink[];
	current: string | undefined;
	label: string;
}) {
	const list = useRef<HTMLElement>(null);
	useEffect(() => {
		// In a narrow window the tabs scroll sideways.
		list.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
	}, [current]);
	return (
		<nav class="tabs" aria-label={label} ref={list}>
			{tabs.map((tab) => (
				<a key={tab.id} href={tab.href} class="tabs__tab" aria-current={tab.id === current ? "page" : undefined}>
					{tab.label}
					{tab.count !== undefined && tab.count > 0 && <span class="tabs__count">{tab.count}</span>}
				</a>
			))}
		</nav>
	);
}

/** "web-01 · demo-cluster": the browser's tabs tell pages and clusters apart. */
export function usePageTitle(title: string): void {
	const name = cluster.value?.name ?? t.product;
	useEffect(() => {
		document.title = `${title} · ${name}`;
	}, [title, name]);
}
