/** X11 keysyms of the keys that tests press (X.Org keysymdef.h): Latin-1 characters are their own keysym. */
import { AppError } from "../../lib/errors.ts";

export const keysyms = {
	backspace: 0xff08,
	tab: 0xff09,
	return: 0xff0d,
	escape: 0xff1b,
	delete: 0xffff,
	home: 0xff50,
	left: 0xff51,
	up: 0xff52,
	right: 0xff53,
	down: 0xff54,
	end: 0xff57,
	shift: 0xffe1,
	control: 0xffe3,
	alt: 0xffe9,
	f1: 0xffbe,
	f2: 0xffbf,
} as const;

/** The keysym of one character. Fails with `invalid` for what is not on a US keyboard. */
export function keysymOf(character: string): number {
	if (character === "\n") return keysyms.return;
	if (character === "\t") return keysyms.tab;
	const code = character.codePointAt(0) ?? 0;
	if (character.length !== 1 || code < 0x20 || code > 0x7e)
		throw new AppError("invalid", `There is no key for ${JSON.stringify(character)}.`);
	return code;
}

export const isShiftedOnUsKeyboard = (character: string): boolean => /^[A-Z~!@#$%^&*()_+{}|:"<>?]$/.test(character);
