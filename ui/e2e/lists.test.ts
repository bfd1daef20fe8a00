/** Lists: search, filters and order in the address, selection, ten thousand VMs; keyboard; uploads that are resumed. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openStage, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

test("search, filter and order are in the address and survive a reload", async () => {
	const { page, server, close } = await stage.open({ vms: 24 });
	await page.goto(`${server.url}/vms`);
	const search = page.getByRole("searchbox", { name: /^Search/ });
	await search.fill("web");
	await page.getByRole("button", { name: "Name", exact: true }).click();
	await page.getByRole("button", { name: "State", exact: true }).first().click();
	await page.getByRole("menuitemcheckbox", { name: "Running" }).click();
	await page.keyboard.press("Escape");
	expect(new URL(page.url()).search).toBe("?q=web&sort=-name&state=running");
	await page.reload();
	await page.getByRole("row", { name: /web-/ }).first().waitFor();
	const names = await page.locator("tbody tr td:nth-child(2)").allTextContents();
	expect(names.length).toBeGreaterThan(0);
	expect(names).toEqual([...names].sort().reverse());
	expect(names.every((name) => name.startsWith("web"))).toBe(true);
	await page.getByRole("button", { name: "Clear filters" }).click();
	await page.getByRole("row", { name: /db-01/ }).waitFor();
	await close();
});

test("chosen rows get bulk actions for those that they fit", async () => {
	const { page, server, close } = await stage.open({ vms: 10 });
	await page.goto(`${server.url}/vms`);
	await page.getByLabel("Select all rows").check();
	await page.getByText("10 selected").waitFor();
	const stopped = [...server.state.tables.vm.values()].filter(({ status }) => status.powerState === "stopped").length;
	await page.getByRole("button", { name: `Start (${stopped})` }).click();
	await page.getByText("10 selected").waitFor({ state: "detached" });
	await page.getByText("Stopped", { exact: true }).first().waitFor({ state: "detached" });
	const left = [...server.state.tables.vm.values()].filter(({ status }) => status.powerState === "stopped");
	expect(left).toEqual([]);
	await close();
});

test("ten thousand VMs: few rows in the page, quick to search, columns that stay where they are", async () => {
	const { page, server, close } = await stage.open({ vms: 10_000 });
	await page.goto(`${server.url}/vms`);
	await page.getByText("10,000", { exact: true }).first().waitFor({ timeout: 60_000 });
	const rows = () => page.locator("tbody tr").count();
	expect(await rows()).toBeLessThan(100);
	expect(await page.getByRole("treeitem").count()).toBeLessThan(120);
	await page.locator(".data-table__scroller").evaluate((element) => element.scrollTo(0, element.scrollHeight));
	await page.getByRole("row", { name: /web-1250/ }).waitFor();
	expect(await rows()).toBeLessThan(100);

	await page.locator(".data-table__scroller").evaluate((element) => element.scrollTo(0, 0));
	const places = () =>
		page.locator("thead th").evaluateAll((cells) => cells.map((cell) => cell.getBoundingClientRect().x));
	const before = await places();
	const [vm] = [...server.state.tables.vm.values()].filter(({ name }) => name === "build-01");
	if (!vm) throw new Error("no VM");
	server.state.change("vm", vm.id, { tags: ["a-very-long-tag-that-would-not-fit-anywhere", "another-one", "third"] });
	await page.getByText("a-very-long-tag-that-would-not-fit-anywhere").waitFor();
	expect(await places()).toEqual(before);

	const startedAt = performance.now();
	await page.getByRole("searchbox", { name: /^Search/ }).fill("web-1249");
	await page.getByText("1 of 10,000").waitFor();
	expect(performance.now() - startedAt).toBeLessThan(3000);
	await close();
});

test("the keyboard: going places, the palette, dialogs that give focus back and lose nothing", async () => {
	const { page, server, close } = await stage.open({ vms: 4 });
	await page.keyboard.press("g");
	await page.keyboard.press("v");
	await page.getByRole("heading", { name: "VMs", exact: true }).waitFor();
	// The list comes after its title; without one, "/" leads to the search of the header.
	await page.getByRole("searchbox").waitFor();
	await page.keyboard.press("/");
	expect(await page.evaluate(() => document.activeElement?.getAttribute("type"))).toBe("search");
	await page.keyboard.type("g v");
	expect(new URL(page.url()).searchParams.get("q")).toBe("g v");
	await page.keyboard.press("Escape");
	await page.keyboard.press("Escape");
	await page.keyboard.press("Control+k");
	await page.getByRole("combobox").fill("cache-01");
	await page.keyboard.press("Enter");
	await page.getByRole("heading", { name: "cache-01" }).waitFor();

	await page.goto(`${server.url}/networks`);
	const create = page.getByRole("button", { name: "Create network" });
	await create.click();
	const panel = page.getByRole("dialog", { name: "Create network" });
	await panel.getByLabel("Name").fill("lab");
	await page.keyboard.press("Escape");
	await panel.getByText("Discard what you entered?").waitFor();
	await page.keyboard.press("Escape");
	await panel.getByText("Discard what you entered?").waitFor({ state: "detached" });
	expect(await panel.getByLabel("Name").inputValue()).toBe("lab");
	await page.keyboard.press("Escape");
	await panel.getByRole("button", { name: "Discard changes" }).click();
	await panel.waitFor({ state: "detached" });
	expect(await create.evaluate((button) => button === document.activeElement)).toBe(true);
	await close();
});

test("an upload goes in parts, and goes on after a reload with the same file only", async () => {
	const { page, server, context, close, problems } = await stage.open({ vms: 1 });
	const folder = await mkdtemp(join(tmpdir(), "lqx-upload-"));
	const bytes = new Uint8Array(20 * 1024 * 1024).map((_, index) => (index * 31) & 255);
	bytes.set([0x51, 0x46, 0x49, 0xfb]);
	const file = join(folder, "disk.qcow2");
	const other = join(folder, "other.qcow2");
	await Bun.write(file, bytes);
	await Bun.write(
		other,
		bytes.map((byte) => byte ^ 1),
	);
	const offsets: number[] = [];
	// The second part never gets through before the reload.
	let blocked = true;
	await context.route("**/content", async (route) => {
		const offset = Number(route.request().headers()["upload-offset"]);
		if (blocked && offset > 0) return;
		offsets.push(offset);
		await route.continue();
	});

	await page.goto(`${server.url}/images?add=upload`);
	await page.getByLabel("File", { exact: true }).setInputFiles(file);
	await page.getByText("The file looks like qcow2.").waitFor();
	expect(await page.getByRole("textbox", { name: "Name" }).inputValue()).toBe("disk");
	await page.getByRole("button", { name: "Upload" }).click();
	const row = page.getByRole("row", { name: /disk/ });
	await row.getByText("8 MiB of 20 MiB").waitFor();
	page.on("dialog", (dialog) => void dialog.accept());
	await page.reload();
	blocked = false;

	const goOn = () => row.getByRole("button", { name: "Choose disk.qcow2 again to go on" });
	await goOn().waitFor();
	const choose = async (path: string) => {
		const [chooser] = await Promise.all([page.waitForEvent("filechooser"), goOn().click()]);
		await chooser.setFiles(path);
	};
	await choose(other);
	await page.getByText("This is another file.").waitFor();
	await choose(file);
	await row.getByText("Ready").waitFor();
	expect(offsets).toEqual([0, 8 * 2 ** 20, 16 * 2 ** 20]);
	expect(problems).toEqual([]);
	await rm(folder, { recursive: true });
	await close();
});

test("a form begins at the choice that is made, as the Tab key does", async () => {
	const { page, server, close } = await stage.open({ vms: 3 });
	await page.goto(`${server.url}/images?add=url`);
	await page.getByRole("dialog").waitFor();
	expect(await page.getByRole("radio", { name: "URL" }).evaluate((radio) => radio === document.activeElement)).toBe(
		true,
	);
	await close();
});
