/**
 * Names that anybody may have given (files of others): what has no look of its own is written out, so that no name passes for
 * another one, or turns round what stands beside it. Pure.
 */

/** Controls; separators of lines and paragraphs; marks that turn the direction, join, or have no width. */
const unseen = /[\u0000-\u001f\u007f-\u00a0\u00ad\u061c\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]/g;
const named: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

export const visibleName = (name: string): string =>
	name
		.replace(unseen, (character) => named[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`)
		// Spaces at an end, or several: HTML shows one, or none.
		.replace(/^ | $| (?= )/g, "\u2423");
