/** The packages of node_modules that code of ours imports outside the browser: what is tested in the storage lab VM. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

export const projectRoot = join(import.meta.dir, "../../../..");

/** Bun comes as an executable of its own; the others are the UI's. */
const notNeeded = new Set([
	...["bun", "@novnc/novnc", "@preact/signals", "lucide-preact", "preact", "preact-iso", "uplot"],
]);
/** Of the tests. */
const also = ["fast-check"];

type Package = { dependencies?: Record<string, string>; optionalDependencies?: Record<string, string> };

/** With all that they depend on, as far as it is installed at the top of node_modules; what is nested comes with its parent. */
export async function neededModules(): Promise<string[]> {
	const found = new Set<string>();
	const visit = (name: string): void => {
		const path = join(projectRoot, "node_modules", name, "package.json");
		if (found.has(name) || notNeeded.has(name) || !existsSync(path)) return;
		found.add(name);
		const { dependencies, optionalDependencies } = JSON.parse(readFileSync(path, "utf8")) as Package;
		for (const needed of Object.keys({ ...dependencies, ...optionalDependencies })) visit(needed);
	};
	const own = JSON.parse(readFileSync(join(projectRoot, "package.json"), "utf8")) as Package;
	for (const name of [...Object.keys(own.dependencies ?? {}), ...also]) visit(name);
	return [...found].sort();
}
