/**
 * Text of others on a terminal. Names, descriptions, addresses, logs and error messages come from guests and users, and
 * a terminal obeys what is in them: control characters (ECMA-48) and characters that turn the direction of writing
 * are therefore shown, never sent.
 */

/** C0 and C1 controls, DEL; line and paragraph separators; marks that change direction or join what is not joined. */
const unsafe = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const unsafeInJson = /[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

const named: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\u001b": "\\e" };
const codeUnit = (character: string): string => character.charCodeAt(0).toString(16);

/** One line, harmless: each unsafe character as its escape (`\e[31m`). */
export const visible = (text: string): string =>
	text.toWellFormed().replace(unsafe, (character) => named[character] ?? `\\u${codeUnit(character).padStart(4, "0")}`);

/** Several lines, harmless: line ends and tabs stay. */
export const visibleLines = (text: string): string =>
	text
		.replaceAll("\r\n", "\n")
		.split(/(\n|\t)/)
		.map((part) => (part === "\n" || part === "\t" ? part : visible(part)))
		.join("");

export const isUnsafe = (text: string): boolean => text.search(unsafe) >= 0;

/** JSON with everything escaped that JSON.stringify lets through and a terminal may obey. Still the same JSON. */
export const escapeJson = (json: string): string =>
	json.replace(unsafeInJson, (character) => `\\u${codeUnit(character).padStart(4, "0")}`);

/** Columns that it takes on a terminal; wide characters take two. */
export const textWidth = (text: string): number => Bun.stringWidth(text);

/** Cut to `columns`, with an ellipsis when something was cut. */
export function fit(text: string, columns: number): string {
	if (textWidth(text) <= columns) return text;
	let kept = "";
	for (const { segment } of new Intl.Segmenter().segment(text)) {
		if (textWidth(kept + segment) > columns - 1) break;
		kept += segment;
	}
	return `${kept}…`;
}
