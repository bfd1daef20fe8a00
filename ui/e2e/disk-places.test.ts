/** Disks that are made of an image in another pool than the image's, and what is said of discard, against the mock. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Locator, Page, Request } from "playwright-core";
import { findings } from "./axe.ts";
import { type Opened, openStage, poolNamed, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

const image = ({ server }: Opened) => {
	const found = [...server.state.tables.image.values()].find(({ name }) => name === "debian-13-generic");
	if (!found) throw new Error("there is no image debian-13-generic");
	return found;
};
/** The pool stays, on that node alone. */
function onlyOn(opened: Opened, pool: string, nodeName: string): void {
	const { id, nodes } = poolNamed(opened, pool);
	const node = [...opened.server.state.tables.node.values()].find(({ name }) => name === nodeName);
	const part = nodes.find(({ nodeId }) => nodeId === node?.id);
	if (!node || !part) throw new Error(`${nodeName} has no part of ${pool}`);
	opened.server.state.change("pool", id, { nodeIds: [node.id], nodes: [part], phase: "ready" });
}
const posted = (page: Page, kind: "volumes" | "vms"): Promise<Request> =>
	page.waitForRequest((request) => request.method() === "POST" && request.url().endsWith(`/v1/${kind}`));
const pools = (within: Page | Locator) => within.getByRole("combobox", { name: "Pool", exact: true });
const optionsOf = (within: Page | Locator) => pools(within).getByRole("option").allInnerTexts();
const stateOf = async (box: Locator) => [await box.isChecked(), await box.isDisabled()];

test("a volume of an image: in its pool, copied on write, unless another is chosen", async () => {
	const opened = await stage.open({ vms: 1, nodes: 3 });
	const { page, server, problems } = opened;
	onlyOn(opened, "local", "node-1");
	onlyOn(opened, "fast", "node-2");
	await page.goto(`${server.url}/storage/volumes`);
	await page.getByRole("button", { name: "Create volume" }).first().click();
	const form = page.getByRole("dialog");
	await form.getByLabel("Name").fill("root");
	await form.getByRole("combobox", { name: "Source" }).selectOption({ label: "Image: debian-13-generic" });
	const full = form.getByRole("checkbox", { name: "Full copy" });
	expect(await stateOf(full)).toEqual([false, false]);
	const offered = await optionsOf(form);
	expect(offered).toContain("That of the image: local");
	expect(offered).toContain("fast (No node has both pools)");
	expect(offered).toContain("rbd (31 TiB free)");
	// A copy is made where both are.
	const node = form.getByRole("combobox", { name: "Node" });
	expect(await node.getByRole("option", { disabled: true }).allInnerTexts()).toEqual(["node-2", "node-3"]);
	await pools(form).selectOption({ label: "rbd (31 TiB free)" });
	await form.getByText("In another pool the copy has to be independent of its source.").waitFor();
	expect(await stateOf(full)).toEqual([true, true]);
	expect(await form.getByRole("combobox", { name: "Format" }).inputValue()).toBe("raw");
	expect(await node.count()).toBe(0);
	expect(await findings(page, { colorScheme: "light" })).toEqual([]);
	const request = posted(page, "volumes");
	await form.getByRole("button", { name: "Create volume" }).click();
	expect((await request).postDataJSON()).toMatchObject({
		...{ name: "root", poolId: poolNamed(opened, "rbd").id, format: "raw" },
		source: { kind: "image", imageId: image(opened).id, fullCopy: true },
	});
	await page.getByRole("heading", { name: "root" }).waitFor();
	await page.getByRole("main").getByRole("link", { name: "rbd" }).waitFor();

	// What was chosen for an empty volume may not do for a copy.
	await page.goto(`${server.url}/storage/volumes`);
	await page.getByRole("button", { name: "Create volume" }).first().click();
	await form.getByLabel("Name").fill("other");
	await pools(form).selectOption({ value: poolNamed(opened, "fast").id });
	await form.getByRole("combobox", { name: "Source" }).selectOption({ label: "Image: debian-13-generic" });
	await form.getByRole("button", { name: "Create volume" }).click();
	await form.locator(".field__error", { hasText: "No node has both pools." }).waitFor();
	expect(await pools(form).getAttribute("aria-invalid")).toBe("true");
	await pools(form).selectOption({ value: "" });
	const own = posted(page, "volumes");
	await form.getByRole("button", { name: "Create volume" }).click();
	expect((await own).postDataJSON()).not.toHaveProperty("poolId");
	expect((await own).postDataJSON()).toMatchObject({ source: { fullCopy: false } });
	expect(problems).toEqual([]);
	await opened.close();
});

