/**
 * The first hour with a node, in Chromium over HTTPS with the self-signed certificate: sign in with the first password,
 * change it, add an image, make a VM with three fields, see its screen and type at it, restart the node under it, shut
 * it down, start it, delete it. axe-core looks at every page on the way; pictures go to test-results/journey/.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import AxeBuilder from "@axe-core/playwright";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { launchBrowser } from "../../../ui/e2e/browser.ts";
import { present } from "../../lib/assert.ts";
import { cursorPixels, Screenshot } from "../lab/screenshot.ts";
import { isShiftedOnUsKeyboard } from "../lab/vnc-keys.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { freePort } from "./free-port.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import { type LabSystem, startLabSystem } from "./lab-system.ts";
import { domainIds, findLeftovers, qemuPids } from "./leftovers.ts";
import { pictureOf } from "./picture.ts";

const pictures = join(import.meta.dir, "../../../test-results/journey");
const ownPassword = "a horse in the stable";
const bootLimitMs = 90_000;

let system: LabSystem;
let browser: Browser;
let context: BrowserContext;
let page: Page;
/** What the page threw, or the content security policy stopped. */
const problems: string[] = [];
const findings: string[] = [];

beforeAll(async () => {
	rmSync(pictures, { recursive: true, force: true });
	mkdirSync(pictures, { recursive: true });
	// One port over restarts of the node, as a person's would be.
	const port = await freePort();
	system = await startLabSystem({ name: "journey", tls: true, arguments: ["--listen", `127.0.0.1:${port}`] });
	browser = await launchBrowser();
	context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 800 } });
	context.setDefaultTimeout(20_000);
	context.on("weberror", (error) => problems.push(error.error().message));
	context.on("console", (message) => {
		if (message.type() === "error" && !/Failed to load resource|WebSocket connection/.test(message.text()))
			problems.push(message.text());
	});
	page = await context.newPage();
}, 120_000);
afterAll(async () => {
	await browser?.close();
	await system?.[Symbol.asyncDispose]();
});

let pictureCount = 0;

/** A picture for a person, and what axe-core has against the page. */
async function look(name: string): Promise<void> {
	await page.locator(".skeleton").first().waitFor({ state: "detached" });
	pictureCount += 1;
	await page.screenshot({ path: join(pictures, `${String(pictureCount).padStart(2, "0")}-${name}.png`) });
	const { violations } = await new AxeBuilder({ page }).analyze();
	for (const { id, nodes } of violations)
		findings.push(`${name}: ${id}: ${nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`);
}

const press = (name: string) => page.getByRole("button", { name, exact: true }).first().click();
const link = (name: string) => page.getByRole("link", { name, exact: true }).first().click();

/** As fingers do it, with Shift held where a US keyboard wants it; a guest's keyboard buffer is small. */
async function typeAtGuest(text: string): Promise<void> {
	await page.locator(".console__screen canvas").click();
	for (const character of text) {
		const shifted = isShiftedOnUsKeyboard(character);
		if (shifted) await page.keyboard.down("Shift");
		await page.keyboard.press(character === "\n" ? "Enter" : character, { delay: 30 });
		if (shifted) await page.keyboard.up("Shift");
	}
}

/** The guest's screen as noVNC has drawn it, at the guest's own size. Null while nothing is drawn. */
async function canvasPicture(): Promise<Screenshot | null> {
	const drawn = await page.evaluate(() => {
		const canvas = document.querySelector<HTMLCanvasElement>(".console__screen canvas");
		if (!canvas?.width || !canvas.height) return null;
		const data = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data;
		if (!data) return null;
		let text = "";
		for (let at = 0; at < data.length; at += 4)
			text += String.fromCharCode(data[at] ?? 0, data[at + 1] ?? 0, data[at + 2] ?? 0);
		return { width: canvas.width, height: canvas.height, rgb: btoa(text) };
	});
	return drawn && new Screenshot(drawn.width, drawn.height, Buffer.from(drawn.rgb, "base64"));
}

/** Waits until the canvas shows what QEMU says is on the screen. */
const canvasIsScreen = (vmId: string): Promise<Screenshot> =>
	waitUntil(
		"the canvas to show the guest's screen",
		30_000,
		async () => {
			// A VM that starts just now may have no picture yet.
			const [drawn, real] = [await canvasPicture(), await pictureOf(system, vmId).catch(() => null)];
			const same = drawn !== null && real !== null && drawn.countDifferingPixels(real) <= cursorPixels;
			return same && drawn.countDistinctColours() >= 5 ? drawn : undefined;
		},
		{ everyMs: 300 },
	);

