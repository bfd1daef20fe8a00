/**
 * What scrolls is positioned: else the texts for screen readers in it, which are positioned absolutely, belong to the
 * page, stick out below it, and the whole frame scrolls away when one tabs through a list.
 */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { Glob } from "bun";

const ui = join(import.meta.dir, "..");

test("everything that scrolls is a positioned box", async () => {
	const bare: string[] = [];
	for (const path of new Glob("**/*.css").scanSync({ cwd: ui })) {
		const text = (await Bun.file(join(ui, path)).text()).replace(/\/\*[\s\S]*?\*\//g, "");
		for (const [, selector, body] of text.matchAll(/([^{}]+)\{([^{}]*)\}/g)) {
			if (!/\boverflow(-[xy])?:[^;]*\b(auto|scroll)\b/.test(body ?? "")) continue;
			if (!/\bposition:/.test(body ?? "")) bare.push(`${path}: ${selector?.trim()}`);
		}
	}
	expect(bare).toEqual([]);
});
