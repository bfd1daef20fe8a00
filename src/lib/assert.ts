/** Assertions that stay on in production: a broken invariant must stop the operation, not corrupt state. */

export class AssertionError extends Error {
	override name = "AssertionError";
}

/** `message`: as a function where it holds values and the code runs all the time: then it is only made when it is needed. */
export function assert(condition: unknown, message: string | (() => string)): asserts condition {
	if (!condition) throw new AssertionError(typeof message === "string" ? message : message());
}

/** Marks a branch that the type system proves unreachable. */
export function unreachable(value: never, what = "value"): never {
	throw new AssertionError(`unexpected ${what}: ${String(value)}`);
}

/** The value, or an AssertionError when it is null or undefined. */
export function present<T>(value: T | null | undefined, what: string): T {
	assert(value !== null && value !== undefined, `${what} is missing`);
	return value;
}
