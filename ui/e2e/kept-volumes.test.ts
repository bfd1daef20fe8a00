/** Volumes and pools that stay because of what is around them, against the mock: it is said before anything is done, and nothing is half done. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Locator, Page } from "playwright-core";
import type { Snapshot, Vm, Volume } from "../api/types.ts";
import { findings } from "./axe.ts";
import { type Opened, type OpenOptions, openStage, poolNamed, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

const vmNamed = ({ server }: Opened, name: string): Vm => {
	const vm = [...server.state.tables.vm.values()].find((one) => one.name === name);
	if (!vm) throw new Error(`there is no VM ${name}`);
	return vm;
};
const diskOf = ({ server }: Opened, vm: Vm): Volume =>
	server.state.tables.volume.get(vm.spec.disks[0]?.volumeId ?? "") as Volume;
const now = ({ server }: Opened, { id }: Volume): Volume | undefined => server.state.tables.volume.get(id);
const putCopy = ({ server }: Opened, of: Volume, name: string): Volume =>
	server.state.put("volume", {
		...of,
		...{ ...server.state.metadata(), name, vmId: null },
		source: { kind: "clone", volumeId: of.id, fullCopy: false },
	});
const putSnapshot = ({ server }: Opened, vm: Vm, { id, sizeBytes }: Volume, name: string): Snapshot =>
	server.state.put("snapshot", {
		...{ ...server.state.metadata(), name, description: "", vmId: vm.id, parentId: null, current: true },
		...{ phase: "ready", powerState: "running", consistency: "crash", error: null },
		disks: [{ diskId: "disk-0", volumeId: id, sizeBytes }],
	});
/** What was asked of the API that changes something. */
function writesOf(page: Page): string[] {
	const writes: string[] = [];
	page.on("request", (request) => {
		if (request.method() !== "GET") writes.push(`${request.method()} ${new URL(request.url()).pathname}`);
	});
	return writes;
}
async function isOff(item: Locator, why: string): Promise<void> {
	await item.getByText(why).waitFor();
	expect(await item.getAttribute("aria-disabled")).toBe("true");
}
const item = (page: Page, name: string) => page.getByRole("menuitem", { name });
const deleteDisk = "Detach and delete";

async function openDisks(name: string, options: OpenOptions = {}) {
	const opened = await stage.open({ vms: 12, nodes: 1, ...options });
	const vm = vmNamed(opened, name);
	await opened.page.goto(`${opened.server.url}/vms/${vm.id}/disks`);
	const actions = opened.page.getByRole("button", { name: "Actions: disk-0" });
	await actions.waitFor();
	return { opened, vm, actions, volume: diskOf(opened, vm), ...opened };
}

test("a disk that snapshots hold is not detached to be deleted: the menu says which, and so until they are gone", async () => {
	const { opened, vm, volume, page, server, actions, problems } = await openDisks("web-01");
	expect(vm.status.powerState).toBe("running");
	await actions.click();
	const why = "5 snapshots hold it, among them installed of the VM web-01. Delete them first.";
	await isOff(item(page, deleteDisk), why);
	await isOff(item(page, "Move to another pool"), why);
	expect(await item(page, "Detach").first().getAttribute("aria-disabled")).not.toBe("true");
	expect(await findings(page, { colorScheme: "light" })).toEqual([]);
	await page.keyboard.press("Escape");
	for (const { id } of [...server.state.tables.snapshot.values()]) server.state.remove("snapshot", id);
	const deleted = new Promise<void>((resolve) => {
		server.state.listeners.add(({ type, target }) => {
			if (type === "deleted" && target.id === volume.id) resolve();
		});
	});
	await actions.click();
	await item(page, deleteDisk).click();
	const dialog = page.getByRole("dialog", { name: `Delete ${volume.name}` });
	await dialog.getByLabel(`Type ${volume.name} to confirm`).fill(volume.name);
	await dialog.getByRole("button", { name: deleteDisk }).click();
	await page.getByRole("heading", { name: "No disks" }).waitFor();
	await deleted;
	expect(problems).toEqual([]);
	await opened.close();
});

