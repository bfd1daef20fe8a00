/**
 * On-screen keyboards name no keys: they change a text. What they did to it is read as keys here. The text begins with a
 * filler, so that there is something to delete. Pure.
 */
import { type Key, keys, typeText } from "./keys.ts";

export const filler = "_".repeat(64);

/** What was done to the text: so many characters taken from its end, then these typed. */
export function textChange(before: string, after: string): { deleted: number; typed: string } {
	let same = 0;
	while (same < before.length && same < after.length && before[same] === after[same]) same += 1;
	// Not between the halves of a surrogate pair.
	const half = before.charCodeAt(same - 1);
	if (same > 0 && half >= 0xd800 && half <= 0xdbff) same -= 1;
	return { deleted: [...before.slice(same)].length, typed: after.slice(same) };
}

/** Each entry is pressed together, in order. Characters that a US keyboard lacks go by their keysym alone. */
export function keysOfChange({ deleted, typed }: { deleted: number; typed: string }): Key[][] {
	const strokes = Array.from({ length: deleted }, () => [keys.backspace as Key]);
	for (const character of typed) {
		const [stroke] = typeText(character).strokes;
		if (stroke) strokes.push(stroke.shift ? [keys.shift, stroke] : [stroke]);
		else strokes.push([{ keysym: keysymOf(character), code: "" }]);
	}
	return strokes;
}

/** X11: Latin-1 as it is, everything else of Unicode behind 0x01000000. */
function keysymOf(character: string): number {
	const point = character.codePointAt(0) ?? 0;
	return point < 0x100 ? point : 0x0100_0000 + point;
}
