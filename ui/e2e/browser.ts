/** Chromium for the browser tests, and the steps that all of them begin with. */
import { type Browser, chromium, type Page } from "playwright-core";
import type { MockServer } from "../dev/mock/server.ts";

export const launchBrowser = (): Promise<Browser> =>
	chromium.launch({
		executablePath: "/usr/bin/chromium",
		args: [
			"--no-sandbox",
			"--disable-background-networking",
			"--disable-component-update",
			"--disable-sync",
			"--no-first-run",
			"--disable-gpu",
		],
	});

export const password = "correct horse battery";

export async function signIn(page: Page, server: MockServer, username = "admin"): Promise<void> {
	await page.goto(server.url);
	await page.getByLabel("User name").fill(username);
	await page.getByLabel("Password").fill(password);
	await page.getByRole("button", { name: "Sign in" }).click();
	await page
		.getByRole("navigation", { name: "Navigation" })
		.or(page.getByRole("button", { name: "Open navigation" }))
		.first()
		.waitFor();
}