test("the first hour", async () => {
	const { daemon, api } = system;
	await page.goto(daemon.url);
	await page.getByRole("heading", { name: "Sign in" }).waitFor();
	await look("sign-in");
	const initial = daemon.initialPassword();
	await page.getByLabel("User name").fill("admin");
	await page.getByLabel("Password").fill(initial);
	await press("Sign in");

	await page.getByRole("heading", { name: "Choose a new password" }).waitFor();
	await look("new-password");
	await page.getByLabel("Current password").fill(initial);
	await page.getByLabel("New password", { exact: true }).fill(ownPassword);
	await page.getByLabel("Repeat the new password").fill(ownPassword);
	await press("Change password");

	await page.getByRole("heading", { name: "Welcome to LimiQuantix" }).waitFor();
	await look("welcome");
	await waitUntil(
		"the first password's file to go",
		5000,
		() => !existsSync(join(daemon.dataDir, "initial-admin-password")),
	);

	await link("Add image");
	await page.getByRole("dialog").waitFor();
	const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.locator("input[type=file]").click()]);
	await chooser.setFiles(system.guest.qcow2Path);
	await page.getByText("The file looks like qcow2.").waitFor();
	await look("add-image");
	await page.getByRole("dialog").getByRole("button", { name: "Upload" }).click();
	const imageRow = page.getByRole("row").filter({ hasText: "guest" });
	await imageRow.getByText("Ready").waitFor();
	await look("images");
	const image = present((await api.call("imageList")).body.items[0], "the image");
	expect(image).toMatchObject({ name: "guest", phase: "ready", format: "qcow2", sha256: system.guest.sha256 });

	await page.goto(`${daemon.url}/vms`);
	await page.getByText("No VMs yet").waitFor();
	await look("no-vms");
	await link("Create VM");
	await page.getByRole("heading", { name: "Create VM" }).waitFor();
	await page.getByLabel("Name", { exact: true }).fill("first");
	await page.getByRole("radio", { name: /^guest/ }).check();
	await page.getByRole("radio", { name: /^Small/ }).check();
	await look("create-vm");
	await page.getByRole("button", { name: "Create VM" }).click();

	await page.getByRole("heading", { name: "first" }).waitFor();
	await page.getByRole("button", { name: /^Tasks/ }).click();
	await look("vm-making");
	const state = page.locator(".page__badges");
	await state.getByText("Running").waitFor({ timeout: 60_000 });
	await page.locator("#task-drawer").getByText("Create VM").first().waitFor();
	await page.locator("#task-drawer").getByText("Done").first().waitFor();
	await look("vm-running");
	await page.getByRole("button", { name: /^Tasks/ }).click();
	const vm = present((await api.call("vmList")).body.items[0], "the VM");
	expect(vm).toMatchObject({ name: "first", spec: { cpu: { vcpus: 1 }, memory: { sizeBytes: 2 ** 30 } } });
	const guest = new GuestTerminal(system, vm.id);
	await guest.booted();

	await link("Console");
	const screen = await canvasIsScreen(vm.id);
	await look("console");
	await typeAtGuest("echo Typed-$((6*7)) > /dev/ttyS0\n");
	await guest.says("Typed-42");
	const typed = await canvasIsScreen(vm.id);
	expect(typed.differsFrom(screen, 500)).toBe(true);
	await look("console-typed");

	// The node's service restarts; the VM does not, and the console comes back by itself.
	const pids = await qemuPids(system);
	await guest.run("echo here > /run/mark");
	await daemon.term();
	await page.getByText(/The connection was lost/).waitFor();
	await look("console-lost");
	await daemon.start();
	await page.locator(".console__overlay").waitFor({ state: "detached", timeout: 60_000 });
	await canvasIsScreen(vm.id);
	expect(await qemuPids(system)).toEqual(pids);
	expect(await guest.run("cat /run/mark")).toBe("here");

	await link("Summary");
	await page.getByRole("img", { name: "Screen of first" }).waitFor();
	await look("summary");
	for (const tab of ["Disks", "Network", "Settings", "Tasks", "Serial log", "Domain XML"]) {
		await link(tab);
		await page.locator(".skeleton").first().waitFor({ state: "detached" });
		await look(`vm-${tab.toLowerCase().replace(" ", "-")}`);
	}

	await press("Shut down");
	await state.getByText("Stopped").waitFor({ timeout: 60_000 });
	await guest.says("power-button pressed");
	await link("Console");
	await page.getByText("The VM is not running").waitFor();
	await look("console-off");
	const from = await guest.mark();
	await page.locator(".console__overlay").getByRole("button", { name: "Start" }).click();
	await guest.says("LIMIQUANTIX-GUEST boot-count 2", { from, limitMs: bootLimitMs });
	await guest.booted(from);
	await canvasIsScreen(vm.id);

	for (const [name, path] of otherPages) {
		await page.goto(daemon.url + path);
		await page.locator("h1").first().waitFor();
		await look(name);
	}

	await page.goto(`${daemon.url}/vms/${vm.id}`);
	await press("More actions");
	await look("actions");
	await page.getByRole("menuitem", { name: "Delete" }).click();
	const dialog = page.getByRole("dialog");
	await dialog.getByText("It is running and will be stopped at once.").waitFor();
	await look("delete");
	await dialog.getByRole("textbox").fill("first");
	await dialog.getByRole("button", { name: "Delete VM" }).click();
	await page.getByText("No VMs yet").waitFor({ timeout: 60_000 });
	await look("deleted");
	await waitUntil("the VM to be gone", 30_000, async () => (await api.call("vmList")).body.items.length === 0);
	expect(await domainIds(system)).toEqual([]);
	expect(await qemuPids(system)).toEqual([]);
	expect(await findLeftovers(system)).toEqual([]);

	await press("Signed in as admin");
	await page.getByRole("menuitem", { name: "Sign out" }).click();
	await page.getByRole("heading", { name: "Sign in" }).waitFor();
	expect(findings).toEqual([]);
	expect(problems).toEqual([]);
}, 240_000);

const otherPages = [
	["overview", "/"],
	["vms", "/vms"],
	["storage", "/storage"],
	["networks", "/networks"],
	["cluster", "/cluster"],
	["tasks", "/tasks"],
	["administration", "/administration"],
	["account", "/account"],
] as const;
