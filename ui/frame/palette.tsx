/**
 * Search and commands (Ctrl-K or /): every object by name, every section, and the actions that the frame knows.
 * A combobox with a list (WAI-ARIA): arrows choose, Enter opens.
 */
import { signal } from "@preact/signals";
import { CornerDownLeft, Search } from "lucide-preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { live } from "../api/live/live.ts";
import type { LiveKind } from "../api/types.ts";
import type { Icon } from "../components/icons.ts";
import { resourceIcons } from "../components/icons.ts";
import { Kbd } from "../components/layout.tsx";
import { resourceHref } from "../components/resource-link.tsx";
import { matchScore } from "../lib/fuzzy.ts";
import { common } from "../strings/common.ts";
import { frame as t } from "../strings/frame.ts";
import { type Command, commands } from "./commands.ts";
import "./palette.css";

export const paletteOpen = signal(false);

type Entry = {
	id: string;
	label: string;
	note: string;
	icon: Icon;
	keys?: string;
	run: (route: (url: string) => void) => void;
};

const searched: readonly LiveKind[] = ["vm", "node", "image", "volume", "pool", "network"];
const mostShown = 30;

/** Objects and commands that fit, best first; commands first while nothing is typed. */
function find(query: string, all: readonly Command[]): Entry[] {
	const found: { entry: Entry; score: number }[] = [];
	for (const command of all) {
		const score = query === "" ? 0 : matchScore(query, command.label);
		if (score === null) continue;
		const { id, label, icon, keys, run } = command;
		found.push({ entry: { id, label, note: command.group, icon, run, ...(keys ? { keys } : {}) }, score: score + 5 });
	}
	if (query !== "") {
		for (const kind of searched) {
			for (const object of live[kind].items.peek() as readonly { id: string; name: string }[]) {
				const score = matchScore(query, object.name);
				const address = resourceHref(kind, object.id);
				if (score === null || address === null) continue;
				const entry = { id: object.id, label: object.name, note: kindWords[kind] ?? kind, icon: resourceIcons[kind] };
				found.push({ entry: { ...entry, run: (route) => route(address) }, score });
			}
		}
	}
	return found
		.sort((a, b) => b.score - a.score)
		.slice(0, mostShown)
		.map(({ entry }) => entry);
}

const kindWords: Partial<Record<LiveKind, string>> = t.kinds;

export function Palette() {
	if (!paletteOpen.value) return null;
	return <PaletteDialog />;
}

function PaletteDialog() {
	const { route } = useLocation();
	const dialog = useRef<HTMLDialogElement>(null);
	const [query, setQuery] = useState("");
	const [at, setAt] = useState(0);
	const entries = useMemo(() => find(query.trim(), commands()), [query]);
	const close = () => {
		paletteOpen.value = false;
	};
	useEffect(() => {
		for (const kind of searched) void live[kind].ensure();
		const before = document.activeElement;
		const element = dialog.current;
		element?.showModal();
		return () => {
			element?.close();
			if (before instanceof HTMLElement && before.isConnected) before.focus();
		};
	}, []);
	const choose = (entry: Entry | undefined) => {
		if (!entry) return;
		close();
		// After the dialog has given focus back.
		setTimeout(() => entry.run(route));
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
						setAt(0);
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
							data-at={index}
							class="palette__entry"
							onClick={() => choose(entry)}
							onMouseMove={() => setAt(index)}
						>
							<IconOf size={16} aria-hidden="true" />
							<span class="truncate">{entry.label}</span>
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
