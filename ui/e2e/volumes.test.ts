/** Work on volumes against the mock: moved to other pools while their VMs run, called off, copied elsewhere, checked, many at once. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Page } from "playwright-core";
import type { Volume } from "../api/types.ts";
import { findings } from "./axe.ts";
import { type Opened, openStage, poolNamed, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

/** Of a VM without snapshots, which keep its disks where they are. */
const diskOf = ({ server }: Opened, power: string): Volume => {
	const { vm: vms, snapshot } = server.state.tables;
	const taken = new Set([...snapshot.values()].map(({ vmId }) => vmId));
	const vm = [...vms.values()].find(({ id, status }) => status.powerState === power && !taken.has(id));
	const volume = server.state.tables.volume.get(vm?.spec.disks[0]?.volumeId ?? "");
	if (!volume) throw new Error(`no VM with a disk is ${power}`);
	return volume;
};
const now = ({ server }: Opened, { id }: Volume): Volume | undefined => server.state.tables.volume.get(id);
const menu = async (page: Page, item: string): Promise<void> => {
	await page.getByRole("button", { name: "More actions" }).click();
	await page.getByRole("menuitem", { name: item }).click();
};
const sent = (page: Page, action: string) =>
	page.waitForRequest((request) => request.method() === "POST" && request.url().endsWith(`/actions/${action}`));

async function openVolume(power: string, options: Parameters<Stage["open"]>[0] = {}) {
	const opened = await stage.open({ vms: 8, nodes: 3, storageTrouble: true, ...options });
	const volume = diskOf(opened, power);
	await opened.page.goto(`${opened.server.url}/storage/volumes/${volume.id}`);
	await opened.page.getByRole("heading", { name: volume.name }).waitFor();
	return { opened, volume, ...opened };
}

test("a disk moves while its VM runs: what can take it, what happens, how far it is", async () => {
	const { opened, volume, page, problems } = await openVolume("running");
	await menu(page, "Move to another pool");
	const dialog = page.getByRole("dialog", { name: `Move ${volume.name} to another pool` });
	expect(await dialog.getByRole("button", { name: "Move" }).getAttribute("aria-disabled")).toBe("true");
	await dialog.getByText("It is in this pool.").waitFor();
	await dialog.getByText("It works on no node now.").waitFor();
	expect(await dialog.getByRole("radio", { name: /^files/ }).getAttribute("aria-disabled")).toBe("true");
	await dialog.getByRole("radio", { name: /^rbd Ceph RBD, 31 TiB free/ }).check();
	// It has one format only.
	await dialog.getByText("Its format becomes raw.").waitFor();
	expect(await dialog.getByRole("radio", { name: "qcow2" }).count()).toBe(0);
	await dialog.getByRole("radio", { name: /^san/ }).check();
	expect(await dialog.getByRole("radio", { name: "qcow2" }).isChecked()).toBe(true);
	await dialog.getByRole("radio", { name: "raw" }).check();
	await dialog.getByText("goes on running, and goes over to the copy at the end.").waitFor();
	await dialog.getByText("Then the old copy is deleted.").waitFor();
	expect(await findings(page, { colorScheme: "light" })).toEqual([]);
	const request = sent(page, "move");
	await dialog.getByRole("button", { name: "Move" }).click();
	const san = poolNamed(opened, "san").id;
	expect((await request).postDataJSON()).toEqual({ poolId: san, format: "raw" });
	await page.getByRole("main").getByText("Copying the disk").waitFor();
	await page.getByRole("progressbar", { name: "Move volume" }).first().waitFor();
	expect(await findings(page, { colorScheme: "light", within: "#main" })).toEqual([]);
	// Nothing else is done with it meanwhile.
	await page.getByRole("button", { name: "More actions" }).click();
	await page.getByRole("menuitem", { name: "Move to another pool" }).getByText("It is being moved").waitFor();
	await page.keyboard.press("Escape");
	await page.getByRole("main").getByRole("link", { name: "san" }).last().waitFor();
	await page.getByRole("button", { name: "Cancel" }).waitFor({ state: "detached" });
	expect(now(opened, volume)).toMatchObject({ poolId: san, format: "raw", nodeId: null });
	expect(problems).toEqual([]);
	await opened.close();
});

