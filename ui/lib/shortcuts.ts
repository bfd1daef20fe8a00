/**
 * Keyboard shortcuts: single keys, and sequences such as `g v`. They are off while one types, while a dialog is open,
 * and while a console has the keyboard.
 */
export type Shortcut = { keys: string; label: string; run: () => void };

const sequenceLimitMs = 1200;

/** Listens until the returned function is called. */
export function listenForShortcuts(shortcuts: () => readonly Shortcut[]): () => void {
	let pending = "";
	let pendingAt = 0;
	const onKeyDown = (event: KeyboardEvent) => {
		if (event.defaultPrevented || event.altKey || isTyping(event.target)) return;
		const withControl = event.ctrlKey || event.metaKey;
		const key = withControl ? `Ctrl-${event.key.toUpperCase()}` : event.key;
		if (withControl && event.shiftKey) return;
		if (document.querySelector("dialog[open]")) return;
		const fresh = event.timeStamp - pendingAt > sequenceLimitMs;
		const sequence = pending !== "" && !fresh ? `${pending} ${key}` : key;
		const found = match(shortcuts(), sequence) ?? match(shortcuts(), key);
		pending = "";
		if (found) {
			event.preventDefault();
			found.run();
		} else if (shortcuts().some(({ keys }) => keys.startsWith(`${key} `))) {
			pending = key;
			pendingAt = event.timeStamp;
		}
	};
	addEventListener("keydown", onKeyDown);
	return () => removeEventListener("keydown", onKeyDown);
}

const match = (shortcuts: readonly Shortcut[], keys: string): Shortcut | undefined =>
	shortcuts.find((shortcut) => shortcut.keys === keys);

function isTyping(target: EventTarget | null): boolean {
	if (!(target instanceof HTMLElement)) return false;
	if (target.closest("[data-captures-keys]")) return true;
	if (target instanceof HTMLInputElement) return !["checkbox", "radio", "button"].includes(target.type);
	return target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}
