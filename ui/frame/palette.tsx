/**
 * Search and commands (Ctrl-K or /): every object by name, every section, what the page and the VMs can do.
 * A combobox with a list (WAI-ARIA): arrows choose, Enter opens or does it, with the same confirmation as elsewhere.
 */
import { signal } from "@preact/signals";
import { CornerDownLeft, Search } from "lucide-preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { live } from "../api/live/live.ts";
import { writeObstacle } from "../api/staleness.ts";
import { Kbd } from "../components/layout.tsx";
import { pageActions } from "../components/page-actions.ts";
import { common } from "../strings/common.ts";
import { frame as t } from "../strings/frame.ts";
import { commands } from "./commands.ts";
import { type Entry, findEntries, searchedKinds } from "./palette-entries.ts";
import "./palette.css";

export const paletteOpen = signal(false);

export function Palette() {
	if (!paletteOpen.value) return null;
	return <PaletteDialog />;
}

function PaletteDialog() {
	const { route } = useLocation();
	const dialog = useRef<HTMLDialogElement>(null);
	const [query, setQuery] = useState("");
	const [chosenAt, setAt] = useState<number | null>(null);
	const page = pageActions.value;
	const blocked = writeObstacle();
	const entries = useMemo(
		() => findEntries(query.trim(), { commands: commands(), page, route }),
		[query, page, blocked, route],
	);
	// Without a query Enter does the first that can be done; with one the first is what was asked for, or nothing.
	const at = chosenAt ?? (query.trim() === "" ? entries.findIndex(({ obstacle }) => obstacle === null) : 0);
	const close = () => {
		paletteOpen.value = false;
	};
	useEffect(() => {
		for (const kind of searchedKinds) void live[kind].ensure();
		const before = document.activeElement;
		const element = dialog.current;
		element?.showModal();
		return () => {
			element?.close();
			if (before instanceof HTMLElement && before.isConnected) before.focus();
		};
	}, []);
	const choose = (entry: Entry | undefined) => {
		if (!entry || entry.obstacle !== null) return;
		close();
		// After the dialog has given focus back.
		setTimeout(entry.run);
	};
	const move = (to: number) => {
		const next = (to + entries.length) % Math.max(1, entries.length);
		setAt(next);
		dialog.current?.querySelector(`[data-at="${next}"]`)?.scrollIntoView({ block: "nearest" });
	};
	return (
		<dialog
			ref={dialog}
			class="palette"
			aria-label={t.palette.title}
			onCancel={close}
			onClick={(event) => {
				if (event.target === dialog.current) close();
			}}
			onKeyDown={(event) => {
				if (event.key === "ArrowDown") move(at + 1);
				else if (event.key === "ArrowUp") move(at - 1);
				else if (event.key === "Enter") choose(entries[at]);
				else if (event.key === "Escape") close();
				else return;
				event.preventDefault();
				event.stopPropagation();
			}}
		>
			<div class="palette__search">
				<Search size={16} aria-hidden="true" />
				<input
					role="combobox"
					aria-expanded="true"
					aria-controls="palette-list"
					aria-activedescendant={entries[at] ? `palette-${at}` : undefined}
					aria-label={t.searchLabel}
					placeholder={t.searchPlaceholder}
					value={query}
					autoComplete="off"
					spellcheck={false}
					onInput={(event) => {
						setQuery(event.currentTarget.value);
						setAt(null);
					}}
				/>
			</div>
			<div id="palette-list" role="listbox" aria-label={t.palette.title} class="palette__list">
				{entries.map((entry, index) => {
					const IconOf = entry.icon;
					return (
						// biome-ignore lint/a11y/useKeyWithClickEvents: the combobox has the keyboard
						<div
							key={entry.id}
							id={`palette-${index}`}
							role="option"
							tabIndex={-1}
							aria-selected={index === at}
							aria-disabled={entry.obstacle !== null || undefined}
							data-at={index}
							class="palette__entry"
							onClick={() => choose(entry)}
							onMouseMove={() => setAt(index)}
						>
							<span class="palette__icon">{IconOf && <IconOf size={16} aria-hidden="true" />}</span>
							<span class="palette__label">
								<span class="truncate">{entry.label}</span>
								{entry.obstacle !== null && <span class="palette__obstacle">{entry.obstacle}</span>}
							</span>
							<span class="palette__note">{entry.keys ? <Kbd keys={entry.keys} /> : entry.note}</span>
						</div>
					);
				})}
			</div>
			{entries.length === 0 && <p class="palette__none">{t.palette.none}</p>}
			<footer class="palette__footer">
				<span class="visually-hidden" role="status">
					{t.palette.results(entries.length)}
				</span>
				<span>
					<CornerDownLeft size={12} aria-hidden="true" /> {t.palette.hint}
				</span>
				<span>{common.product}</span>
			</footer>
		</dialog>
	);
}
