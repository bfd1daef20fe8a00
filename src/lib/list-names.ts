/** Names in a sentence: all that a person can act on at once, and how many more there are. */

const maxNames = 10;

/** "a", "a and b", "a, b and c"; of more than ten the first ten, "and 7 more". */
export function listNames(names: readonly string[]): string {
	const shown = names.slice(0, maxNames);
	const more = names.length - shown.length;
	const last = more > 0 ? `${more} more` : shown.pop();
	if (last === undefined) return "";
	return shown.length === 0 ? last : `${shown.join(", ")} and ${last}`;
}

/** "The volume a is", "The volumes a and b are", "The volume a and the images b and c are"; empty lists are left out. */
export function subjectOf(things: readonly { noun: string; names: readonly string[] }[]): string {
	const named = things.filter(({ names }) => names.length > 0);
	const parts = named.map(({ noun, names }) => `the ${noun}${names.length === 1 ? "" : "s"} ${listNames(names)}`);
	const isOne = named.length === 1 && named[0]?.names.length === 1;
	const text = `${parts.join(", and ")} ${isOne ? "is" : "are"}`;
	return text.charAt(0).toUpperCase() + text.slice(1);
}
