/** docs/cli.md, from the commands themselves. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { cliReference } from "../cli/docs.ts";

export const cliDocsPath = "docs/cli.md";

export async function generateCliDocs(outputRoot: string): Promise<void> {
	const path = join(outputRoot, cliDocsPath);
	await mkdir(dirname(path), { recursive: true });
	await writeFile(path, cliReference());
}
