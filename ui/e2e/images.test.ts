/** Images against the mock: copied to other pools, with progress and called off; made of a volume, in another pool as well. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Page } from "playwright-core";
import { findings } from "./axe.ts";
import { openStage, poolNamed, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

const menu = async (page: Page, item: string): Promise<void> => {
	await page.getByRole("button", { name: "More actions" }).click();
	await page.getByRole("menuitem", { name: item }).click();
};
const sent = (page: Page) =>
	page.waitForRequest((request) => request.method() === "POST" && request.url().endsWith("/v1/images"));

async function openImage(options: Parameters<Stage["open"]>[0] = {}) {
	const opened = await stage.open({ vms: 4, ...options });
	const image = [...opened.server.state.tables.image.values()].find(
		({ phase, format }) => phase === "ready" && format !== "iso",
	);
	if (!image) throw new Error("the mock has no image");
	await opened.page.goto(`${opened.server.url}/images/${image.id}`);
	await opened.page.getByRole("heading", { name: image.name }).waitFor();
	return { opened, image, ...opened };
}

test("an image is copied to another pool: which can take it, how far it is, and what it was made of", async () => {
	const { opened, image, page, problems, server } = await openImage();
	await menu(page, "Copy to pool");
	const dialog = page.getByRole("dialog", { name: `Copy ${image.name} to another pool` });
	const pools = dialog.getByRole("combobox", { name: "Pool" });
	expect(await pools.getByRole("option", { name: /It is in this pool/ }).getAttribute("disabled")).not.toBeNull();
	await dialog.getByRole("button", { name: "Copy to pool" }).click();
	await dialog.getByText("Choose a pool.").waitFor();
	const rbd = poolNamed(opened, "rbd").id;
	await pools.selectOption({ value: rbd });
	expect(await findings(page, { colorScheme: "light" })).toEqual([]);
	const request = sent(page);
	server.state.hold();
	await dialog.getByRole("button", { name: "Copy to pool" }).click();
	const name = `${image.name}-copy`;
	expect((await request).postDataJSON()).toEqual({ name, poolId: rbd, source: { kind: "image", imageId: image.id } });
	await page.getByRole("heading", { name }).waitFor();
	await page.getByRole("progressbar", { name: `Import of ${name}` }).waitFor();
	server.state.release();
	await page.getByRole("progressbar", { name: `Import of ${name}` }).waitFor({ state: "detached" });
	await page.getByRole("main").getByRole("link", { name: image.name, exact: true }).waitFor();
	await page.getByRole("main").getByRole("link", { name: "rbd" }).waitFor();
	expect(await findings(page, { colorScheme: "light", within: "#main" })).toEqual([]);
	expect(problems).toEqual([]);
	await opened.close();
});

test("it is called off where its progress is", async () => {
	const { opened, page, server } = await openImage();
	await menu(page, "Copy to pool");
	await page.getByRole("combobox", { name: "Pool" }).selectOption({ value: poolNamed(opened, "san").id });
	server.state.hold();
	await page.getByRole("dialog").getByRole("button", { name: "Copy to pool" }).click();
	const canceled = page.waitForRequest((request) => request.url().endsWith("/actions/cancel"));
	await page.getByRole("main").getByRole("button", { name: "Cancel" }).click();
	await canceled;
	server.state.release();
	await page.getByRole("main").getByRole("progressbar").waitFor({ state: "detached" });
	const states = [...server.state.tables.task.values()].filter(({ kind }) => kind === "image.import");
	expect(states.map(({ state }) => state)).toContain("canceled");
	await opened.close();
});

test("a template: an image is made of a VM's disk, in another pool too, and VMs are made of it", async () => {
	const opened = await stage.open({ vms: 8 });
	const { page, server, problems } = opened;
	const vm = [...server.state.tables.vm.values()].find(({ status }) => status.powerState === "stopped");
	const volume = server.state.tables.volume.get(vm?.spec.disks[0]?.volumeId ?? "");
	if (!volume) throw new Error("no VM that is off has a disk");
	await page.goto(`${server.url}/storage/volumes/${volume.id}`);
	await page.getByRole("heading", { name: volume.name }).waitFor();
	await menu(page, "Make image");
	const dialog = page.getByRole("dialog");
	await dialog.getByLabel("Name").fill("golden");
	const files = poolNamed(opened, "files").id;
	await dialog.getByRole("combobox", { name: "Pool" }).selectOption({ value: files });
	expect(await findings(page, { colorScheme: "light" })).toEqual([]);
	const request = sent(page);
	await dialog.getByRole("button", { name: "Make image" }).click();
	const source = { kind: "volume", volumeId: volume.id };
	expect((await request).postDataJSON()).toEqual({ name: "golden", format: "qcow2", poolId: files, source });
	await page.getByRole("button", { name: "Create VM from it" }).click();
	await page.getByRole("heading", { name: "Create VM" }).waitFor();
	await page.getByText("A copy-on-write copy of golden").waitFor();
	expect(problems).toEqual([]);
	await opened.close();
});
