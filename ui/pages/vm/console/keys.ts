/**
 * Texts and combinations as keys for VNC. QEMU takes the position of a key (`code`), so what a key types is decided by
 * the guest's layout: texts are typed as on a US keyboard. Pure.
 */
export type Key = { keysym: number; code: string };
export type Stroke = Key & { shift: boolean };

export const keys = {
	shift: { keysym: 0xffe1, code: "ShiftLeft" },
	control: { keysym: 0xffe3, code: "ControlLeft" },
	alt: { keysym: 0xffe9, code: "AltLeft" },
	meta: { keysym: 0xffeb, code: "MetaLeft" },
	delete: { keysym: 0xffff, code: "Delete" },
	backspace: { keysym: 0xff08, code: "Backspace" },
	tab: { keysym: 0xff09, code: "Tab" },
	escape: { keysym: 0xff1b, code: "Escape" },
	enter: { keysym: 0xff0d, code: "Enter" },
	left: { keysym: 0xff51, code: "ArrowLeft" },
	up: { keysym: 0xff52, code: "ArrowUp" },
	right: { keysym: 0xff53, code: "ArrowRight" },
	down: { keysym: 0xff54, code: "ArrowDown" },
	printScreen: { keysym: 0xff61, code: "PrintScreen" },
	c: { keysym: 0x63, code: "KeyC" },
	r: { keysym: 0x72, code: "KeyR" },
	l: { keysym: 0x6c, code: "KeyL" },
} satisfies Record<string, Key>;

const functionKey = (number: number): Key => ({ keysym: 0xffbd + number, code: `F${number}` });

/** Held down in this order, released in the reverse one. */
export const combinations: readonly { id: string; label: string; keys: readonly Key[] }[] = [
	{ id: "ctrl-alt-del", label: "Ctrl-Alt-Del", keys: [keys.control, keys.alt, keys.delete] },
	{ id: "ctrl-alt-backspace", label: "Ctrl-Alt-Backspace", keys: [keys.control, keys.alt, keys.backspace] },
	{ id: "alt-tab", label: "Alt-Tab", keys: [keys.alt, keys.tab] },
	{ id: "alt-f4", label: "Alt-F4", keys: [keys.alt, functionKey(4)] },
	{ id: "super", label: "Super (Windows key)", keys: [keys.meta] },
	{ id: "super-r", label: "Super-R", keys: [keys.meta, keys.r] },
	{ id: "super-l", label: "Super-L", keys: [keys.meta, keys.l] },
	{ id: "ctrl-c", label: "Ctrl-C", keys: [keys.control, keys.c] },
	{ id: "escape", label: "Escape", keys: [keys.escape] },
	{ id: "print-screen", label: "Print Screen", keys: [keys.printScreen] },
	...[1, 2, 3, 4, 5, 6, 7, 8].map((number) => ({
		id: `ctrl-alt-f${number}`,
		label: `Ctrl-Alt-F${number}`,
		keys: [keys.control, keys.alt, functionKey(number)],
	})),
];

/** Each pair: the key without and with Shift on a US keyboard. */
const punctuation: readonly [code: string, plain: string, shifted: string][] = [
	["Backquote", "`", "~"],
	["Minus", "-", "_"],
	["Equal", "=", "+"],
	["BracketLeft", "[", "{"],
	["BracketRight", "]", "}"],
	["Backslash", "\\", "|"],
	["Semicolon", ";", ":"],
	["Quote", "'", '"'],
	["Comma", ",", "<"],
	["Period", ".", ">"],
	["Slash", "/", "?"],
	["Digit1", "1", "!"],
	["Digit2", "2", "@"],
	["Digit3", "3", "#"],
	["Digit4", "4", "$"],
	["Digit5", "5", "%"],
	["Digit6", "6", "^"],
	["Digit7", "7", "&"],
	["Digit8", "8", "*"],
	["Digit9", "9", "("],
	["Digit0", "0", ")"],
	["Space", " ", " "],
];

const strokes = new Map<string, Stroke>();
for (const [code, plain, shifted] of punctuation) {
	strokes.set(shifted, { code, keysym: shifted.charCodeAt(0), shift: true });
	strokes.set(plain, { code, keysym: plain.charCodeAt(0), shift: false });
}
for (const letter of "abcdefghijklmnopqrstuvwxyz") {
	const upper = letter.toUpperCase();
	strokes.set(letter, { code: `Key${upper}`, keysym: letter.charCodeAt(0), shift: false });
	strokes.set(upper, { code: `Key${upper}`, keysym: upper.charCodeAt(0), shift: true });
}
strokes.set("\n", { ...keys.enter, shift: false });
strokes.set("\t", { ...keys.tab, shift: false });

/** The keys that type this text; `untypable` are the characters that a US keyboard does not have, each once. */
export function typeText(text: string): { strokes: Stroke[]; untypable: string[] } {
	const typed: Stroke[] = [];
	const untypable = new Set<string>();
	for (const character of text.replaceAll("\r\n", "\n").replaceAll("\r", "\n")) {
		const stroke = strokes.get(character);
		if (stroke) typed.push(stroke);
		else untypable.add(character);
	}
	return { strokes: typed, untypable: [...untypable] };
}
