/**
 * Makes every file that is generated and committed. `bun src/scripts/generate.ts` rewrites them; with `--check` it
 * writes nothing and fails when one of them is not what its source now gives. Works without a network.
 *
 * To add a generator: put an entry into `generators`. It writes below the folder that it is given, at the paths that
 * the files have in the repository, and names all of them (a folder ends in "/") in `outputs`; what lies there and was
 * not made again is stale.
 */
import { cp, mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { run } from "../lib/run.ts";
import { cliDocsPath, generateCliDocs } from "./generate-cli-docs.ts";
import { clientPath, generateClient } from "./generate-client.ts";
import { generateOpenApi, openApiPath } from "./generate-openapi.ts";

export type Generator = {
	name: string;
	outputs: readonly string[];
	generate(outputRoot: string): Promise<void>;
};

const repository = join(import.meta.dir, "../..");
const bin = join(repository, "node_modules/.bin");

const protobuf: Generator = {
	name: "protobuf",
	outputs: ["src/gen/command_pb.ts", "src/gen/peer_pb.ts"],
	async generate(outputRoot) {
		await run(join(bin, "buf"), ["generate", "--template", "buf.gen.yaml", "--output", outputRoot], {
			timeoutMs: 60_000,
			cwd: repository,
			environment: { PATH: `${bin}:${process.env.PATH ?? ""}` },
		});
	},
};

export const generators: readonly Generator[] = [
	protobuf,
	{ name: "openapi", outputs: [openApiPath], generate: generateOpenApi },
	{ name: "client", outputs: [clientPath], generate: generateClient },
	{ name: "command line", outputs: [cliDocsPath], generate: generateCliDocs },
];

/** Paths (from the repository's root) of generated files that are not up to date; with `write`, they are afterwards. */
export async function generateAll(options: { write: boolean }): Promise<string[]> {
	const stale: string[] = [];
	for (const generator of generators) {
		const outputRoot = await mkdtemp(join(tmpdir(), "limiquantix-generate-"));
		try {
			await generator.generate(outputRoot);
			const made = await filesBelow(outputRoot);
			const committed = await filesOf(generator.outputs);
			for (const path of made) {
				if (!owns(generator, path))
					throw new Error(`${generator.name} wrote ${path}, which it does not name as output`);
				const fresh = await readFile(join(outputRoot, path));
				const old = await readFile(join(repository, path)).catch(() => null);
				if (old !== null && fresh.equals(old)) continue;
				stale.push(path);
				if (!options.write) continue;
				await mkdir(dirname(join(repository, path)), { recursive: true });
				await cp(join(outputRoot, path), join(repository, path));
			}
			for (const path of committed.filter((path) => !made.includes(path))) {
				stale.push(path);
				if (options.write) await rm(join(repository, path));
			}
		} finally {
			await rm(outputRoot, { recursive: true, force: true });
		}
	}
	return stale;
}

const owns = (generator: Generator, path: string): boolean =>
	generator.outputs.some((output) => (output.endsWith("/") ? path.startsWith(output) : path === output));

async function filesBelow(root: string): Promise<string[]> {
	const entries = await readdir(root, { recursive: true, withFileTypes: true });
	return entries
		.filter((entry) => entry.isFile())
		.map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
		.sort();
}

async function filesOf(outputs: readonly string[]): Promise<string[]> {
	const found: string[] = [];
	for (const output of outputs) {
		const path = join(repository, output);
		if (!output.endsWith("/")) {
			if (await Bun.file(path).exists()) found.push(output);
			continue;
		}
		const below = await filesBelow(path.replace(/\/$/, "")).catch(() => []);
		found.push(...below.map((file) => output + file));
	}
	return found;
}

if (import.meta.main) {
	const check = process.argv.includes("--check");
	const stale = await generateAll({ write: !check });
	if (check && stale.length > 0) {
		console.error(`Not up to date: ${stale.join(", ")}. Run "npm run generate" and commit the result.`);
		process.exit(1);
	}
	console.log(stale.length === 0 ? "Generated files are up to date." : `Written: ${stale.join(", ")}`);
}
