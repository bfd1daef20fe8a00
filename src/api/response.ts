/** What a handler answered, as a Response. Nothing of the API is cached by anybody. */
import { assert } from "../lib/assert.ts";
import type { Clock } from "../lib/clock.ts";
import { type AnyReply, isBinary, JsonText, type Route } from "./route.ts";
import { boundedDownload } from "./stall.ts";

export type ResponseOptions = {
	stale: boolean;
	clock: Clock;
	/** See `boundedDownload`. */
	watch: (onEnded: () => void) => () => void;
};

export function responseOf(route: Route, reply: AnyReply, options: ResponseOptions): Response {
	const { status, body, headers: given = {} } = reply;
	assert(status in route.responses, `${route.operationId} answered ${status}, which it does not define`);
	const spec = route.responses[status] ?? null;
	const headers = new Headers({ "cache-control": "no-store" });
	if (given.etag !== undefined) headers.set("etag", `"${given.etag}"`);
	if (given.location) headers.set("location", given.location);
	if (given.taskLocation) headers.set("task-location", given.taskLocation);
	if (given.setCookie) headers.set("set-cookie", given.setCookie);
	if (given.downloadName)
		headers.set("content-disposition", `attachment; filename="${given.downloadName.replace(/[^A-Za-z0-9._-]/g, "_")}"`);
	if (given.contentLength !== undefined) headers.set("content-length", String(given.contentLength));
	if (options.stale) headers.set("x-lqx-stale", "true");
	if (spec === null) return new Response(null, { status, headers });
	if (isBinary(spec)) {
		headers.set("content-type", spec.contentType);
		// The idle limit was taken off this connection: it is not used again.
		if (route.longLived) headers.set("connection", "close");
		const bounded = body instanceof ReadableStream && spec.contentType !== "text/event-stream";
		return new Response(bounded ? boundedDownload(body, options) : (body as BodyInit), { status, headers });
	}
	headers.set("content-type", "application/json");
	return new Response(body instanceof JsonText ? body.text : JSON.stringify(body), { status, headers });
}