test("a disk of an image is added to a VM from another pool that its node has", async () => {
	const opened = await stage.open({ vms: 8, nodes: 3 });
	const { page, server, problems } = opened;
	const nodeOne = server.state.nodeId;
	const vm = [...server.state.tables.vm.values()].find(
		({ nodeId, status }) => nodeId === nodeOne && status.powerState === "running",
	);
	onlyOn(opened, "fast", "node-2");
	await page.goto(`${server.url}/vms/${vm?.id}/disks`);
	await page.getByRole("button", { name: "Add disk" }).click();
	const panel = page.getByRole("dialog");
	await panel.getByRole("radio", { name: "Copy of an image" }).check();
	await panel.getByRole("combobox", { name: "Image" }).selectOption({ label: "debian-13-generic" });
	expect(await pools(panel).inputValue()).toBe(poolNamed(opened, "local").id);
	const full = panel.getByRole("checkbox", { name: "Full copy" });
	expect(await stateOf(full)).toEqual([false, false]);
	expect(await optionsOf(panel)).toContain("fast (node-1 does not have both pools)");
	await pools(panel).selectOption({ label: "files (7.6 TiB free)" });
	expect(await stateOf(full)).toEqual([true, true]);
	expect(await findings(page, { colorScheme: "light" })).toEqual([]);
	const request = posted(page, "volumes");
	await panel.getByRole("button", { name: "Add disk" }).click();
	expect((await request).postDataJSON()).toMatchObject({
		...{ poolId: poolNamed(opened, "files").id, nodeId: nodeOne, format: "qcow2" },
		source: { kind: "image", imageId: image(opened).id, fullCopy: true },
	});
	await page
		.getByRole("row", { name: /disk-1/ })
		.getByRole("link", { name: "files" })
		.waitFor();
	expect(problems).toEqual([]);
	await opened.close();
});

test("a new VM has its disk in another pool than its image, and what happens says so", async () => {
	const opened = await stage.open({ vms: 1, nodes: 3 });
	const { page, server, problems } = opened;
	onlyOn(opened, "rbd", "node-2");
	await page.goto(`${server.url}/vms/new`);
	await page.getByRole("textbox", { name: "Name", exact: true }).fill("web-9");
	await page.getByRole("radio", { name: /^debian-13-generic/ }).check();
	await page.locator("summary", { hasText: "Disks" }).click();
	const disk = page.getByRole("group", { name: "First disk" });
	expect(await optionsOf(disk)).toContain("That of the image: local");
	const full = disk.getByRole("checkbox", { name: "Full copy of the image" });
	expect(await stateOf(full)).toEqual([false, false]);
	await page.getByText("A copy-on-write copy of debian-13-generic becomes a 20 GiB disk in pool local.").waitFor();
	await pools(disk).selectOption({ label: "rbd (31 TiB free)" });
	await page.getByText("A full copy of debian-13-generic becomes a 20 GiB disk in pool rbd.").waitFor();
	expect(await stateOf(full)).toEqual([true, true]);
	// On a node that does not have the pool it cannot be.
	const nodes = page.getByRole("combobox", { name: "Node" });
	await nodes.selectOption({ value: server.state.nodeId });
	await page.getByRole("button", { name: "Create VM" }).click();
	await disk.locator(".field__error", { hasText: "node-1 does not have both pools." }).waitFor();
	await nodes.selectOption({ value: "" });
	expect(await findings(page, { colorScheme: "light", within: "#main" })).toEqual([]);
	const request = posted(page, "vms");
	await page.getByRole("button", { name: "Create VM" }).click();
	expect((await request).postDataJSON().disks).toMatchObject([
		{ imageId: image(opened).id, poolId: poolNamed(opened, "rbd").id, format: "raw", fullCopy: true },
	]);
	await page.getByRole("heading", { name: "web-9" }).waitFor();
	expect(problems).toEqual([]);
	await opened.close();
});

test("where a pool frees nothing that guests discard, the field says why, as the VM's node has it", async () => {
	const opened = await stage.open({ vms: 8, nodes: 3 });
	const { page, server } = opened;
	const why = "Space that guests give back is not freed on the server: that needs NFS 4.2, and this is 4.1.";
	const files = poolNamed(opened, "files");
	const [first, second] = files.nodes;
	const old = second?.capabilities && { ...second.capabilities, reasons: { discard: why } };
	if (!first || !second || !old) throw new Error("the pool has no parts");
	server.state.change("pool", files.id, { nodes: [first, { ...second, capabilities: old }] });
	const vms = [...server.state.tables.vm.values()];
	for (const [nodeId, said] of [
		[second.nodeId, why],
		[first.nodeId, "What the guest trims becomes free in the pool."],
	] as const) {
		const vm = vms.find((one) => one.nodeId === nodeId);
		const volumeId = vm?.spec.disks[0]?.volumeId ?? "";
		server.state.change("volume", volumeId, { poolId: files.id, nodeId: null });
		await page.goto(`${server.url}/vms/${vm?.id}/disks`);
		await page
			.getByRole("row", { name: /disk-0/ })
			.getByRole("link", { name: "files" })
			.waitFor();
		await page.getByRole("button", { name: "Actions: disk-0" }).click();
		await page.getByRole("menuitem", { name: "Edit" }).click();
		await page.getByRole("dialog").getByText(said).waitFor();
		await page.keyboard.press("Escape");
		await page.getByRole("dialog").waitFor({ state: "detached" });
		await page.getByRole("button", { name: "Add disk" }).click();
		const panel = page.getByRole("dialog");
		await panel.locator("summary", { hasText: "Options" }).click();
		await panel.getByText(said).waitFor();
		// Another pool, another answer.
		await pools(panel).selectOption({ value: poolNamed(opened, "rbd").id });
		await panel.getByText("What the guest trims becomes free in the pool.").waitFor();
		await page.keyboard.press("Escape");
		await page.getByRole("dialog").getByRole("button", { name: "Discard" }).click();
	}
	await opened.close();
});
