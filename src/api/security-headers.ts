/** Headers that every answer carries. The policy knows no inline script or style and no foreign origin. */
const contentSecurityPolicy = [
	"default-src 'none'",
	"script-src 'self'",
	"style-src 'self'",
	"img-src 'self' data: blob:",
	"font-src 'self'",
	"connect-src 'self'",
	"worker-src 'self'",
	"manifest-src 'self'",
	"base-uri 'none'",
	"form-action 'self'",
	"frame-ancestors 'none'",
].join("; ");

const always: Record<string, string> = {
	"content-security-policy": contentSecurityPolicy,
	"x-content-type-options": "nosniff",
	"x-frame-options": "DENY",
	"referrer-policy": "no-referrer",
	"cross-origin-opener-policy": "same-origin",
	"cross-origin-resource-policy": "same-origin",
	"permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
};

/** `secure`: over TLS; a year of HSTS then, for this host alone. */
export function addSecurityHeaders(response: Response, secure: boolean): Response {
	for (const [name, value] of Object.entries(always)) response.headers.set(name, value);
	if (secure) response.headers.set("strict-transport-security", "max-age=31536000");
	return response;
}
