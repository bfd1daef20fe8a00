/** Matching for the command palette and search boxes. Pure. */

/**
 * How well `query` fits `text`: null when it does not, else higher is better. Every word of the query must be found;
 * a match at the start of the text beats one at the start of a word, which beats one inside a word.
 */
export function matchScore(query: string, text: string): number | null {
	const haystack = text.toLowerCase();
	let score = 0;
	for (const word of query.toLowerCase().split(/\s+/).filter(Boolean)) {
		const at = haystack.indexOf(word);
		if (at < 0) return null;
		if (haystack === word) score += 100;
		else if (at === 0) score += 60;
		else if (/[^a-z0-9]/.test(haystack[at - 1] ?? "")) score += 40;
		else score += 10;
	}
	return score - text.length / 100;
}

/** The best `limit` of `items`, best first; equal ones stay in their order. */
export function bestMatches<T>(query: string, items: readonly T[], textOf: (item: T) => string, limit: number): T[] {
	const scored: { item: T; score: number }[] = [];
	for (const item of items) {
		const score = matchScore(query, textOf(item));
		if (score !== null) scored.push({ item, score });
	}
	return scored
		.sort((a, b) => b.score - a.score)
		.slice(0, limit)
		.map(({ item }) => item);
}
