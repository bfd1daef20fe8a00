/** Finds the credential that a request carries: Authorization: Bearer, or our cookie. Never a query parameter. */
import { type PresentedCredential, sessionCookie } from "../auth/service.ts";
import { AppError } from "../lib/errors.ts";

/** Null without any. Authorization goes before the cookie: who sends it does so on purpose. */
export function presentedCredential(headers: Headers): PresentedCredential | null {
	const authorization = headers.get("authorization");
	if (authorization !== null) {
		const secret = /^Bearer +([A-Za-z0-9_-]{1,128})$/i.exec(authorization)?.[1];
		if (secret === undefined) throw new AppError("unauthenticated", "Authorization must be: Bearer TOKEN.");
		return { secret, via: "bearer" };
	}
	const secret = cookieValue(headers.get("cookie"), sessionCookie);
	return secret === null ? null : { secret, via: "cookie" };
}

/** The value of the one cookie of this name; none, or an ambiguous one, is null. */
function cookieValue(header: string | null, name: string): string | null {
	if (header === null || header.length > 16_384) return null;
	const values = header
		.split(";")
		.map((part) => part.trim())
		.filter((part) => part.startsWith(`${name}=`))
		.map((part) => part.slice(name.length + 1));
	return values.length === 1 ? (values[0] ?? null) : null;
}
