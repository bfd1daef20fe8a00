/** The files of the UI, as the server needs them; whoever builds the program embeds them. */
export type UiAsset = {
	contentType: string;
	/** Strong, in quotes. */
	etag: string;
	/** The name has a hash of the content: it may be kept for ever. */
	immutable: boolean;
	body: Uint8Array<ArrayBuffer>;
	br?: Uint8Array<ArrayBuffer>;
	gzip?: Uint8Array<ArrayBuffer>;
};

export interface UiAssets {
	/** `path` as in the URL ("/assets/app-1a2b3c.js"); null when there is none. "/index.html" is the UI itself. */
	get(path: string): UiAsset | null;
}

export const noUi: UiAssets = { get: () => null };

/**
 * The answer for a path outside the API: the file, or the UI for paths of its pages (GET, asked for as HTML). Null:
 * there is nothing.
 */
export function uiResponse(assets: UiAssets, request: Request, pathname: string): Response | null {
	if (request.method !== "GET" && request.method !== "HEAD") return null;
	const asset = assets.get(pathname === "/" ? "/index.html" : pathname) ?? pageFor(assets, request, pathname);
	return asset ? assetResponse(asset, request) : null;
}

function pageFor(assets: UiAssets, request: Request, pathname: string): UiAsset | null {
	const last = pathname.slice(pathname.lastIndexOf("/") + 1);
	const wantsHtml = request.headers.get("accept")?.includes("text/html") ?? false;
	const isPage = !pathname.startsWith("/v1/") && !pathname.startsWith("/downloads/") && !last.includes(".");
	return wantsHtml && isPage ? assets.get("/index.html") : null;
}

function assetResponse(asset: UiAsset, request: Request): Response {
	const headers = new Headers({
		"content-type": asset.contentType,
		etag: asset.etag,
		vary: "accept-encoding",
		"cache-control": asset.immutable ? "public, max-age=31536000, immutable" : "no-cache",
	});
	if (matches(request.headers.get("if-none-match"), asset.etag)) return new Response(null, { status: 304, headers });
	const { body, encoding } = bestBody(asset, request.headers.get("accept-encoding") ?? "");
	if (encoding) headers.set("content-encoding", encoding);
	headers.set("content-length", String(body.length));
	return new Response(request.method === "HEAD" ? null : body, { headers });
}

function matches(ifNoneMatch: string | null, etag: string): boolean {
	if (ifNoneMatch === null) return false;
	return ifNoneMatch.split(",").some((one) => one.trim().replace(/^W\//, "") === etag || one.trim() === "*");
}

/** Brotli before gzip before nothing, as far as the client takes it (`;q=0` is a no). */
function bestBody(asset: UiAsset, accepted: string): { body: UiAsset["body"]; encoding: string | null } {
	const takes = (name: string) =>
		accepted.split(",").some((part) => new RegExp(`^\\s*${name}\\s*(;\\s*q=(?!0(\\.0*)?\\s*$).*)?$`, "i").test(part));
	if (asset.br && takes("br")) return { body: asset.br, encoding: "br" };
	if (asset.gzip && takes("gzip")) return { body: asset.gzip, encoding: "gzip" };
	return { body: asset.body, encoding: null };
}