test("copies that rest on a disk, and work on it, are said as well", async () => {
	const { opened, volume, page, server, actions } = await openDisks("db-01", { tickMs: 400 });
	const copy = putCopy(opened, volume, "rests-on-it");
	await actions.click();
	await isOff(item(page, deleteDisk), `The volume rests-on-it is made from the volume ${volume.name}.`);
	await isOff(item(page, "Resize"), `Copy-on-write copies rest on the volume ${volume.name}: rests-on-it.`);
	server.state.remove("volume", copy.id);
	await page.keyboard.press("Escape");
	await actions.click();
	await item(page, "Move to another pool").click();
	await page.getByRole("radio", { name: /^rbd/ }).check();
	await page.getByRole("dialog").getByRole("button", { name: "Move" }).click();
	await page.getByRole("dialog").waitFor({ state: "detached" });
	await actions.click();
	for (const name of ["Detach", deleteDisk]) await isOff(item(page, name).last(), "It is being moved to another pool.");
	await opened.close();
});

test("what the page cannot know is asked for before anything is detached: then nothing is", async () => {
	const { opened, vm, volume, page, server, actions } = await openDisks("db-01");
	const writes = writesOf(page);
	// Another VM had the disk once, and keeps it in a snapshot.
	const held = putSnapshot(opened, vmNamed(opened, "cache-01"), volume, "with-db");
	await actions.click();
	await item(page, deleteDisk).click();
	const why = `The volume ${volume.name} is a part of snapshots: with-db of the VM cache-01. Delete them first.`;
	await page.getByText(`${why} Nothing was changed: the VM still has the disk.`).waitFor();
	expect(await page.getByRole("dialog").count()).toBe(0);
	server.state.remove("snapshot", held.id);
	await page.getByRole("button", { name: "Dismiss" }).first().click();
	await actions.click();
	await item(page, deleteDisk).click();
	const dialog = page.getByRole("dialog", { name: `Delete ${volume.name}` });
	await dialog.getByLabel(`Type ${volume.name} to confirm`).fill(volume.name);
	// Somebody is faster than the typing.
	putSnapshot(opened, vmNamed(opened, "cache-01"), volume, "later");
	await dialog.getByRole("button", { name: deleteDisk }).click();
	await page.getByText("later of the VM cache-01. Delete them first. Nothing was changed").waitFor();
	expect(writes).toEqual([]);
	expect(now(opened, volume)).toMatchObject({ vmId: vm.id, phase: "ready" });
	expect(server.state.tables.vm.get(vm.id)?.spec.disks).toHaveLength(1);
	await opened.close();
});

test("where the API does not answer nothing is detached either", async () => {
	const { opened, vm, volume, page, actions } = await openDisks("db-01");
	await page.route("**/v1/volumes/*/snapshots?*", (request) => request.abort());
	const writes = writesOf(page);
	await actions.click();
	await item(page, deleteDisk).click();
	await page.getByText(`Delete ${volume.name}`).first().waitFor();
	expect(await page.getByRole("dialog").count()).toBe(0);
	expect(writes).toEqual([]);
	expect(now(opened, volume)?.vmId).toBe(vm.id);
	await opened.close();
});

