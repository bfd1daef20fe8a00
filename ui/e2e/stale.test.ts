/** No quorum, no connection: what is shown says how old it is, what writes is off and says why, failures speak. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Locator, Page } from "playwright-core";
import type { MockServer } from "../dev/mock/server.ts";
import { openStage, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

const isLive = (page: Page) => page.locator(".task-bar__connection--live").waitFor();
const running = (server: MockServer) => {
	const vm = [...server.state.tables.vm.values()].find(({ status }) => status.powerState === "running");
	if (!vm) throw new Error("no VM runs");
	return vm;
};
/** Why it is off; null when it is on. */
const obstacle = (control: Locator): Promise<string | null> =>
	control.evaluate((element) =>
		element.getAttribute("aria-disabled") === "true"
			? (document.getElementById(element.getAttribute("aria-describedby") ?? "")?.textContent ?? "")
			: null,
	);
const isGrey = (page: Page, selector: string): Promise<boolean> =>
	page.locator(selector).evaluate((element) => getComputedStyle(element).filter.startsWith("grayscale"));

const noQuorum = "The cluster has no quorum: nothing can be changed now.";
const lost = "The node cannot be reached now.";

test("without quorum every write is off with the reason, what is shown is grey with its age, and it all comes back", async () => {
	const { page, server, close, problems } = await stage.open({ vms: 8 });
	const vm = running(server);
	await page.goto(`${server.url}/vms/${vm.id}`);
	await isLive(page);
	const main = page.getByRole("main");
	const shutDown = main.getByRole("button", { name: "Shut down", exact: true });
	expect(await obstacle(shutDown)).toBeNull();

	// Nothing is committed any more, so no event says it: an answer does.
	server.settings.quorum = false;
	await page.getByText("No quorum: read-only").waitFor();
	await page.getByText("What you see is as of").waitFor();
	expect(await obstacle(shutDown)).toBe(noQuorum);
	expect(await obstacle(main.getByRole("button", { name: "Console", exact: true }))).toBeNull();
	for (const part of [".side-bar__tree", ".header__health", ".task-bar", ".frame__main"]) {
		expect([part, await isGrey(page, part)]).toEqual([part, true]);
	}
	expect(await page.locator(".side-bar__heading").textContent()).toContain("as of");
	expect(await page.locator(".header__health").textContent()).toContain("as of");

	await page.getByRole("button", { name: "More actions" }).click();
	const stop = page.getByRole("menuitem", { name: "Stop" });
	expect(await obstacle(stop)).toBe(noQuorum);
	await page.keyboard.press("Escape");
	await page.keyboard.press("Control+k");
	await page.getByRole("combobox").fill(`stop ${vm.name}`);
	await page.getByRole("option", { name: "Stop" }).getByText(noQuorum).waitFor();
	await page.keyboard.press("Enter");
	expect(await page.getByRole("combobox").count()).toBe(1);
	await page.keyboard.press("Escape");

	await page.getByRole("link", { name: "VMs", exact: true }).first().click();
	await page.getByLabel("Select all rows").check();
	for (const name of [/^Start/, /^Shut down/, /^Stop/, /^Delete/]) {
		const control = page.getByRole("toolbar").getByRole("button", { name });
		expect([String(name), await obstacle(control)]).toEqual([String(name), noQuorum]);
	}
	await page.getByRole("button", { name: "Clear selection" }).click();
	expect(await obstacle(page.getByRole("button", { name: "Create VM" }))).toBe(noQuorum);

	server.settings.quorum = true;
	await page.getByText("No quorum: read-only").waitFor({ state: "detached" });
	await page.getByRole("link", { name: "Create VM" }).waitFor();
	expect(await isGrey(page, ".side-bar__tree")).toBe(false);
	expect(problems).toEqual([]);
	await close();
});

test("a form that is open when the quorum goes keeps what was typed, and cannot be sent", async () => {
	const { page, server, close } = await stage.open({ vms: 2 });
	await page.goto(`${server.url}/storage`);
	await isLive(page);
	await page.getByRole("link", { name: "Create pool" }).click();
	const form = page.getByRole("main");
	const name = form.getByRole("textbox", { name: "Name" });
	await name.fill("spare");
	server.settings.quorum = false;
	server.state.emit("updated", "cluster", "x", {});
	await form.getByText(`${noQuorum} What you entered is kept.`).waitFor();
	const send = form.getByRole("button", { name: "Create pool" });
	expect(await obstacle(send)).toBe(noQuorum);
	const pools = server.state.tables.pool.size;
	await name.press("Enter");
	expect(await name.inputValue()).toBe("spare");
	expect(server.state.tables.pool.size).toBe(pools);
	await close();
});

test("without the node writes are off; a page that did not arrive says why, and opens when the node is back", async () => {
	const { page, server, close } = await stage.open({ vms: 4 });
	await page.goto(`${server.url}/vms/${running(server).id}`);
	await isLive(page);
	const shutDown = page.getByRole("main").getByRole("button", { name: "Shut down", exact: true });
	await shutDown.waitFor();
	server.setDown(true);
	await page.getByText("The connection to the node is lost.").waitFor();
	expect(await obstacle(shutDown)).toBe(lost);
	expect(await page.locator(".side-bar__heading").textContent()).toContain("as of");

	await page.getByRole("link", { name: "Images", exact: true }).click();
	await page.getByText("The node cannot be reached, so this page could not be loaded.").waitFor();
	server.setDown(false);
	await page.getByRole("heading", { name: "Images", level: 1 }).waitFor({ timeout: 40_000 });
	await page.getByRole("row", { name: /debian-13-generic/ }).waitFor();
	await close();
});

test("a failure without an explanation of the API is put into words", async () => {
	const { page, server, context, close } = await stage.open({ vms: 4 });
	await page.goto(`${server.url}/vms/${running(server).id}`);
	await isLive(page);
	let status = 503;
	await context.route("**/actions/shutdown", (route) => route.fulfill({ status, body: "<html>Bad Gateway</html>" }));
	const notifications = page.getByRole("region", { name: "Notifications" });
	const shutDown = page.getByRole("main").getByRole("button", { name: "Shut down", exact: true });
	await shutDown.click();
	await notifications.getByText("The node is not ready to answer").waitFor();
	status = 418;
	await shutDown.click();
	await notifications.getByText("What answered is not the node's API").waitFor();
	expect(await notifications.textContent()).not.toContain("no explanation");
	await close();
});
