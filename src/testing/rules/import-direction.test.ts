/** House rule: dependencies run one way (docs/architecture.md). An import against it fails here. */
import { expect, test } from "bun:test";
import { dirname, join, normalize } from "node:path";
import { isTest, type SourceFile, sourceFiles } from "./source-files.ts";

/** folder → the folders that it may import from, beside itself. */
const drivers = ["src/hypervisor", "src/storage", "src/network", "src/guest-link"];
const allowed: Record<string, string[]> = {
	"src/lib": [],
	"src/model": ["src/lib"],
	"src/gen": ["src/model", "src/lib"],
	"src/raft": ["src/lib", "src/model"],
	"src/hypervisor": ["src/lib", "src/model"],
	"src/storage": ["src/lib", "src/model", "src/hypervisor/driver.ts"],
	"src/network": ["src/lib", "src/model", "src/hypervisor"],
	"src/guest-link": ["src/lib", "src/model", "src/gen"],
	"src/store": ["src/lib", "src/model", "src/raft", "src/gen"],
	"src/control": ["src/lib", "src/model", "src/raft", "src/store"],
	"src/auth": ["src/lib", "src/model", "src/store"],
	"src/node": ["src/lib", "src/model", "src/store", ...drivers],
	"src/peer": ["src/lib", "src/model", "src/raft", "src/store", "src/node", "src/control", "src/auth", "src/gen"],
	"src/console": [
		"src/lib",
		"src/model",
		"src/store",
		"src/node",
		"src/control",
		"src/auth",
		"src/hypervisor/driver.ts",
	],
	"src/cluster": [
		"src/lib",
		"src/model",
		"src/raft",
		"src/store",
		"src/control",
		"src/auth",
		"src/peer",
		"src/node",
		"src/console",
		"src/gen",
	],
	"src/api": [
		"src/lib",
		"src/model",
		"src/store",
		"src/node",
		"src/control",
		"src/auth",
		"src/console",
		"src/cluster/service.ts",
		"src/gen",
	],
	"src/cli": ["src/lib", "src/model", "src/gen"],
	"src/qvmrc": ["src/lib", "src/model", "src/gen"],
	ui: ["src/lib", "src/model", "src/gen"],
};
/** Files at the top of src/ that everything of the daemon may see, and those that see everything. */
const topFiles = ["src/config.ts", "src/version.ts", "src/ui-assets.ts"];
const compositionRoots = ["src/main.ts", "src/daemon.ts", "src/daemon-node.ts"];
/** What nodes say to each other about disks; also read by the UI's table of actions. */
const importPattern =
	/(?:^|\n)\s*(?:import|export)\b[^;'"]*?from\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']\s*\)|(?:^|\n)import\s+["']([^"']+)["']/g;

function importsOf(file: SourceFile): string[] {
	return [...file.text.matchAll(importPattern)]
		.map((match) => match[1] ?? match[2] ?? match[3] ?? "")
		.filter((specifier) => specifier.startsWith("."))
		.map((specifier) => normalize(join(dirname(file.path), specifier)));
}

const folderOf = (path: string): string => (path.startsWith("ui/") ? "ui" : path.split("/").slice(0, 2).join("/"));

function violations(files: readonly SourceFile[]): string[] {
	const found: string[] = [];
	for (const file of files) {
		const folder = folderOf(file.path);
		if (isTest(file.path) || folder === "src/scripts" || compositionRoots.includes(file.path)) continue;
		if (topFiles.includes(file.path)) {
			for (const target of importsOf(file))
				if (!target.startsWith("src/lib/") && !topFiles.includes(target)) found.push(`${file.path} imports ${target}`);
			continue;
		}
		const rules = allowed[folder];
		if (!rules) {
			found.push(`${file.path}: the folder ${folder} has no rule in import-direction.test.ts`);
			continue;
		}
		for (const target of importsOf(file)) {
			const inside = target.startsWith(`${folder}/`);
			const byRule = rules.some((rule) => target === rule || target.startsWith(`${rule}/`));
			const shared = topFiles.includes(target) && !["src/lib", "src/model", "src/raft", "ui"].includes(folder);
			if (!inside && !byRule && !shared) found.push(`${file.path} imports ${target}`);
		}
	}
	return found;
}

test("no import runs against the direction of the architecture", () => {
	expect(violations(sourceFiles())).toEqual([]);
});

test("the rule sees a wrong import in each of its forms", () => {
	const file = (path: string, text: string): SourceFile => ({ path, text, lines: text.split("\n") });
	const wrong = [
		file("src/model/a.ts", 'import { x } from "../store/store.ts";'),
		file("src/model/b.ts", 'import type {\n\tx,\n} from "../store/store.ts";'),
		file("src/hypervisor/c.ts", 'export * from "../store/store.ts";'),
		file("src/storage/d.ts", 'const y = await import("../node/node.ts");'),
		file("ui/pages/e.ts", 'import "../../src/store/store.ts";'),
		file("src/elsewhere/f.ts", ""),
	];
	expect(violations(wrong)).toHaveLength(wrong.length);
});

test("UI code takes nothing but pure files of the model at run time", () => {
	const pure = [
		"src/model/actions.ts",
		"src/model/ceph-conf.ts",
		"src/model/certificate-rules.ts",
		"src/model/clock-rules.ts",
		"src/model/kept-credentials.ts",
		"src/model/member-limits.ts",
		"src/model/permissions.ts",
		"src/model/pool-parts.ts",
		"src/model/snapshot-rules.ts",
		"src/model/storage-rules.ts",
		"src/model/told-capabilities.ts",
		"src/model/volume-rules.ts",
	];
	const found = sourceFiles()
		.filter((file) => file.path.startsWith("ui/") && !isTest(file.path))
		.flatMap((file) =>
			[...file.text.matchAll(/(?:^|\n)import\s+(?!type\b)([^;'"]*?)from\s*["'](\.[^"']*src\/model\/[^"']+)["']/g)]
				// `import { type A, type B }` is erased too.
				.filter((match) => !/^\{(\s*type\s+\w+\s*,?)+\}\s*$/.test(match[1]?.trim() ?? ""))
				.map((match) => normalize(join(dirname(file.path), match[2] ?? "")))
				.filter((target) => !pure.includes(target))
				.map((target) => `${file.path} imports ${target}`),
		);
	expect(found).toEqual([]);
});
