/** Small values kept in the browser. Storage may be off or full: then the value simply is not kept. */

export function readStored<T>(area: "local" | "session", key: string, fallback: T): T {
	try {
		const text = areaOf(area).getItem(`lqx.${key}`);
		return text === null ? fallback : (JSON.parse(text) as T);
	} catch {
		return fallback;
	}
}

/** `undefined` removes the value. */
export function writeStored(area: "local" | "session", key: string, value: unknown): void {
	try {
		if (value === undefined) areaOf(area).removeItem(`lqx.${key}`);
		else areaOf(area).setItem(`lqx.${key}`, JSON.stringify(value));
	} catch {
		// Private windows may refuse; nothing depends on it.
	}
}

const areaOf = (area: "local" | "session"): Storage => (area === "local" ? localStorage : sessionStorage);