test("a move is called off on the page, and in the task bar", async () => {
	const { opened, volume, page } = await openVolume("stopped", { tickMs: 300 });
	const before = volume.poolId;
	for (const where of ["main", "task bar"] as const) {
		await menu(page, "Move to another pool");
		await page.getByRole("radio", { name: /^san/ }).check();
		await page.getByRole("dialog").getByRole("button", { name: "Move" }).click();
		await page.getByText("To the pool").waitFor();
		if (where === "main") await page.getByRole("main").getByRole("button", { name: "Cancel" }).click();
		else {
			await page
				.getByRole("button", { name: /^Tasks/ })
				.first()
				.click();
			await page.getByRole("button", { name: `Cancel: Move volume ${volume.name}` }).click();
		}
		await page.getByText("To the pool").waitFor({ state: "detached" });
	}
	expect(now(opened, volume)?.poolId).toBe(before);
	await opened.close();
});

test("a copy in another pool is a full one, in the format of that pool", async () => {
	const { opened, volume, page, server } = await openVolume("stopped");
	const rbd = poolNamed(opened, "rbd");
	const nodes = rbd.nodes.map((node) => ({ ...node, health: "healthy" as const, reason: null }));
	server.state.change("pool", rbd.id, { phase: "ready", nodes });
	await menu(page, "Clone");
	const dialog = page.getByRole("dialog");
	await dialog.getByRole("combobox", { name: "Pool" }).selectOption({ label: "rbd (31 TiB free)" });
	await dialog.getByText("The copy is raw there.").waitFor();
	const full = dialog.getByRole("checkbox", { name: "Full copy" });
	expect([await full.isChecked(), await full.isDisabled()]).toEqual([true, true]);
	expect(await dialog.getByRole("option", { name: /^files \(It works on no node now\)/ }).count()).toBe(1);
	const request = sent(page, "clone");
	await dialog.getByRole("button", { name: "Clone" }).click();
	const copy = { name: `${volume.name}-copy`, fullCopy: true, poolId: rbd.id };
	expect((await request).postDataJSON()).toEqual(copy);
	await page.getByRole("heading", { name: `${volume.name}-copy` }).waitFor();
	await page.getByRole("main").getByText("raw", { exact: true }).waitFor();
	await opened.close();
});

test("a thick volume: offered where the pool has it, with what it means; its copy is a full one", async () => {
	const { opened, volume, page, problems } = await openVolume("stopped");
	await menu(page, "Clone");
	const dialog = page.getByRole("dialog");
	const provisioning = dialog.getByRole("combobox", { name: "Provisioning" });
	await dialog.getByText("Takes space as it is written to.").waitFor();
	await provisioning.selectOption("thick");
	await dialog.getByText("what the guest discards is not freed").waitFor();
	const full = dialog.getByRole("checkbox", { name: "Full copy" });
	expect([await full.isChecked(), await full.isDisabled()]).toEqual([true, true]);
	expect(await findings(page, { colorScheme: "light" })).toEqual([]);
	const request = sent(page, "clone");
	await dialog.getByRole("button", { name: "Clone" }).click();
	expect((await request).postDataJSON()).toEqual({
		name: `${volume.name}-copy`,
		fullCopy: true,
		provisioning: "thick",
	});
	await page.getByRole("heading", { name: `${volume.name}-copy` }).waitFor();
	await page.getByRole("main").getByText("Thick", { exact: true }).waitFor();

	await page.goto(`${opened.server.url}/storage/volumes`);
	await page.getByRole("button", { name: "Create volume" }).first().click();
	const form = page.getByRole("dialog");
	await form.getByText("To have it thick, choose the pool.").waitFor();
	await form.getByRole("combobox", { name: "Pool" }).selectOption({ value: poolNamed(opened, "san").id });
	// All are thick there, and the pool says why.
	expect(await form.getByRole("combobox", { name: "Provisioning" }).inputValue()).toBe("thick");
	await form.getByText("a logical volume has all of its space from the beginning").waitFor();
	await form.getByRole("combobox", { name: "Pool" }).selectOption({ value: poolNamed(opened, "local").id });
	await form.getByRole("combobox", { name: "Provisioning" }).selectOption("thick");
	await form.getByLabel("Name").fill("database");
	expect(await findings(page, { colorScheme: "light" })).toEqual([]);
	const created = page.waitForRequest((one) => one.method() === "POST" && one.url().endsWith("/v1/volumes"));
	await form.getByRole("button", { name: "Create volume" }).click();
	expect((await created).postDataJSON()).toMatchObject({ name: "database", provisioning: "thick" });
	expect(problems).toEqual([]);
	await opened.close();
});