test("a volume that is in a snapshot of a VM that has it no more is neither deleted nor moved", async () => {
	const opened = await stage.open({ vms: 8, nodes: 1 });
	const { page, server } = opened;
	const volume = diskOf(opened, vmNamed(opened, "web-01"));
	server.state.change("volume", volume.id, { vmId: null });
	for (const { id, current } of [...server.state.tables.snapshot.values()])
		if (!current) server.state.remove("snapshot", id);
	await page.goto(`${server.url}/storage/volumes/${volume.id}`);
	await page.getByRole("button", { name: "More actions" }).click();
	await isOff(item(page, "Delete volume"), "The snapshot before-upgrade of the VM web-01 holds it. Delete that first.");
	await isOff(item(page, "Move to another pool"), "The snapshot before-upgrade of the VM web-01 holds it.");
	await page.keyboard.press("Escape");
	for (const { id } of [...server.state.tables.snapshot.values()]) server.state.remove("snapshot", id);
	putCopy(opened, volume, "rests-on-it");
	await page.getByRole("button", { name: "More actions" }).click();
	await isOff(item(page, "Delete volume"), "The volume rests-on-it is made from");
	await page.keyboard.press("Escape");
	const resize = page.getByRole("button", { name: "Resize" });
	expect(await resize.getAttribute("aria-disabled")).toBe("true");
	expect(await findings(page, { colorScheme: "light", within: "#main" })).toEqual([]);
	// In the list, alone and among others.
	await page.goto(`${server.url}/storage/volumes`);
	await page.getByRole("button", { name: `Actions: ${volume.name}` }).click();
	await isOff(item(page, "Delete volume"), "The volume rests-on-it is made from");
	await opened.close();
});

test("the disk of a VM that failed is downloaded, cloned and made an image of; of one that runs it is not", async () => {
	const opened = await stage.open({ vms: 12, nodes: 1 });
	const { page, server } = opened;
	const failed = [...server.state.tables.vm.values()].find(({ status }) => status.powerState === "failed");
	const volume = diskOf(opened, failed as Vm);
	await page.goto(`${server.url}/storage/volumes/${volume.id}`);
	await page.getByRole("button", { name: "More actions" }).click();
	const download = page.waitForEvent("download");
	await item(page, "Download as raw").click();
	expect((await download).suggestedFilename()).toBe("content");
	await page.getByRole("button", { name: "More actions" }).click();
	await item(page, "Make image").click();
	await page.getByRole("dialog").getByLabel("Name").fill("rescued");
	await page.getByRole("dialog").getByRole("button", { name: "Make image" }).click();
	await page.getByRole("heading", { name: "rescued" }).waitFor();
	const running = vmNamed(opened, "web-01");
	await page.goto(`${server.url}/storage/volumes/${diskOf(opened, running).id}`);
	await page.getByRole("button", { name: "More actions" }).click();
	for (const name of ["Clone", "Make image", "Download as qcow2", "Download as raw"])
		await isOff(item(page, name), "The VM web-01 is using it. Shut it down first.");
	await opened.close();
});

test("a pool that holds something is not deleted, in the list and on its page; an empty one is", async () => {
	const opened = await stage.open({ vms: 2, nodes: 1 });
	const { page, server, problems } = opened;
	await page.goto(`${server.url}/storage`);
	await page.getByRole("button", { name: "Actions: local" }).click();
	await isOff(item(page, "Delete pool"), "The storage pool local holds volumes.");
	await page.keyboard.press("Escape");
	for (const volume of [...server.state.tables.volume.values()])
		if (volume.poolId === poolNamed(opened, "local").id) server.state.remove("volume", volume.id);
	await page.getByRole("link", { name: "local", exact: true }).click();
	await page.getByRole("button", { name: "More actions" }).click();
	await isOff(item(page, "Delete pool"), "The storage pool local holds images.");
	await page.keyboard.press("Escape");
	await page.goto(`${server.url}/storage/pools/${poolNamed(opened, "san").id}`);
	await page.getByRole("button", { name: "More actions" }).click();
	await item(page, "Delete pool").click();
	await page.getByRole("dialog").getByRole("button", { name: "Delete pool" }).click();
	await page.getByRole("heading", { name: "Storage" }).waitFor();
	await page.getByRole("link", { name: "san", exact: true }).waitFor({ state: "detached" });
	expect(problems).toEqual([]);
	await opened.close();
});
