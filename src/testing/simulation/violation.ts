/** What a run found. `safety`: something happened that never may. `liveness`: something did not happen in time. */
export class Violation extends Error {
	override name = "Violation";
	readonly kind: "safety" | "liveness";

	constructor(kind: "safety" | "liveness", what: string) {
		super(what);
		this.kind = kind;
	}
}

export function unsafe(what: string): never {
	throw new Violation("safety", what);
}

/** Whatever a process throws is a finding. */
export function asViolation(error: unknown): Violation {
	if (error instanceof Violation) return error;
	return new Violation("safety", error instanceof Error ? (error.stack ?? error.message) : String(error));
}
