/**
 * `npm run build`: the UI, then one executable with the UI inside: dist/limiquantix. The executable's entry is
 * generated: it registers the embedded UI files and then runs main.ts.
 */
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { formatBytes } from "../lib/units.ts";
import type { UiManifest } from "../ui-assets.ts";
import { buildUi } from "./build-ui.ts";
import { root } from "./root.ts";

const dist = join(root, "dist");

/** One that lacks features (store/command-features.ts): what an older version is to a cluster. With the UI that was built last. */
export async function buildWithout(features: readonly string[], output: string): Promise<void> {
	await compile(output, { LIMIQUANTIX_WITHOUT: JSON.stringify(features.join()) });
}

export async function build(options: { ui: boolean } = { ui: true }): Promise<string> {
	mkdirSync(dist, { recursive: true });
	if (options.ui) await buildUi();
	const output = join(dist, "limiquantix");
	await compile(output, {});
	rmSync(join(dist, "lqx"), { force: true });
	symlinkSync("limiquantix", join(dist, "lqx"));
	return output;
}

async function compile(output: string, define: Record<string, string>): Promise<void> {
	const embedFolder = join(root, ".cache", `embed-${process.pid}`);
	const entry = writeEntry(embedFolder);
	const started = performance.now();
	const result = await Bun.build({
		entrypoints: [entry],
		root,
		minify: { whitespace: true, syntax: true, identifiers: false },
		sourcemap: "inline",
		// Parsed ahead: half of the time until the daemon answers would go into reading its own code.
		bytecode: true,
		format: "esm",
		define: { "process.env.NODE_ENV": '"production"', LIMIQUANTIX_VERSION: JSON.stringify(version()), ...define },
		compile: { target: "bun-linux-x64-baseline", outfile: `${output}.new` },
	}).finally(() => rmSync(embedFolder, { recursive: true, force: true }));
	if (!result.success) throw new AggregateError(result.logs, "The build failed.");
	renameSync(`${output}.new`, output);
	// The source map is inside the executable; Bun leaves a copy beside it.
	rmSync(`${output}.new.map`, { force: true });
	const bytes = statSync(output).size;
	console.log(`${relative(root, output)} ${formatBytes(bytes)} in ${Math.round(performance.now() - started)} ms`);
}

const version = (): string =>
	(JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string }).version;

/** A module that imports every UI file as an embedded file, registers them, and then imports main.ts. */
function writeEntry(embedFolder: string): string {
	const uiFolder = join(dist, "ui");
	const manifest = JSON.parse(readFileSync(join(uiFolder, "manifest.json"), "utf8")) as UiManifest;
	const names = [...new Set(Object.values(manifest).flatMap((entry) => [entry.file, entry.br, entry.gzip]))].filter(
		(name) => name !== null,
	);
	rmSync(embedFolder, { recursive: true, force: true });
	mkdirSync(embedFolder, { recursive: true });
	const from = (path: string) => JSON.stringify(relative(embedFolder, path));
	const imports = names.map((name, i) => `import file${i} from ${from(join(uiFolder, name))} with { type: "file" };`);
	const files = names.map((name, i) => `${JSON.stringify(name)}: file${i}`);
	writeFileSync(
		join(embedFolder, "ui.ts"),
		[
			`import { registerEmbeddedUi } from ${from(join(root, "src/ui-assets.ts"))};`,
			...imports,
			`registerEmbeddedUi({ manifest: ${JSON.stringify(manifest)}, files: { ${files.join(", ")} } });`,
		].join("\n"),
	);
	const entry = join(embedFolder, "limiquantix.ts");
	writeFileSync(entry, `import "./ui.ts";\nimport ${from(join(root, "src/main.ts"))};\n`);
	return entry;
}

if (import.meta.main) await build();
