/** Each mechanism as a script with its transcript (testdata/). UPDATE_GOLDEN=1 rewrites the transcripts. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runScript } from "./test-script.ts";

const folder = join(import.meta.dir, "testdata");

for (const name of readdirSync(folder).sort())
	test(name.replace(".txt", "").replaceAll("-", " "), () => {
		const path = join(folder, name);
		const text = readFileSync(path, "utf8");
		const now = runScript(text);
		if (process.env.UPDATE_GOLDEN === "1") writeFileSync(path, now);
		else expect(now).toBe(text);
	});
