/** The settings of a VM: nothing that was typed is lost, and what is wrong is said where it is typed. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Page } from "playwright-core";
import { type Opened, type OpenOptions, openStage, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

async function openSettings(options: OpenOptions = {}): Promise<Opened & { vmId: string }> {
	const opened = await stage.open({ vms: 3, ...options });
	const { page, server } = opened;
	const vm = [...server.state.tables.vm.values()].find(({ status }) => status.powerState === "running");
	await page.goto(`${server.url}/vms/${vm?.id}/settings`);
	await page.getByLabel("Description").waitFor();
	return { ...opened, vmId: vm?.id ?? "" };
}
const description = (page: Page) => page.getByLabel("Description");
const kept = (page: Page) => page.getByText("What you changed before was kept. It is not saved yet.");

test("changes survive another tab, another page and a reload; saving or reverting ends them", async () => {
	const { page, server, vmId, problems, close } = await openSettings();
	const asked: string[] = [];
	page.on("dialog", (dialog) => {
		asked.push(dialog.type());
		void dialog.accept();
	});
	await description(page).fill("typed and not saved");
	await page.getByRole("link", { name: "Summary", exact: true }).click();
	await page.getByRole("link", { name: "Settings", exact: true }).click();
	await kept(page).waitFor();
	expect(await description(page).inputValue()).toBe("typed and not saved");
	await page.getByRole("link", { name: "Images", exact: true }).click();
	await page.getByRole("heading", { name: "Images" }).waitFor();
	expect(asked).toEqual([]);
	await page.goBack();
	await kept(page).waitFor();
	// The browser asks before the window goes.
	await description(page).press("End");
	await page.reload();
	expect(asked).toEqual(["beforeunload"]);
	await kept(page).waitFor();
	expect(await description(page).inputValue()).toBe("typed and not saved");

	// What somebody else changes in between is not undone by it, but said.
	await page.getByRole("link", { name: "Images", exact: true }).click();
	const vm = server.state.tables.vm.get(vmId);
	server.state.change("vm", vmId, { name: "renamed-01", generation: (vm?.generation ?? 0) + 1 });
	await page.getByRole("treeitem", { name: "renamed-01" }).waitFor();
	await page.goBack();
	await page.getByText("the VM was changed since").waitFor();
	await page.getByRole("button", { name: "Save changes" }).click();
	await page.getByText("Saved", { exact: true }).waitFor();
	expect(server.state.tables.vm.get(vmId)).toMatchObject({ name: "renamed-01", description: "typed and not saved" });

	await description(page).fill("second thoughts");
	await page.getByRole("button", { name: "Revert" }).click();
	await page.reload();
	await description(page).waitFor();
	expect(await description(page).inputValue()).toBe("typed and not saved");
	expect(await kept(page).count()).toBe(0);
	expect(asked).toEqual(["beforeunload"]);
	expect(problems).toEqual([]);
	await close();
});

test("more vCPUs or memory than the maximum is said under the field, while one types", async () => {
	const { page, close } = await openSettings();
	const vcpus = page.getByLabel("vCPUs", { exact: true });
	await vcpus.fill("99");
	await page.locator(".field", { has: vcpus }).getByText("More than the maximum").waitFor();
	expect(await vcpus.getAttribute("aria-invalid")).toBe("true");
	expect(await page.getByLabel("vCPUs at most").getAttribute("aria-invalid")).toBeNull();
	const memory = page.getByLabel("Memory", { exact: true });
	await memory.fill("100");
	await page.locator(".field", { has: memory }).getByText("More than the maximum").waitFor();
	await close();
});

test("when nothing can be changed, the buttons that send the forms say so", async () => {
	const { page, server, close } = await openSettings();
	await description(page).fill("kept");
	server.settings.quorum = false;
	server.state.emit("updated", "cluster", "x", {});
	await page.getByText("No quorum: read-only").waitFor();
	const off = async (name: string) =>
		expect(await page.getByRole("button", { name, exact: true }).last().getAttribute("aria-disabled")).toBe("true");
	await off("Save changes");
	page.on("dialog", (dialog) => void dialog.accept());
	await page.goto(`${server.url}/vms/new`);
	await page.getByText("No quorum: read-only").waitFor();
	await off("Create VM");
	await close();
});

for (const viewport of [
	{ width: 1280, height: 700 },
	{ width: 360, height: 640 },
]) {
	test(`no field hides behind the save bar, ${viewport.width} px`, async () => {
		const { page, close } = await openSettings({ context: { viewport } });
		await description(page).fill("x");
		const bar = page.locator(".save-bar");
		await bar.waitFor();
		const hidden: string[] = [];
		const fields = page.locator(".settings :is(input, select, textarea):not([type=radio])");
		for (const field of await fields.all()) {
			await field.focus();
			const [at, over] = [await field.boundingBox(), await bar.boundingBox()];
			if (at && over && at.y + at.height > over.y) hidden.push((await field.getAttribute("id")) ?? "?");
		}
		expect(hidden).toEqual([]);

		// Also when the bar comes up over what is being typed into.
		await page.getByRole("button", { name: "Revert" }).click();
		const last = page.getByLabel("Time for shutting down");
		await last.evaluate((element) => element.scrollIntoView({ block: "end" }));
		await last.evaluate((element) => (element as HTMLElement).focus({ preventScroll: true }));
		await page.keyboard.type("1");
		await bar.waitFor();
		await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
		const [at, over] = [await last.boundingBox(), await bar.boundingBox()];
		expect((at?.y ?? 0) + (at?.height ?? 0)).toBeLessThanOrEqual(over?.y ?? 0);
		await close();
	});
}
