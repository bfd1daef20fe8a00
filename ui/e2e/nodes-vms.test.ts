/**
 * Two real nodes with VMs, and a browser that knows the first one only: a VM is made on the other node, its screen, figures
 * and serial log are seen from here, it is stopped, moved here with its disk, and started.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { present } from "../../src/lib/assert.ts";
import { waitUntil } from "../../src/testing/lab/wait-until.ts";
import { freePort } from "../../src/testing/system/free-port.ts";
import type { LabSystem } from "../../src/testing/system/lab-system.ts";
import { qemuPids } from "../../src/testing/system/leftovers.ts";
import { startVmNode } from "../../src/testing/system/vm-node.ts";
import { launchBrowser, password } from "./browser.ts";

const limitMs = 400_000;
const stepMs = 120_000;
let poolPath: string;
let first: LabSystem;
let second: LabSystem;
let browser: Browser;
let page: Page;
const problems: string[] = [];
const ends: (() => PromiseLike<void>)[] = [];

beforeAll(async () => {
	poolPath = mkdtempSync("/tmp/lqx-ui-pool-");
	const start = async (name: string) => startVmNode({ name, poolPath, peerPort: await freePort(), ends });
	[first, second] = [await start("node-1"), await start("node-2")];
	const { secret } = (await first.api.call("joinTokenCreate", { body: {} })).body;
	await second.api.call("clusterJoin", { body: { token: secret, rename: true } });
	await waitUntil("both nodes to be ready", stepMs, async () => {
		const { items } = (await first.api.call("nodeList")).body;
		return items.filter(({ status }) => status.phase === "ready").length === 2;
	});
	const { items: users } = (await first.api.call("userList")).body;
	await first.api.call("userPasswordReset", {
		path: { id: present(users[0], "the administrator").id },
		body: { newPassword: "an interim password" },
	});
	browser = await launchBrowser();
	const context = await browser.newContext({ reducedMotion: "reduce", viewport: { width: 1280, height: 900 } });
	context.setDefaultTimeout(stepMs);
	context.on("weberror", (error) => problems.push(error.error().message));
	page = await context.newPage();
}, limitMs);
afterAll(async () => {
	await browser?.close();
	for (const end of ends) await end();
	rmSync(poolPath, { recursive: true, force: true });
}, limitMs);

const nodeOfVm = async (): Promise<string | undefined> => {
	const [vm] = (await first.api.call("vmList")).body.items;
	return (await first.api.call("nodeList")).body.items.find(({ id }) => id === vm?.nodeId)?.name;
};
const tab = (name: string) => page.getByRole("main").getByRole("link", { name, exact: true }).click();
const state = (word: string) => page.locator(".page__badges").getByText(word, { exact: true }).waitFor();
/** Until something of the guest is drawn. */
const screenShown = async () => {
	await tab("Console");
	await page.waitForFunction(() => {
		const canvas = document.querySelector<HTMLCanvasElement>(".console__screen canvas");
		const pixels = canvas?.width ? canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data : null;
		return pixels?.some((value, index) => index % 4 !== 3 && value > 0) ?? false;
	});
};

test(
	"a VM of another node is made, seen and driven from here, and comes here with its disk",
	async () => {
		await first.image();
		await page.goto(first.daemon.url);
		await page.getByLabel("User name").fill("admin");
		await page.getByLabel("Password").fill("an interim password");
		await page.getByRole("button", { name: "Sign in" }).click();
		await page.getByLabel("Current password").fill("an interim password");
		await page.getByLabel("New password", { exact: true }).fill(password);
		await page.getByLabel("Repeat the new password").fill(password);
		await page.getByRole("button", { name: "Change password" }).click();
		await page.getByRole("navigation", { name: "Navigation" }).waitFor();

		await page.goto(`${first.daemon.url}/vms/new`);
		await page.getByLabel("Name", { exact: true }).fill("far");
		await page.getByRole("radio", { name: /^guest/ }).check();
		await page.getByRole("radio", { name: /^Small/ }).check();
		const node = page.getByLabel("Node", { exact: true });
		const choice = await node.locator("option", { hasText: "node-2" }).getAttribute("value");
		await node.selectOption({ value: present(choice, "node-2") });
		await page.getByText("It is started on node-2.").waitFor();
		await page.getByRole("button", { name: "Create VM" }).click();
		await page.getByRole("heading", { name: "far" }).waitFor();
		await state("Running");
		expect([await nodeOfVm(), (await qemuPids(first)).length, (await qemuPids(second)).length]).toEqual([
			"node-2",
			0,
			1,
		]);

		await screenShown();
		await tab("Serial log");
		await page
			.getByText(/GUEST|Linux|boot/i)
			.first()
			.waitFor();
		await tab("Summary");
		await page.getByRole("img", { name: "Screen of far" }).waitFor();
		await page
			.locator(".figures__figure", { hasText: "Memory" })
			.getByText(/MiB|GiB/)
			.waitFor();
		await page.getByRole("main").getByRole("link", { name: "node-2" }).waitFor();

		await page.getByRole("button", { name: "More actions" }).click();
		const move = page.getByRole("menuitem", { name: "Move" });
		expect(await move.getAttribute("aria-disabled")).toBe("true");
		await page.getByRole("menuitem", { name: "Stop" }).click();
		await page.getByRole("dialog").getByRole("button", { name: "Stop" }).click();
		await state("Stopped");

		await page.getByRole("button", { name: "More actions" }).click();
		await page.getByRole("menuitem", { name: "Move" }).click();
		const dialog = page.getByRole("dialog", { name: "Move far" });
		await dialog.getByText("removed from node-2 afterwards").waitFor();
		await dialog.getByRole("radio", { name: /node-1/ }).check();
		await dialog.getByRole("button", { name: "Move", exact: true }).click();
		await page.getByRole("main").getByRole("link", { name: "node-1" }).waitFor();
		await page.getByRole("button", { name: "Start", exact: true }).first().click();
		await state("Running");
		expect([await nodeOfVm(), (await qemuPids(first)).length, (await qemuPids(second)).length]).toEqual([
			"node-1",
			1,
			0,
		]);
		await screenShown();
		expect(problems).toEqual([]);
	},
	limitMs,
);
