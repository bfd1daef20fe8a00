/** The list of all keyboard shortcuts (?). */
import { signal } from "@preact/signals";
import { Dialog } from "../components/dialog.tsx";
import { Kbd } from "../components/layout.tsx";
import { frame as t } from "../strings/frame.ts";
import { sections } from "./navigation.ts";
import "./shortcuts-help.css";

export const helpOpen = signal(false);

export function ShortcutsHelp() {
	if (!helpOpen.value) return null;
	const rows: [keys: string, label: string][] = [
		["Ctrl K", t.shortcuts.search],
		["/", t.shortcuts.searchPage],
		...sections.map(({ keys, shortcut }): [string, string] => [keys, shortcut]),
		["c", t.shortcuts.createVm],
		["t", t.shortcuts.tasks],
		["?", t.shortcuts.help],
		["Esc", t.shortcuts.escape],
		["Ctrl Alt Esc", t.shortcuts.leaveConsole],
	];
	return (
		<Dialog
			title={t.shortcuts.title}
			onClose={() => {
				helpOpen.value = false;
			}}
		>
			<dl class="shortcuts-help">
				{rows.map(([keys, label]) => (
					<div key={keys}>
						<dt>
							<Kbd keys={keys} />
						</dt>
						<dd>{label}</dd>
					</div>
				))}
			</dl>
		</Dialog>
	);
}
