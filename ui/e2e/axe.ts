/** What axe-core finds wrong on pages, and on each page of the UI. */
import { expect } from "bun:test";
import AxeBuilder from "@axe-core/playwright";
import type { Page } from "playwright-core";
import { pagesToShow } from "../dev/pages.ts";
import type { Stage } from "./setup.ts";

/** What differs between the themes. All else is looked at in the light one. */
const rulesOfColours = ["color-contrast", "link-in-text-block"];
type Look = { colorScheme: "light" | "dark"; within?: string };

/** `within` leaves out the frame, which is the same on every page and looked at once. */
export async function findings(page: Page, { colorScheme, within }: Look): Promise<string[]> {
	const axe = new AxeBuilder({ page });
	if (colorScheme === "dark") axe.withRules(rulesOfColours);
	const { violations } = await (within ? axe.include(within) : axe).analyze();
	return violations.flatMap(({ id, nodes }) =>
		nodes
			.slice(0, 3)
			.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)} | ${failureSummary?.slice(0, 240)}`),
	);
}

export async function ready(page: Page): Promise<void> {
	await page.locator("h1").first().waitFor();
	await page.locator(".skeleton").first().waitFor({ state: "detached" });
}

export type Variant = { colorScheme: "light" | "dark"; viewport: { width: number; height: number } };

/** Fails with all that is found on any page. */
export async function expectNothingOnAnyPage(stage: Stage, variant: Variant): Promise<void> {
	const { page, server, problems, close } = await stage.open({
		vms: 12,
		nodes: 3,
		storageTrouble: true,
		context: variant,
	});
	const found: string[] = [];
	for (const { name, path, prepare } of pagesToShow(server)) {
		await page.goto(server.url + path);
		await ready(page);
		await prepare?.(page);
		const look = { colorScheme: variant.colorScheme, ...(name === "overview" ? {} : { within: "#main" }) };
		found.push(...(await findings(page, look)).map((text) => `${name}: ${text}`));
	}
	expect(found).toEqual([]);
	expect(problems).toEqual([]);
	await close();
}
