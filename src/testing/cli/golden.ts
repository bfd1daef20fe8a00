/** Text that is compared with a file; UPDATE_GOLDEN=1 rewrites the file. */
import { expect } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

export function expectGolden(path: string, text: string): void {
	if (process.env.UPDATE_GOLDEN === "1") {
		mkdirSync(dirname(path), { recursive: true });
		writeFileSync(path, text);
	}
	expect(text).toBe(readFileSync(path, "utf8"));
}
