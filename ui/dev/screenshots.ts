/**
 * Pictures of every page, for looking at: bun ui/dev/screenshots.ts FOLDER [--only TEXT] [--sizes desktop,phone] [--themes light,dark]
 * Needs a build in dist/ui.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { launchBrowser, signIn } from "../e2e/browser.ts";
import { MockServer } from "./mock/server.ts";
import { pagesToShow } from "./pages.ts";

const { values, positionals } = parseArgs({
	allowPositionals: true,
	options: {
		only: { type: "string" },
		sizes: { type: "string", default: "desktop,phone" },
		themes: { type: "string", default: "light,dark" },
	},
});
const folder = positionals[0] ?? "/tmp/ui-screenshots";
await mkdir(folder, { recursive: true });
const sizes = { desktop: { width: 1280, height: 800 }, phone: { width: 360, height: 740 } } as const;
const browser = await launchBrowser();
const server = new MockServer({ tickMs: 2500, nodes: 3, storageTrouble: true });
try {
	for (const size of values.sizes.split(",") as (keyof typeof sizes)[]) {
		for (const theme of values.themes.split(",") as ("light" | "dark")[]) {
			const context = await browser.newContext({ viewport: sizes[size], colorScheme: theme, reducedMotion: "reduce" });
			const page = await context.newPage();
			page.on("pageerror", (error) => console.error(`${page.url()}: ${error.message}`));
			page.on("console", (message) => {
				if (message.type() === "error") console.error(`${page.url()}: ${message.text()}`);
			});
			await signIn(page, server);
			for (const { name, path, prepare } of pagesToShow(server)) {
				if (values.only && !name.includes(values.only)) continue;
				await page.goto(server.url + path);
				await page.locator("h1").first().waitFor();
				await page.locator(".skeleton").first().waitFor({ state: "detached" });
				await prepare?.(page);
				await page.screenshot({ path: join(folder, `${name}-${size}-${theme}.png`) });
			}
			await context.close();
		}
	}
} finally {
	await browser.close();
	await server.stop();
}
