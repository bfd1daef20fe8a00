/** What was typed and not saved is for who typed it: in one window, through a sign-out, an expired session, other tabs. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Page } from "playwright-core";
import { password } from "./browser.ts";
import { type Opened, openStage, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

const secret = "password: correct-horse";
const stored = (page: Page) => page.evaluate(() => JSON.stringify(sessionStorage));

async function signInAs(page: Page, username: string): Promise<void> {
	await page.getByLabel("User name").fill(username);
	await page.getByLabel("Password").fill(password);
	await page.getByRole("button", { name: "Sign in" }).click();
}
async function signOut(page: Page): Promise<void> {
	await page.getByRole("button", { name: "Signed in as" }).click();
	await page.getByRole("menuitem", { name: "Sign out" }).click();
	await page.getByText("You are signed out.").waitFor();
}

/** User data typed into the settings of a VM and into the form of a new one; both pages are left again. */
async function openWithDrafts(): Promise<Opened & { settings: string; create: string }> {
	const opened = await stage.open({ vms: 2 });
	const { page, server } = opened;
	const [vm] = server.state.tables.vm.values();
	const settings = `${server.url}/vms/${vm?.id}/settings`;
	const create = `${server.url}/vms/new`;
	page.on("dialog", (dialog) => void dialog.accept());
	for (const url of [settings, create]) {
		await page.goto(url);
		await page.getByLabel("Description").waitFor({ state: "attached" });
		if (url === create) await page.locator("summary", { hasText: "cloud-init" }).click();
		await page.getByRole("radio", { name: "Own data" }).check();
		await page.getByLabel("User data").fill(secret);
	}
	await page.getByRole("link", { name: "Images", exact: true }).click();
	await page.getByRole("heading", { name: "Images" }).waitFor();
	expect((await stored(page)).split(secret).length).toBe(3);
	return { ...opened, settings, create };
}

async function expectNothingKept(page: Page, urls: readonly string[]): Promise<void> {
	for (const url of urls) {
		await page.goto(url);
		await page.getByLabel("Description").waitFor({ state: "attached" });
		expect(await page.getByText("was kept").count()).toBe(0);
		expect(await page.content()).not.toContain(secret);
		expect(await page.getByLabel("User data").count()).toBe(0);
	}
}

test("signing out ends all drafts, in the other tabs too; the next user finds none", async () => {
	const { page, context, settings, create, problems, close } = await openWithDrafts();
	const second = await context.newPage();
	second.on("dialog", (dialog) => void dialog.accept());
	await second.goto(settings);
	await second.getByLabel("Description").fill(secret);
	await signOut(page);
	await second.getByRole("button", { name: "Sign in" }).waitFor();
	expect(await stored(page)).not.toContain(secret);
	expect(await stored(second)).not.toContain(secret);
	await signInAs(page, "operator");
	await page.getByRole("heading", { name: "Images" }).waitFor();
	await expectNothingKept(page, [settings, create]);
	expect(problems).toEqual([]);
	await close();
});

test("an expired session keeps them for the same user", async () => {
	const { page, server, settings, create, close } = await openWithDrafts();
	for (const id of [...server.state.tables.session.keys()]) server.state.remove("session", id);
	await page.reload();
	await signInAs(page, "admin");
	await page.getByRole("heading", { name: "Images" }).waitFor();
	for (const url of [settings, create]) {
		await page.goto(url);
		await page.getByText("was kept").waitFor();
	}
	await close();
});

test("an expired session keeps them for nobody else", async () => {
	const { page, server, settings, create, close } = await openWithDrafts();
	for (const id of [...server.state.tables.session.keys()]) server.state.remove("session", id);
	await page.reload();
	await signInAs(page, "operator");
	await page.getByRole("heading", { name: "Images" }).waitFor();
	expect(await stored(page)).not.toContain(secret);
	await expectNothingKept(page, [settings, create]);
	await close();
});

test("a form that is open when another user signs in, in another tab, starts anew", async () => {
	const { page, server, context, settings, close } = await openWithDrafts();
	await page.goto(settings);
	await page.getByLabel("Description").fill(secret);
	// The session changes without this tab being told of an end.
	const second = await context.newPage();
	const answer = await second.request.post(`${server.url}/v1/sessions`, {
		data: { username: "operator", password, cookie: true },
		headers: { "x-lqx-csrf": "1" },
	});
	expect(answer.status()).toBe(201);
	await second.goto(server.url);
	await second.evaluate(() => new BroadcastChannel("lqx-session").postMessage("signed-in"));
	await page.getByRole("button", { name: "Signed in as operator" }).waitFor();
	await page.getByLabel("Description").waitFor();
	expect(await page.getByLabel("Description").inputValue()).not.toBe(secret);
	expect(await stored(page)).not.toContain(secret);
	await close();
});
