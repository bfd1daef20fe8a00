import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { buildUi, checkBudget, firstLoadLimitBytes, type UiBuild } from "./build-ui.ts";

let folder: string;
let build: UiBuild;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "lqx-build-ui-"));
	build = await buildUi({ outDir: join(folder, "ui") });
}, 60_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const read = (file: string) => Bun.file(join(build.outDir, file)).bytes();

test("the first load is within its budget, and a build beyond it is refused", () => {
	expect(build.firstLoadBytes).toBeLessThanOrEqual(firstLoadLimitBytes);
	expect(build.firstLoad.map(({ path }) => path)).toContain("/index.html");
	expect(() => checkBudget({ ...build, firstLoadBytes: firstLoadLimitBytes + 1 })).toThrow("over");
});

test("the manifest names what is there, with its compressed forms", async () => {
	expect(await Bun.file(join(build.outDir, "manifest.json")).json()).toEqual(build.manifest);
	for (const [path, { file, br, gzip, immutable, sha256 }] of Object.entries(build.manifest)) {
		const content = await read(file);
		expect(createHash("sha256").update(content).digest("hex")).toBe(sha256);
		if (br) expect(Buffer.compare(brotliDecompressSync(await read(br)), content)).toBe(0);
		if (gzip) expect(Buffer.compare(gunzipSync(await read(gzip)), content)).toBe(0);
		expect(immutable).toBe(path !== "/index.html");
		if (immutable) expect(path).toMatch(/^\/assets\/[\w-]+\.[a-z0-9]{8}\.(js|css|svg)$/);
	}
});

test("the page holds no script and no style of its own: the policy of the node would stop them", async () => {
	const page = new TextDecoder().decode(await read("index.html"));
	expect(page).not.toMatch(/<script(?![^>]*\bsrc=)[^>]*>/);
	expect(page).not.toMatch(/<style|\sstyle=|\son[a-z]+=|javascript:/);
	expect(page).toMatch(/<script type="module" [^>]*src="\/assets\//);
});

test("what is for developing only is not in it", async () => {
	for (const { file } of Object.values(build.manifest)) {
		if (file.endsWith(".js")) expect(new TextDecoder().decode(await read(file))).not.toContain("States, tags, marks");
	}
});
