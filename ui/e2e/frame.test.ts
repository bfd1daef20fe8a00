/** The frame: the tree by keyboard, a palette that acts, tasks in the header, nothing that scrolls away; narrow windows. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Page } from "playwright-core";
import { openStage, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

const phone = { viewport: { width: 360, height: 740 } };
const focused = (page: Page) => page.locator("[role=treeitem]:focus .tree__name");

test("the tree by keyboard with 400 VMs: End, Home, Left to the node, and on from there", async () => {
	const { page, server, close, problems } = await stage.open({ vms: 400 });
	await page.goto(`${server.url}/vms`);
	await page.getByRole("treeitem", { name: /node-1/ }).focus();
	const press = async (key: string, name: string) => {
		await page.keyboard.press(key);
		await focused(page).getByText(name, { exact: true }).waitFor();
		expect(
			await page.locator("[role=treeitem]:focus").evaluate((item) => {
				const box = item.getBoundingClientRect();
				const frame = item.closest(".side-bar")?.getBoundingClientRect();
				return frame !== undefined && box.top >= frame.top && box.bottom <= frame.bottom;
			}),
		).toBe(true);
	};
	await press("End", "web-50");
	await press("ArrowUp", "web-49");
	await press("Home", "node-1");
	await press("ArrowDown", "build-01");
	await press("End", "web-50");
	await press("ArrowLeft", "node-1");
	for (let step = 0; step < 60; step++) await page.keyboard.press("ArrowDown");
	await focused(page).getByText("cache-10", { exact: true }).waitFor();
	await press("ArrowLeft", "node-1");
	await page.keyboard.press("ArrowLeft");
	await page.getByRole("treeitem", { name: "build-01" }).waitFor({ state: "detached" });
	await page.keyboard.press("ArrowRight");
	await page.getByRole("treeitem", { name: "build-01" }).waitFor();
	await press("ArrowRight", "build-01");
	// What changes above does not move the keyboard.
	const added = [...server.state.tables.vm.values()].find(({ name }) => name === "web-50");
	if (!added) throw new Error("no VM");
	await press("ArrowDown", "build-02");
	server.state.change("vm", added.id, { name: "aaa" });
	await page.getByRole("treeitem", { name: "aaa" }).waitFor();
	await press("ArrowDown", "build-03");
	expect(problems).toEqual([]);
	await close();
});

test("the palette acts: on the page's object and on a VM by name, with the same confirmation; what cannot says why", async () => {
	const { page, server, close, problems } = await stage.open({ vms: 9 });
	const vm = [...server.state.tables.vm.values()].find(({ name }) => name === "web-01");
	if (!vm) throw new Error("no VM");
	const power = () => server.state.tables.vm.get(vm.id)?.status.powerState;
	expect(power()).toBe("running");
	await page.goto(`${server.url}/images`);
	await page.getByRole("heading", { name: "Images" }).waitFor();
	await page.keyboard.press("Control+k");
	await page.getByRole("combobox").fill("start web-01");
	const start = page.getByRole("option", { name: "Start web-01" });
	expect(await start.getAttribute("aria-disabled")).toBe("true");
	await start.getByText("A VM that is running cannot be started.").waitFor();
	await page.keyboard.press("Enter");
	expect(await page.getByRole("combobox").count()).toBe(1);
	await page.getByRole("combobox").fill("stop web-01");
	await page.getByRole("option", { name: "Stop web-01" }).waitFor();
	await page.keyboard.press("Enter");
	const dialog = page.getByRole("dialog", { name: "Stop web-01" });
	await dialog.getByText("This cuts its power.").waitFor();
	expect(power()).toBe("running");
	await dialog.getByRole("button", { name: "Stop" }).click();
	await page
		.getByRole("treeitem", { name: /web-01/ })
		.getByText("Stopped")
		.waitFor();
	expect(power()).toBe("stopped");

	await page.goto(`${server.url}/vms/${vm.id}`);
	await page.getByRole("heading", { name: "web-01" }).waitFor();
	await page.keyboard.press("Control+k");
	// The page's own actions come first, and nothing has to be typed for them.
	expect(await page.getByRole("option").first().textContent()).toContain("Start");
	expect(await page.getByRole("option").first().textContent()).toContain("web-01");
	await page.keyboard.press("Enter");
	await page
		.getByRole("treeitem", { name: /web-01/ })
		.getByText("Running")
		.waitFor();
	expect(problems).toEqual([]);
	await close();
});

test("the header says how many tasks run, on a phone too, and opens them; / is hinted at where it leads", async () => {
	for (const context of [{}, phone]) {
		const { page, server, close } = await stage.open({ vms: 6, tickMs: 4000, context });
		const stopped = [...server.state.tables.vm.values()].find(({ status }) => status.powerState === "stopped");
		await page.goto(`${server.url}/vms/${stopped?.id}`);
		await page.getByRole("button", { name: "Show tasks", exact: true }).waitFor();
		await page.getByRole("main").getByRole("button", { name: "Start", exact: true }).click();
		const button = page.getByRole("button", { name: "Show tasks (1 running)" });
		await button.waitFor();
		expect(await button.evaluate((element) => element.getBoundingClientRect().right <= innerWidth)).toBe(true);
		await button.click();
		await page.locator("#task-drawer .task-row", { hasText: "Start VM" }).first().waitFor();
		await close();
	}
	const { page, server, close } = await stage.open({ vms: 2 });
	await page.goto(server.url);
	await page.locator(".header__search kbd", { hasText: /^\/$/ }).waitFor();
	await page.goto(`${server.url}/vms`);
	await page.locator(".search-box kbd", { hasText: /^\/$/ }).waitFor();
	expect(await page.locator(".header__search kbd", { hasText: /^\/$/ }).count()).toBe(0);
	await close();
});

test("no text for screen readers makes the frame scroll away", async () => {
	for (const context of [{}, phone]) {
		const { page, server, close } = await stage.open({ vms: 40, context });
		for (const path of ["/vms", "/account", "/administration/audit", "/tasks", "/vms/new"]) {
			await page.goto(server.url + path);
			await page.locator("h1").first().waitFor();
			await page.locator(".skeleton").first().waitFor({ state: "detached" });
			const beyond = await page.evaluate(() => document.documentElement.scrollHeight - innerHeight);
			expect([path, beyond]).toEqual([path, 0]);
		}
		// The list itself scrolls in its box, not the page around it.
		await page.goto(`${server.url}/vms`);
		await page.getByText("build-01").first().waitFor();
		if (context === phone) await close();
		else {
			const main = await page.locator("#main").evaluate((element) => element.scrollHeight - element.clientHeight);
			expect(main).toBe(0);
			await close();
		}
	}
});

test("cards on a phone can be ordered and chosen all at once", async () => {
	const { page, server, close } = await stage.open({ vms: 10, context: phone });
	await page.goto(`${server.url}/vms`);
	await page.getByRole("button", { name: "Sorted by Name, ascending" }).click();
	await page.getByRole("menuitemcheckbox", { name: "Memory" }).click();
	await page.getByRole("menuitemcheckbox", { name: "Memory" }).click();
	await page.keyboard.press("Escape");
	expect(new URL(page.url()).search).toBe("?sort=-memory");
	const sizes = await page.locator(".table-cards__lines div:first-child dd").allTextContents();
	expect(sizes.map((text) => Number.parseInt(text, 10))).toEqual([8, 8, 4, 4, 2, 2, 2, 1, 1, 1]);
	await page.getByRole("button", { name: "Select all" }).click();
	await page.getByText("10 selected").waitFor();
	await page.getByLabel("Select web-01").uncheck();
	await page.getByText("9 selected").waitFor();
	await page.getByRole("button", { name: "Select all" }).click();
	await page.getByText("10 selected").waitFor();
	await close();
});

test("on a phone the number of rows stands beside the search", async () => {
	const { page, server, close } = await stage.open({ vms: 10, context: phone });
	await page.goto(`${server.url}/vms`);
	const [search, count] = [page.getByRole("searchbox"), page.locator(".data-table__count")];
	await count.waitFor();
	for (const typed of ["", "web"]) {
		await search.fill(typed);
		const [one, other] = [await search.boundingBox(), await count.boundingBox()];
		if (!one || !other) throw new Error("not shown");
		expect(other.y).toBeGreaterThanOrEqual(one.y);
		expect(other.y + other.height).toBeLessThanOrEqual(one.y + one.height);
		expect(other.x).toBeGreaterThan(one.x + one.width);
	}
	await close();
});

test("a tap opens no tooltip, but says why something is off; a mouse and the keyboard open them", async () => {
	const { page, server, close } = await stage.open({ vms: 3, context: { ...phone, hasTouch: true } });
	const vm = [...server.state.tables.vm.values()].find(({ status }) => status.powerState === "running");
	await page.goto(`${server.url}/vms/${vm?.id}`);
	const tooltip = page.locator(".tooltip:popover-open");
	const tasks = page.locator(".header__tasks");
	await page.getByRole("main").getByRole("button", { name: "Start", exact: true }).tap({ force: true });
	await page.locator(".tooltip:popover-open", { hasText: "A VM that is running cannot be started." }).waitFor();
	await tasks.tap();
	await page.locator(".header__tasks[aria-expanded=true]").waitFor();
	expect(await tooltip.count()).toBe(0);
	await page.locator("h1").hover();
	await tasks.hover();
	await tooltip.waitFor();
	await page.locator("h1").hover();
	await tooltip.waitFor({ state: "hidden" });
	await tasks.focus();
	await page.keyboard.press("Shift+Tab");
	await page.keyboard.press("Tab");
	await tooltip.waitFor();
	await close();
});

test("at 900 pixels no column is cut off: those without room are left out whole", async () => {
	const { page, server, close } = await stage.open({ vms: 10, context: { viewport: { width: 900, height: 700 } } });
	await page.goto(`${server.url}/vms`);
	await page.getByRole("row", { name: /build-01/ }).waitFor();
	const hidden = () =>
		page.locator(".data-table__scroller").evaluate((element) => element.scrollWidth - element.clientWidth);
	expect(await hidden()).toBe(0);
	expect(await page.getByRole("columnheader").allTextContents()).not.toContain("Created");
	expect(await page.getByRole("columnheader").allTextContents()).toContain("Addresses");
	// Chosen, it is there, and the table scrolls sideways.
	await page.getByRole("button", { name: "Columns" }).click();
	await page.getByRole("menuitemcheckbox", { name: "Created" }).click();
	await page.getByRole("menuitemcheckbox", { name: "ID" }).click();
	await page.getByRole("menuitemcheckbox", { name: "Firmware" }).click();
	await page.keyboard.press("Escape");
	await page.getByRole("columnheader", { name: "Created" }).waitFor();
	expect(await hidden()).toBeGreaterThan(0);
	await page.setViewportSize({ width: 1700, height: 700 });
	await page.getByRole("columnheader", { name: "Tags" }).waitFor();
	await close();
});

test("overcommitted CPUs are said in words; without a demo image the empty list offers no demo", async () => {
	const { page, server, close } = await stage.open({ vms: 40 });
	await page.goto(server.url);
	await page.getByText(/^Overcommitted: \d\.\d vCPUs for each CPU\.$/).waitFor();
	await page.locator(".usage__over").waitFor();
	await page
		.getByRole("row", { name: /node-1/ })
		.getByText("/ 128 GiB")
		.waitFor();
	await close();

	const fresh = await stage.open({ empty: true });
	fresh.server.settings.demoAvailable = false;
	await fresh.page.goto(`${fresh.server.url}/vms`);
	await fresh.page.getByText("No VMs yet").waitFor();
	expect(await fresh.page.getByText(/demo VM/).count()).toBe(0);
	await fresh.close();
});

test("users and tokens have pages; the audit speaks, and is narrowed in the address", async () => {
	const { page, server, close, problems } = await stage.open({ vms: 4 });
	await page.goto(`${server.url}/administration`);
	await page.getByRole("link", { name: "operator" }).click();
	await page.getByRole("heading", { name: "operator" }).waitFor();
	expect(new URL(page.url()).pathname).toMatch(/^\/administration\/users\/[0-9a-f-]{36}$/);
	await page.reload();
	await page.getByRole("heading", { name: "operator" }).waitFor();
	await page.getByRole("link", { name: "What operator did, and what was refused" }).click();
	await page
		.getByRole("row", { name: /Start VM/ })
		.first()
		.waitFor();
	expect(new URL(page.url()).search).toBe("?who=operator");
	expect(await page.locator("tbody tr td:nth-child(2)").allTextContents()).not.toContain("admin");
	expect(await page.locator("tbody td [title=vmStart]").first().textContent()).toBe("Start VM");
	await page.getByRole("button", { name: "Outcome", exact: true }).first().click();
	await page.getByRole("menuitemcheckbox", { name: "Denied" }).click();
	await page.keyboard.press("Escape");
	expect(new URL(page.url()).search).toBe("?who=operator&outcome=denied");
	await page.reload();
	await page
		.getByRole("row", { name: /Denied/ })
		.first()
		.waitFor();
	await page.goto(`${server.url}/administration/audit`);
	await page.getByRole("row", { name: /Remove node.*Confirmed: node-9 is off/ }).waitFor();

	await page.goto(`${server.url}/administration/tokens`);
	await page.getByRole("link", { name: "prometheus" }).click();
	await page.getByRole("heading", { name: "prometheus" }).waitFor();
	await page.getByRole("main").getByRole("link", { name: "admin" }).waitFor();
	await page.getByRole("button", { name: "More actions" }).click();
	await page.getByRole("menuitem", { name: "Delete token" }).click();
	await page.getByRole("button", { name: "Delete token" }).click();
	await page.getByText("No API tokens").waitFor();
	expect(new URL(page.url()).pathname).toBe("/administration/tokens");
	expect(problems).toEqual([]);
	await close();
});
