/** The project's own source files, as the house rules look at them. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";

export const root = join(import.meta.dir, "..", "..", "..");

export type SourceFile = { path: string; text: string; lines: string[] };

/** All TypeScript of src/, ui/ and guest/, generated code left out. Paths are relative to the root. */
export function sourceFiles(): SourceFile[] {
	return ["src", "ui", "guest"]
		.filter((folder) => existsSync(join(root, folder)))
		.flatMap((folder) => [...new Glob(`${folder}/**/*.{ts,tsx,mjs}`).scanSync({ cwd: root })])
		.filter((path) => !path.startsWith("src/gen/"))
		.sort()
		.map((path) => {
			const text = readFileSync(join(root, path), "utf8");
			return { path, text, lines: text.split("\n") };
		});
}

export const isTest = (path: string): boolean =>
	/\.test\.tsx?$/.test(path) ||
	path.startsWith("src/testing/") ||
	path.startsWith("ui/e2e/") ||
	path.startsWith("ui/dev/");
