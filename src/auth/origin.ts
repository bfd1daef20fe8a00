/**
 * Where a browser's request comes from. Cookies are sent by the browser unasked, so whoever authenticates by cookie
 * must show that our own page asked: Origin (RFC 6454) equal to the address that was asked, or, where browsers leave
 * it out, Sec-Fetch-Site (Fetch Metadata) same-origin. Custom headers come on top: they cannot be set across origins
 * without a preflight that we never answer.
 */
import { AppError } from "../lib/errors.ts";

export const csrfHeader = "x-lqx-csrf";

/** Is the Origin header there, and the one that the request was sent to? `null` and foreign origins are not. */
export function hasOwnOrigin(headers: Headers, secure: boolean): boolean {
	const origin = headers.get("origin");
	const host = headers.get("host");
	if (origin === null || host === null) return false;
	return origin.toLowerCase() === `${secure ? "https" : "http"}://${host.toLowerCase()}`;
}

/** The same, for a request as the server got it. */
export const isOwnOrigin = (request: Request): boolean =>
	hasOwnOrigin(request.headers, request.url.startsWith("https:"));

/** Throws `forbidden` when a request that is authenticated by cookie could come from another site. */
export function checkCookieRequest(method: string, headers: Headers, secure: boolean): void {
	const site = headers.get("sec-fetch-site");
	if (site !== null && site !== "same-origin" && site !== "none") refuse();
	if (method === "GET" || method === "HEAD") {
		if (headers.has("origin") && !hasOwnOrigin(headers, secure)) refuse();
		return;
	}
	if (headers.get(csrfHeader) !== "1") refuse(`The header ${csrfHeader}: 1 is missing.`);
	const fromUs = headers.has("origin") ? hasOwnOrigin(headers, secure) : site === "same-origin";
	if (!fromUs) refuse();
}

function refuse(detail = "The request does not come from this server's own pages."): never {
	throw new AppError("forbidden", detail);
}
