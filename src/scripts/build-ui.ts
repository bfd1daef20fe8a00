/**
 * Builds the web UI into dist/ui: hashed files, each with its brotli and gzip form, and manifest.json, from which the
 * daemon serves it:
 *   { "/assets/x.HASH.js": { file, contentType, br, gzip, immutable, sha256 } }   (files relative to the folder)
 * The page itself is "/index.html" and serves every address that is no file. Fails when the first load (the page with
 * what it needs before anything shows) is over its budget.
 *
 *   bun src/scripts/build-ui.ts [--development] [--out FOLDER]
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { AppError } from "../lib/errors.ts";

export type UiFile = {
	/** Relative to the folder of the manifest. */
	file: string;
	contentType: string;
	/** Compressed forms; null where they would not be smaller. */
	br: string | null;
	gzip: string | null;
	/** The name carries a hash of the content: may be cached for ever. */
	immutable: boolean;
	/** Of the uncompressed file, in hex. */
	sha256: string;
};
export type UiManifest = Record<string, UiFile>;
export type UiBuild = {
	outDir: string;
	manifest: UiManifest;
	/** Bytes that a browser loads before anything shows, compressed with gzip, and of which files. */
	firstLoadBytes: number;
	firstLoad: { path: string; gzipBytes: number }[];
	totalGzipBytes: number;
};

export const firstLoadLimitBytes = 150 * 1024;

const root = resolve(import.meta.dir, "../..");
const contentTypes: Record<string, string> = {
	html: "text/html; charset=utf-8",
	js: "text/javascript; charset=utf-8",
	css: "text/css; charset=utf-8",
	svg: "image/svg+xml",
	map: "application/json",
};

/** Throws AppError `invalid` when the bundle fails, `too-large` when a production build is over its budget. */
export async function buildUi(options: { outDir?: string; development?: boolean } = {}): Promise<UiBuild> {
	const { outDir = join(root, "dist/ui"), development = false } = options;
	const working = `${outDir}.${process.pid}.new`;
	await rm(working, { recursive: true, force: true });
	const result = await Bun.build({
		entrypoints: [join(root, "ui/index.html")],
		outdir: working,
		target: "browser",
		splitting: true,
		minify: !development,
		sourcemap: development ? "linked" : "none",
		publicPath: "/",
		naming: { entry: "[name].[ext]", chunk: "assets/[name].[hash].[ext]", asset: "assets/[name].[hash].[ext]" },
		define: { "process.env.NODE_ENV": JSON.stringify(development ? "development" : "production") },
		throw: false,
	});
	if (!result.success) throw new AppError("invalid", result.logs.map(String).join("\n"));
	await removeUnlinkedStyles(working);
	const manifest: UiManifest = {};
	for (const path of await filesIn(working)) manifest[`/${path}`] = await describe(working, path, development);
	await Bun.write(join(working, "manifest.json"), `${JSON.stringify(manifest, null, "\t")}\n`);
	const build = await measure(working, manifest);
	if (!development) checkBudget(build);
	await rm(outDir, { recursive: true, force: true });
	await mkdir(join(outDir, ".."), { recursive: true });
	await rename(working, outDir);
	return { ...build, outDir };
}

/** The page links one style sheet that has all styles in it; those that Bun writes beside lazy parts are not used. */
async function removeUnlinkedStyles(folder: string): Promise<void> {
	const page = await Bun.file(join(folder, "index.html")).text();
	for (const path of await filesIn(folder)) {
		if (/\.css(\.map)?$/.test(path) && !page.includes(path.replace(/\.map$/, ""))) await rm(join(folder, path));
	}
}

async function filesIn(folder: string): Promise<string[]> {
	const entries = await readdir(folder, { recursive: true, withFileTypes: true });
	return entries
		.filter((entry) => entry.isFile())
		.map((entry) => relative(folder, join(entry.parentPath, entry.name)))
		.sort();
}

async function describe(folder: string, path: string, development: boolean): Promise<UiFile> {
	const content = await Bun.file(join(folder, path)).bytes();
	const extension = path.split(".").at(-1) ?? "";
	const brotli = () =>
		brotliCompressSync(content, {
			params: {
				[constants.BROTLI_PARAM_QUALITY]: development ? 4 : 11,
				[constants.BROTLI_PARAM_SIZE_HINT]: content.length,
			},
		});
	const keep = async (suffix: string, bytes: Uint8Array): Promise<string | null> => {
		if (bytes.length >= content.length) return null;
		await Bun.write(join(folder, path + suffix), bytes);
		return path + suffix;
	};
	return {
		file: path,
		contentType: contentTypes[extension] ?? "application/octet-stream",
		br: await keep(".br", brotli()),
		gzip: await keep(".gz", gzipSync(content, { level: development ? 4 : 9 })),
		immutable: path.startsWith("assets/"),
		sha256: createHash("sha256").update(content).digest("hex"),
	};
}

/** Follows the page's links and the static imports of its scripts. */
async function measure(outDir: string, manifest: UiManifest): Promise<UiBuild> {
	const gzipBytes = async (path: string): Promise<number> => {
		const file = manifest[path];
		if (!file) throw new AppError("internal", `${path} is linked and was not built`);
		return Bun.file(join(outDir, file.gzip ?? file.file)).size;
	};
	const transpiler = new Bun.Transpiler({ loader: "js" });
	const page = await Bun.file(join(outDir, "index.html")).text();
	const needed = new Set(["/index.html"]);
	const queue = [...page.matchAll(/(?:href|src)="(\/assets\/[^"]+\.(?:js|css))"/g)].map((match) => match[1] ?? "");
	for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
		if (needed.has(path)) continue;
		needed.add(path);
		if (!path.endsWith(".js")) continue;
		const code = await Bun.file(join(outDir, path)).text();
		for (const { kind, path: target } of transpiler.scanImports(code)) {
			if (kind === "import-statement") queue.push(new URL(target, `http://ui${path}`).pathname);
		}
	}
	const firstLoad = [];
	for (const path of needed) firstLoad.push({ path, gzipBytes: await gzipBytes(path) });
	let totalGzipBytes = 0;
	for (const path of Object.keys(manifest)) if (!path.endsWith(".map")) totalGzipBytes += await gzipBytes(path);
	const firstLoadBytes = firstLoad.reduce((sum, file) => sum + file.gzipBytes, 0);
	return { outDir, manifest, firstLoadBytes, firstLoad, totalGzipBytes };
}

/** Throws AppError `too-large` when the first load is over its budget; only production builds are held to it. */
export function checkBudget({ firstLoadBytes, firstLoad }: UiBuild): void {
	if (firstLoadBytes <= firstLoadLimitBytes) return;
	const files = firstLoad.map(({ path, gzipBytes }) => `${path} ${gzipBytes}`).join(", ");
	throw new AppError(
		"too-large",
		`The UI's first load is ${firstLoadBytes} bytes, over ${firstLoadLimitBytes}: ${files}`,
	);
}

if (import.meta.main) {
	const development = process.argv.includes("--development");
	const at = process.argv.indexOf("--out");
	const out = at < 0 ? undefined : process.argv[at + 1];
	const build = await buildUi({ development, ...(out ? { outDir: resolve(out) } : {}) });
	for (const { path, gzipBytes } of build.firstLoad) console.log(`${String(gzipBytes).padStart(8)} ${path}`);
	console.log(`${String(build.firstLoadBytes).padStart(8)} bytes gzip at first load (limit ${firstLoadLimitBytes})`);
	console.log(
		`${String(build.totalGzipBytes).padStart(8)} bytes gzip in all, ${Object.keys(build.manifest).length} files`,
	);
}