test("a check says what it found, and mends it when asked to", async () => {
	const { opened, volume, page, server } = await openVolume("stopped");
	server.state.damaged.add(volume.id);
	await menu(page, "Check for damage");
	await page.getByRole("dialog").getByRole("button", { name: "Check", exact: true }).click();
	await page.getByText("Found 2 damaged structures and 4 MiB that belong to nothing; repaired: 0.").waitFor();
	await page.getByRole("button", { name: "Check and repair" }).click();
	const dialog = page.getByRole("dialog");
	expect(await dialog.getByRole("checkbox", { name: "Repair" }).isChecked()).toBe(true);
	expect(await findings(page, { colorScheme: "light" })).toEqual([]);
	const request = sent(page, "check");
	await dialog.getByRole("button", { name: "Check and repair" }).click();
	expect((await request).postDataJSON()).toEqual({ repair: true });
	await page.getByText("Repaired: 3.").waitFor();
	expect(await page.getByRole("button", { name: "Check and repair" }).count()).toBe(0);
	// Somebody starts its VM in the moment in which it is asked for.
	const vm = server.state.tables.vm.get(volume.vmId ?? "");
	await menu(page, "Check for damage");
	if (vm) server.state.tables.vm.set(vm.id, { ...vm, status: { ...vm.status, powerState: "running" } });
	await page.getByRole("dialog").getByRole("button", { name: "Check", exact: true }).click();
	await page.getByRole("main").getByText("belongs to a running VM: stop it to check the volume").waitFor();
	await opened.close();
});

test("a disk in use is not checked, and one that others rest on is not moved: the menu says why", async () => {
	const { opened, volume, page, server } = await openVolume("running");
	server.state.put("volume", {
		...volume,
		...{ ...server.state.metadata(), name: "rests-on-it", vmId: null },
		source: { kind: "clone", volumeId: volume.id, fullCopy: false },
	});
	await page.getByRole("button", { name: "More actions" }).click();
	await page.getByRole("menuitem", { name: "Check for damage" }).getByText("Shut it down first.").waitFor();
	const move = page.getByRole("menuitem", { name: "Move to another pool" });
	await move.getByText("The volume rests-on-it shares its data").waitFor();
	expect(await move.getAttribute("aria-disabled")).toBe("true");
	await opened.close();
});

test("a copy-on-write copy is made independent; where its VM runs, the menu says why not", async () => {
	const { opened, volume, page, server, problems } = await openVolume("stopped");
	const copy = server.state.put("volume", {
		...volume,
		...{ ...server.state.metadata(), name: "daughter", vmId: null },
		source: { kind: "clone", volumeId: volume.id, fullCopy: false },
	}) as Volume;
	await page.goto(`${server.url}/storage/volumes/${copy.id}`);
	await page.getByRole("heading", { name: "daughter" }).waitFor();
	await menu(page, "Make independent");
	const dialog = page.getByRole("dialog", { name: "Make daughter independent" });
	await dialog.getByText(`What it shares with the volume ${volume.name} is copied into it`).waitFor();
	await dialog.getByText("No VM can start with it meanwhile.").waitFor();
	expect(await findings(page, { colorScheme: "light" })).toEqual([]);
	const request = sent(page, "flatten");
	await dialog.getByRole("button", { name: "Make independent" }).click();
	await request;
	await page.getByRole("progressbar", { name: "Make volume independent" }).first().waitFor();
	await page.getByRole("main").getByText("full copy").waitFor();
	await page.getByRole("button", { name: "More actions" }).click();
	await page.getByRole("menuitem", { name: "Clone" }).waitFor();
	expect(await page.getByRole("menuitem", { name: "Make independent" }).count()).toBe(0);
	await page.keyboard.press("Escape");
	const vm = [...server.state.tables.vm.values()].find(({ status }) => status.powerState === "running");
	server.state.change("volume", copy.id, {
		vmId: vm?.id ?? null,
		source: { kind: "clone", volumeId: volume.id, fullCopy: false },
	});
	await page.getByRole("main").getByText("copy-on-write").waitFor();
	await page.getByRole("button", { name: "More actions" }).click();
	const item = page.getByRole("menuitem", { name: "Make independent" });
	await item.getByText("The VM of daughter runs: shut it down first.").waitFor();
	expect(await item.getAttribute("aria-disabled")).toBe("true");
	expect(problems).toEqual([]);
	await opened.close();
});

