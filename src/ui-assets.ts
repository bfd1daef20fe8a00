/**
 * The built UI, as the server serves it: embedded in the executable (the build registers it before main.ts runs), or
 * from dist/ui/ when the program runs from source. Files are read once and kept: the whole UI is about a megabyte.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** dist/ui/manifest.json: URL path → files (names relative to the folder), made by scripts/build-ui.ts. */
export type UiManifest = Record<
	string,
	{
		file: string;
		contentType: string;
		br: string | null;
		gzip: string | null;
		/** The name carries a hash of the content: it may be cached for ever. */
		immutable: boolean;
		sha256: string;
	}
>;

export type UiAsset = {
	body: Uint8Array;
	contentType: string;
	/** Strong, with its quotes; differs between encodings as RFC 9110 asks. */
	etag: string;
	contentEncoding: "br" | "gzip" | null;
	immutable: boolean;
};

export interface UiAssets {
	/** The asset in the best encoding that the request accepts; null when there is none at this path. */
	get(path: string, acceptEncoding: string): UiAsset | null;
}

type Embedded = { manifest: UiManifest /** file name → path that Bun can read */; files: Record<string, string> };
let embedded: Embedded | null = null;

/** Called by the generated entry of the executable, before anything else. */
export function registerEmbeddedUi(ui: Embedded): void {
	embedded = ui;
}

export function openUiAssets(sourceFolder = join(import.meta.dir, "..", "dist", "ui")): UiAssets {
	if (embedded) {
		const { manifest, files } = embedded;
		return assetsFrom(manifest, (name) => readFileSync(files[name] ?? ""));
	}
	const manifestPath = join(sourceFolder, "manifest.json");
	if (!existsSync(manifestPath)) return notBuilt;
	const manifest = JSON.parse(readFileSync(manifestPath, "utf8")) as UiManifest;
	return assetsFrom(manifest, (name) => readFileSync(join(sourceFolder, name)));
}

function assetsFrom(manifest: UiManifest, read: (name: string) => Uint8Array): UiAssets {
	const entries = new Map(Object.entries(manifest));
	const bodies = new Map<string, Uint8Array>();
	const body = (name: string): Uint8Array => {
		const known = bodies.get(name) ?? read(name);
		bodies.set(name, known);
		return known;
	};
	return {
		get(path, acceptEncoding) {
			const entry = entries.get(path === "/" ? "/index.html" : path);
			if (!entry) return null;
			const encoding =
				entry.br && accepts(acceptEncoding, "br")
					? "br"
					: entry.gzip && accepts(acceptEncoding, "gzip")
						? "gzip"
						: null;
			const file = encoding === "br" ? entry.br : encoding === "gzip" ? entry.gzip : entry.file;
			return {
				body: body(file ?? entry.file),
				contentType: entry.contentType,
				etag: `"${entry.sha256.slice(0, 32)}${encoding ? `-${encoding}` : ""}"`,
				contentEncoding: encoding,
				immutable: entry.immutable,
			};
		},
	};
}

/** RFC 9110, 12.5.3, as far as needed: the coding is named and not refused by q=0. */
function accepts(acceptEncoding: string, coding: string): boolean {
	return acceptEncoding.split(",").some((part) => {
		const [name, ...parameters] = part.split(";").map((text) => text.trim().toLowerCase());
		return name === coding && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
	});
}

const notBuilt: UiAssets = {
	get: (path) =>
		path === "/" || path === "/index.html"
			? {
					body: new TextEncoder().encode(
						"<!doctype html><title>LimiQuantix</title><p>The UI is not built. Run: npm run build</p>",
					),
					contentType: "text/html; charset=utf-8",
					etag: '"not-built"',
					contentEncoding: null,
					immutable: false,
				}
			: null,
};
