/** Order of event ids, "<applied index>.<position>" (src/model/event.ts). */

/** Negative when `a` came before `b`, 0 when equal, positive after. An id that is no id comes first. */
export function compareEventIds(a: string, b: string): number {
	const [aIndex, aPosition] = parts(a);
	const [bIndex, bPosition] = parts(b);
	return aIndex - bIndex || aPosition - bPosition;
}

function parts(id: string): [number, number] {
	const match = /^(\d+)\.(\d+)$/.exec(id);
	return match ? [Number(match[1]), Number(match[2])] : [-1, -1];
}
