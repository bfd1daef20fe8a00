/** The first hour, against the mock: from the first sign-in to a VM's screen, and what people do with it. */
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

/** Bright pixels of the console's canvas. */
const litPixels = (page: Page): Promise<number> =>
	page.evaluate(() => {
		const canvas = document.querySelector<HTMLCanvasElement>(".console__screen canvas");
		const data = canvas?.width ? canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data : null;
		let lit = 0;
		if (data) for (let at = 0; at < data.length; at += 4) if ((data[at + 1] ?? 0) > 150) lit += 1;
		return lit;
	});

async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
	const end = Date.now() + 15_000;
	while (!(await condition())) {
		if (Date.now() > end) throw new Error(`${what} did not come true`);
		await Bun.sleep(50);
	}
}

const vmNamed = ({ server }: Opened, name: string) => {
	const vm = [...server.state.tables.vm.values()].find((one) => one.name === name);
	if (!vm) throw new Error(`there is no VM ${name}`);
	return vm;
};

test("first sign-in: a new password, the welcome page, the demo VM, its screen", async () => {
	const { page, problems, close } = await stage.open({ empty: true, mustChangePassword: true, signedOut: true });
	await page.getByLabel("User name").fill("admin");
	await page.getByLabel("Password").fill(password);
	await page.getByRole("button", { name: "Sign in" }).click();

	await page.getByRole("heading", { name: "Choose a new password" }).waitFor();
	await page.getByLabel("Current password").fill(password);
	await page.getByLabel("New password", { exact: true }).fill("short");
	await page.getByText("Use 12 characters at least.").waitFor();
	await page.getByLabel("New password", { exact: true }).fill("a much better password");
	await page.getByLabel("Repeat the new password").fill("a much better password");
	await page.getByRole("button", { name: "Change password" }).click();

	await page.getByRole("heading", { name: "Welcome to LimiQuantix" }).waitFor();
	await page.getByRole("button", { name: "Start the demo VM" }).click();
	await page.getByRole("heading", { name: /^demo/ }).waitFor();
	await until(async () => (await litPixels(page)) > 1000, "the screen");
	const before = await litPixels(page);
	await page.locator(".console__screen canvas").click();
	await page.keyboard.type("hello");
	await until(async () => (await litPixels(page)) > before, "the echo of the keys");
	expect(problems).toEqual([]);
	await close();
});

test("three fields make a VM; what is wrong is said under its field", async () => {
	const opened = await stage.open({ vms: 3 });
	const { page, server, problems } = opened;
	await page.keyboard.press("c");
	await page.getByRole("heading", { name: "Create VM" }).waitFor();
	await page.getByRole("button", { name: "Create VM" }).click();
	await page.getByText("Choose an image, or an empty disk.").waitFor();
	const name = page.getByRole("textbox", { name: "Name", exact: true });
	expect(await name.getAttribute("aria-invalid")).toBe("true");
	await name.fill("-bad");
	await page.getByText("beginning with a letter or digit").waitFor();
	await name.fill("web-01");
	await page.getByRole("radio", { name: /^debian-13-generic/ }).check();
	await page.getByRole("radio", { name: /^Small/ }).check();
	await page.getByText("A copy-on-write copy of debian-13-generic becomes a 10 GiB disk in pool local.").waitFor();
	await page.getByRole("button", { name: "Create VM" }).click();
	// The API's errors[] lands under the field as well.
	await page.locator(".field__error", { hasText: "The name web-01 is taken." }).waitFor();

	// Nothing is lost by going away.
	await page.getByRole("link", { name: "Images", exact: true }).click();
	await page.getByRole("heading", { name: "Images" }).waitFor();
	await page.goBack();
	await page.getByText("What you entered before was kept.").waitFor();
	expect(await name.inputValue()).toBe("web-01");
	await name.fill("shop-01");
	await page.getByRole("button", { name: "Create VM" }).click();
	await page.getByRole("heading", { name: "shop-01" }).waitFor();
	await page.getByRole("main").getByText("Running", { exact: true }).waitFor();
	const vm = vmNamed(opened, "shop-01");
	expect([vm.spec.cpu.vcpus, vm.spec.memory.sizeBytes / 2 ** 30, vm.spec.nics.length]).toEqual([1, 1, 1]);
	expect(server.state.tables.volume.get(vm.spec.disks[0]?.volumeId ?? "")?.sizeBytes).toBe(10 * 2 ** 30);
	expect(problems).toEqual([]);
	await opened.close();
});

test("a guest's password is hashed in the browser", async () => {
	const opened = await stage.open({ vms: 1 });
	const { page } = opened;
	await page.goto(`${opened.server.url}/vms/new`);
	await page.getByRole("textbox", { name: "Name", exact: true }).fill("init-01");
	await page.getByRole("radio", { name: /^debian-13-generic/ }).check();
	await page.locator("summary", { hasText: "cloud-init" }).click();
	await page.getByRole("radio", { name: "Form", exact: true }).check();
	await page.getByRole("radio", { name: "Password", exact: true }).check();
	await page.getByLabel("Password", { exact: true }).last().fill("guest secret");
	await page.getByRole("button", { name: "Create VM" }).click();
	await page.getByRole("heading", { name: "init-01" }).waitFor();
	const init = vmNamed(opened, "init-01").spec.cloudInit;
	if (init?.kind !== "form") throw new Error("no form was sent");
	expect(init.users[0]?.passwordHash).toMatch(/^\$6\$[./0-9A-Za-z]{16}\$[./0-9A-Za-z]{86}$/);
	await opened.close();
});

