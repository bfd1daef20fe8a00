/** What each browser test file stands on: the built UI, a mock of the API, Chromium; all gone at its end. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, BrowserContext, BrowserContextOptions, Page } from "playwright-core";
import { buildUi } from "../../src/scripts/build-ui.ts";
import type { Pool } from "../api/types.ts";
import { type MockOptions, MockServer } from "../dev/mock/server.ts";
import { launchBrowser, signIn } from "./browser.ts";

export type Stage = {
	browser: Browser;
	uiFolder: string;
	/** A mock of its own, and a page that is signed in to it. Problems of the page end up in `problems`. */
	open(options?: OpenOptions): Promise<Opened>;
	close(): Promise<void>;
};
export type OpenOptions = MockOptions & { context?: BrowserContextOptions; username?: string; signedOut?: boolean };
export type Opened = {
	page: Page;
	server: MockServer;
	context: BrowserContext;
	/** Errors thrown in the page, and what the content security policy stopped. */
	problems: string[];
	close(): Promise<void>;
};

/** In the mock. */
export function poolNamed({ server }: Pick<Opened, "server">, name: string): Pool {
	const pool = [...server.state.tables.pool.values()].find((one) => one.name === name);
	if (!pool) throw new Error(`there is no pool ${name}`);
	return pool;
}

export async function openStage(): Promise<Stage> {
	const folder = await mkdtemp(join(tmpdir(), "lqx-ui-"));
	const uiFolder = join(folder, "ui");
	await buildUi({ outDir: uiFolder });
	const browser = await launchBrowser();
	const opened = new Set<Opened>();
	return {
		browser,
		uiFolder,
		async open({ context: contextOptions, username, signedOut, ...mock } = {}) {
			const server = new MockServer({ tickMs: 60, uiFolder, ...mock });
			const context = await browser.newContext({ reducedMotion: "reduce", ...contextOptions });
			context.setDefaultTimeout(10_000);
			const problems: string[] = [];
			context.on("weberror", (error) => problems.push(error.error().message));
			context.on("console", (message) => {
				if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) {
					problems.push(message.text());
				}
			});
			const page = await context.newPage();
			if (signedOut) await page.goto(server.url);
			else await signIn(page, server, username);
			const result: Opened = {
				page,
				server,
				context,
				problems,
				async close() {
					opened.delete(result);
					await context.close();
					await server.stop();
				},
			};
			opened.add(result);
			return result;
		},
		async close() {
			for (const one of opened) await one.close();
			await browser.close();
			await rm(folder, { recursive: true, force: true });
		},
	};
}
