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
	contentType: string;
	/** Strong, in quotes. */
	etag: string;
	immutable: boolean;
	body: Uint8Array<ArrayBuffer>;
	br?: Uint8Array<ArrayBuffer>;
	gzip?: Uint8Array<ArrayBuffer>;
};

export interface UiAssets {
	/** `path` as in the URL ("/assets/app-1a2b3c.js"); null when there is none. */
	get(path: string): UiAsset | null;
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
		return assetsFrom(manifest, (name) => bytes(files[name] ?? ""));
	}
	const manifestPath = join(sourceFolder, "manifest.json");
	if (!existsSync(manifestPath)) return notBuilt;
	const manifest = JSON.parse(readFileSync(manifestPath, "utf8")) as UiManifest;
	return assetsFrom(manifest, (name) => bytes(join(sourceFolder, name)));
}

const bytes = (path: string): Uint8Array<ArrayBuffer> => new Uint8Array(readFileSync(path));

function assetsFrom(manifest: UiManifest, read: (name: string) => Uint8Array<ArrayBuffer>): UiAssets {
	const entries = new Map(Object.entries(manifest));
	const known = new Map<string, UiAsset>();
	return {
		get(path) {
			const entry = entries.get(path);
			if (!entry) return null;
			const asset: UiAsset = known.get(path) ?? {
				contentType: entry.contentType,
				etag: `"${entry.sha256.slice(0, 32)}"`,
				immutable: entry.immutable,
				body: read(entry.file),
				...(entry.br ? { br: read(entry.br) } : {}),
				...(entry.gzip ? { gzip: read(entry.gzip) } : {}),
			};
			known.set(path, asset);
			return asset;
		},
	};
}

const notBuilt: UiAssets = {
	get: (path) =>
		path === "/index.html"
			? {
					body: new TextEncoder().encode(
						"<!doctype html><title>LimiQuantix</title><p>The UI is not built: npm run build</p>",
					),
					contentType: "text/html; charset=utf-8",
					etag: '"not-built"',
					immutable: false,
				}
			: null,
};