test("what cannot be done now is shown with its reason; deleting says what is lost and asks for the name", async () => {
	const opened = await stage.open({ vms: 3 });
	const { page, server } = opened;
	const vm = vmNamed(opened, "web-01");
	await page.goto(`${server.url}/vms/${vm.id}`);
	const start = page.getByRole("main").getByRole("button", { name: "Start", exact: true });
	expect(await start.getAttribute("aria-disabled")).toBe("true");
	const described = await start.getAttribute("aria-describedby");
	expect(await page.locator(`[id="${described}"]`).textContent()).toBe("A VM that is running cannot be started.");
	await start.click({ force: true });
	expect(server.state.tables.vm.get(vm.id)?.status.powerState).toBe("running");

	await page.getByRole("button", { name: "More actions" }).click();
	await page.getByRole("menuitem", { name: "Delete" }).click();
	const dialog = page.getByRole("dialog", { name: "Delete web-01" });
	await dialog.getByText("web-01-disk-0").waitFor();
	const confirm = dialog.getByRole("button", { name: "Delete VM" });
	expect(await confirm.getAttribute("aria-disabled")).toBe("true");
	await dialog.getByLabel("Type web-01 to confirm").fill("web-01");
	await confirm.click();
	await page.getByRole("heading", { name: "VMs", exact: true }).waitFor();
	await until(async () => !server.state.tables.vm.has(vm.id), "the deletion");
	expect(server.state.tables.volume.has(vm.spec.disks[0]?.volumeId ?? "")).toBe(false);
	await page.getByRole("row", { name: /web-01/ }).waitFor({ state: "detached" });
	await opened.close();
});

test("a failed task stays in sight, with its details", async () => {
	const opened = await stage.open({ vms: 3 });
	const { page, server } = opened;
	const vm = [...server.state.tables.vm.values()].find(({ status }) => status.powerState === "stopped");
	if (!vm) throw new Error("no VM is stopped");
	server.state.change("vm", vm.id, { name: "broken-01" });
	await page.goto(`${server.url}/vms/${vm.id}`);
	await page.getByRole("main").getByRole("button", { name: "Start", exact: true }).click();
	await page.getByRole("region", { name: "Notifications" }).getByText("Start VM broken-01").waitFor();
	await page.getByRole("region", { name: "Notifications" }).getByText("Permission denied").waitFor();
	await page.getByRole("button", { name: /^Tasks/ }).click();
	const row = page.locator(".task-row", { hasText: "broken-01" });
	await row.getByText("Failed").waitFor();
	await row.getByRole("button", { name: "Copy details" }).waitFor();
	await row.getByRole("button", { name: /^Dismiss/ }).click();
	await row.waitFor({ state: "detached" });
	await opened.close();
});

test("the console: off, started, broken off and back, keys and pasted text", async () => {
	const opened = await stage.open({ vms: 6 });
	const { page, server, problems } = opened;
	const vm = [...server.state.tables.vm.values()].find(({ status }) => status.powerState === "stopped");
	if (!vm) throw new Error("no VM is stopped");
	await page.goto(`${server.url}/vms/${vm.id}/console`);
	await page.getByText("The VM is not running").waitFor();
	await page.locator(".console").getByRole("button", { name: "Start" }).click();
	await until(async () => (await litPixels(page)) > 1000, "the screen");

	server.dropConsoles();
	await page.getByText("The connection was lost").waitFor();
	await until(async () => server.sockets.size === 1 && (await litPixels(page)) > 1000, "the reconnect");

	await page.getByRole("button", { name: "Ctrl-Alt-Del" }).click();
	const keysOf = () => [...server.sockets][0]?.data.vnc?.keys ?? [];
	await until(async () => keysOf().includes(0xffff), "Ctrl-Alt-Del");
	await page.getByRole("button", { name: "Paste as keys" }).click();
	await page.getByLabel("Text to type").fill("Ab!");
	await page.getByRole("button", { name: "Type 3 keys" }).click();
	await page.getByRole("dialog").waitFor({ state: "detached" });
	const typed = String.fromCharCode(...keysOf().filter((key) => key > 32 && key < 127));
	expect(typed).toBe("Ab!");

	await page.getByRole("button", { name: "Clipboard" }).click();
	await page.getByLabel("Guest clipboard").fill("from the browser");
	await page.getByRole("button", { name: "Send to guest" }).click();
	await until(async () => [...server.sockets][0]?.data.vnc?.clipboard === "from the browser", "the clipboard");

	// The keyboard can leave the console.
	await page.locator(".console__screen canvas").click();
	await page.keyboard.press("Control+Alt+Escape");
	expect(await page.evaluate(() => document.activeElement?.closest(".console__toolbar") !== null)).toBe(true);

	await page.getByRole("link", { name: "Summary" }).click();
	await until(async () => server.sockets.size === 0, "the end of the console");
	expect(problems).toEqual([]);
	await opened.close();
});

test("a viewer sees, and changes nothing", async () => {
	const opened = await stage.open({ vms: 3, username: "viewer" });
	const { page, server } = opened;
	await page.goto(`${server.url}/vms`);
	const create = page.getByRole("button", { name: "Create VM" });
	expect(await create.getAttribute("aria-disabled")).toBe("true");
	await page.goto(`${server.url}/vms/${vmNamed(opened, "web-01").id}/console`);
	await page.getByText("View only").waitFor();
	await until(async () => (await litPixels(page)) > 1000, "the screen");
	await page.locator(".console__screen canvas").click();
	await page.keyboard.type("x");
	await page.goto(`${server.url}/administration`);
	await page.getByText("The role viewer does not allow this.").waitFor();
	expect([...server.sockets].every(({ data }) => (data.vnc?.keys.length ?? 0) === 0)).toBe(true);
	await opened.close();
});
