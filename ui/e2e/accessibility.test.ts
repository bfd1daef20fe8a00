/** axe-core finds nothing on any page, in either theme, nor in what opens over the pages. The rest: accessibility.long.test.ts. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { expectNothingOnAnyPage, findings } from "./axe.ts";
import { expectNothingOverPages } from "./overlays.ts";
import { openStage, type Stage } from "./setup.ts";

setDefaultTimeout(400_000);
const viewport = { width: 1280, height: 800 };

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

/** Each has a browser context and a server of its own, and the work is computing: two at a time (`--max-concurrency`). */
describe.concurrent("axe-core", () => {
	test("what opens over the pages, light", () => expectNothingOverPages(stage, "light"));
	for (const colorScheme of ["light", "dark"] as const) {
		test(`every page, ${colorScheme}`, () => expectNothingOnAnyPage(stage, { colorScheme, viewport }));
		test(`before signing in, ${colorScheme}`, async () => {
			const { page, close } = await stage.open({ signedOut: true, mustChangePassword: true, context: { colorScheme } });
			await page.getByRole("button", { name: "Sign in" }).waitFor();
			expect(await findings(page, { colorScheme })).toEqual([]);
			await page.getByLabel("User name").fill("admin");
			await page.getByLabel("Password").fill("wrong");
			await page.getByRole("button", { name: "Sign in" }).click();
			await page.getByText("User name or password is wrong.").waitFor();
			expect(await findings(page, { colorScheme })).toEqual([]);
			await page.getByLabel("Password").fill("correct horse battery");
			await page.getByRole("button", { name: "Sign in" }).click();
			await page.getByRole("heading", { name: "Choose a new password" }).waitFor();
			expect(await findings(page, { colorScheme })).toEqual([]);
			await close();
		});
	}
});