test("many at once: moved, checked, deleted; those that it does not fit are left out", async () => {
	const opened = await stage.open({ vms: 0, nodes: 1 });
	const { page, server } = opened;
	const local = poolNamed(opened, "local").id;
	const volumes = ["one", "two", "three"].map((name) =>
		server.state.put("volume", {
			...{ ...server.state.metadata(), name, poolId: local, nodeId: server.state.nodeId, format: "qcow2" },
			...{ sizeBytes: 2 ** 30, allocatedBytes: 2 ** 20, source: { kind: "empty" } },
			...{ phase: name === "three" ? "error" : "ready", vmId: null, error: null },
		}),
	);
	await page.goto(`${server.url}/storage/volumes`);
	await page.getByLabel("Select all rows").check();
	const bar = page.getByRole("toolbar");
	await bar.getByRole("button", { name: "Move to another pool (2)" }).click();
	const dialog = page.getByRole("dialog", { name: "Move 2 volumes to another pool" });
	await dialog.getByRole("radio", { name: /^fast/ }).check();
	await dialog.getByRole("button", { name: "Move" }).click();
	await dialog.waitFor({ state: "detached" });
	await page.getByRole("row", { name: /one/ }).getByRole("link", { name: "fast" }).waitFor();
	await page.getByRole("row", { name: /two/ }).getByRole("link", { name: "fast" }).waitFor();
	expect(volumes.map((volume) => now(opened, volume)?.poolId === local)).toEqual([false, false, true]);
	await page.getByLabel("Select all rows").check();
	await bar.getByRole("button", { name: "Delete volume" }).click();
	const asked = page.getByRole("dialog", { name: "Delete 3 volumes" });
	expect(await asked.getByRole("listitem").allInnerTexts()).toEqual(["one", "three", "two"]);
	await asked.getByLabel("Type 3 to confirm").fill("3");
	await asked.getByRole("button", { name: "Delete 3 volumes" }).click();
	await page.getByRole("heading", { name: "No volumes" }).waitFor();
	await opened.close();
});

test("the disks of a VM can be moved from its page", async () => {
	const opened = await stage.open({ vms: 8, nodes: 1 });
	const { page, server } = opened;
	const volume = diskOf(opened, "running");
	await page.goto(`${server.url}/vms/${volume.vmId}/disks`);
	await page.getByRole("button", { name: "Actions: disk-0" }).click();
	await page.getByRole("menuitem", { name: "Move to another pool" }).click();
	await page.getByRole("radio", { name: /^rbd/ }).check();
	await page.getByRole("dialog").getByRole("button", { name: "Move" }).click();
	await page.getByRole("main").getByRole("link", { name: "rbd" }).waitFor();
	expect(now(opened, volume)?.format).toBe("raw");
	await opened.close();
});

test("a viewer sees why nothing of it can be done", async () => {
	const { page, opened } = await openVolume("stopped", { username: "viewer" });
	await page.getByRole("button", { name: "More actions" }).click();
	for (const name of ["Move to another pool", "Check for damage", "Clone"]) {
		const item = page.getByRole("menuitem", { name });
		expect(await item.getAttribute("aria-disabled")).toBe("true");
		await item.getByText("The role viewer does not allow this.").waitFor();
	}
	await opened.close();
});
