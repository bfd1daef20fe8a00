/** docs/openapi.json: the description of the API, as the running node serves it. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { openApiDocument } from "../api/openapi.ts";
import { routes } from "../api/routes.ts";
import { root } from "./root.ts";

export const openApiPath = "docs/openapi.json";

export async function generateOpenApi(outputRoot: string): Promise<void> {
	const { version } = (await Bun.file(join(root, "package.json")).json()) as { version: string };
	const path = join(outputRoot, openApiPath);
	await mkdir(dirname(path), { recursive: true });
	await writeFile(path, `${JSON.stringify(openApiDocument(routes, version), null, "\t")}\n`);
}
