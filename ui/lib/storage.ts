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

/** All whose key begins with `prefix`, but those that begin with `except`. */
export function removeStored(area: "local" | "session", prefix: string, except?: string): void {
	try {
		const storage = areaOf(area);
		const keys = Array.from({ length: storage.length }, (_, index) => storage.key(index) ?? "");
		for (const key of keys) {
			const kept = except !== undefined && key.startsWith(`lqx.${except}`);
			if (key.startsWith(`lqx.${prefix}`) && !kept) storage.removeItem(key);
		}
	} catch {
		// Then nothing was kept either.
	}
}

const areaOf = (area: "local" | "session"): Storage => (area === "local" ? localStorage : sessionStorage);
