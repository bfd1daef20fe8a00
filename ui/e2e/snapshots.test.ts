/** Snapshots of a VM against the mock: in their tree, taken, changed, reverted to, deleted; volumes made of them; limits of disks. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Page } from "playwright-core";
import { MiB } from "../../src/lib/units.ts";
import type { MockServer } from "../dev/mock/server.ts";
import { findings } from "./axe.ts";
import { type OpenOptions, openStage, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

const webOf = ({ state }: MockServer) => {
	const vm = [...state.tables.vm.values()].find(({ name }) => name === "web-01");
	if (!vm) throw new Error("there is no VM web-01");
	return vm;
};
function setPower(server: MockServer, powerState: "running" | "stopped"): void {
	const { id, status } = webOf(server);
	server.state.change("vm", id, { status: { ...status, powerState } });
}
const snapshotNamed = ({ state }: MockServer, name: string) =>
	[...state.tables.snapshot.values()].find((one) => one.name === name);

async function open(options: OpenOptions = {}, tab = "snapshots") {
	const opened = await stage.open({ vms: 4, ...options });
	await opened.page.goto(`${opened.server.url}/vms/${webOf(opened.server).id}/${tab}`);
	await opened.page.locator(tab === "snapshots" ? ".snapshot-tree__here" : "h1").waitFor();
	return opened;
}
const actionsOf = (page: Page, name: string) => page.getByRole("button", { name: `Actions: ${name}`, exact: true });
async function choose(page: Page, snapshot: string, action: string): Promise<void> {
	await actionsOf(page, snapshot).click();
	await page.getByRole("menuitem", { name: action }).click();
}

/** In the page: names as they lie within each other, "a(b c(here))". */
const shape = (wanted: string | null): string | boolean => {
	const of = (list: Element | null): string =>
		[...(list?.children ?? [])]
			.map((item) => {
				const name = item.querySelector(":scope > article h3")?.textContent ?? "here";
				const inner = item.querySelector(":scope > ul");
				return inner ? `${name}(${of(inner)})` : name;
			})
			.join(" ");
	const found = of(document.querySelector(".snapshot-tree > ul"));
	return wanted === null ? found : found === wanted;
};
const shapeOf = (page: Page) => page.evaluate(shape, null);
const becomes = (page: Page, wanted: string) => page.waitForFunction(shape, wanted);
const seeded = "installed(configured(php-9-trial(php-9-trial-2) before-upgrade(here)))";

test("the tree says what came after what, and where the VM is", async () => {
	const { page, close, problems } = await open();
	expect(await shapeOf(page)).toBe(seeded);
	const entry = page.getByRole("article", { name: "installed" });
	await entry.getByText("taken while off").waitFor();
	await entry.getByText("The system as it was installed").waitFor();
	await entry.locator("summary", { hasText: "1 disk, 10 GiB" }).click();
	await entry.getByRole("link", { name: "web-01-disk-0" }).waitFor();
	await page.getByRole("article", { name: "before-upgrade" }).getByText("as after a power cut").waitFor();
	await page.getByRole("link", { name: /^Snapshots\s*5$/ }).waitFor();
	expect(problems).toEqual([]);
	await close();
});

test("one is taken: what is kept is said, the name is filled in and not taken twice, and the VM is at it then", async () => {
	const { page, server, close, problems } = await open({ tickMs: 250 });
	const { spec, id } = webOf(server);
	server.state.change("vm", id, { spec: { ...spec, firmware: "uefi", tpm: true } });
	await page.getByRole("main").getByRole("button", { name: "Take snapshot" }).click();
	const panel = page.getByRole("dialog", { name: "Take a snapshot of web-01" });
	for (const text of ["UEFI variables", "The TPM", "The memory.", "The guest halts for a moment."])
		await panel.getByText(text).waitFor();
	const onlyOff = panel.getByText("In local it becomes a part of the disk");
	expect(await onlyOff.count()).toBe(0);
	const local = [...server.state.tables.pool.values()].find(({ name }) => name === "local");
	server.state.change("pool", local?.id ?? "", { type: "iscsi-lvm" });
	await onlyOff.waitFor();
	server.state.change("pool", local?.id ?? "", { type: "local" });
	await onlyOff.waitFor({ state: "detached" });
	await panel.getByText("web-01-disk-0").waitFor();
	const name = panel.getByLabel("Name");
	expect(await name.inputValue()).toMatch(/^\d{4}-\d\d-\d\d-\d{4}$/);
	await name.fill("Installed");
	await panel.getByText("Another snapshot of this VM has the name Installed.").waitFor();
	await name.fill("with-search");
	await panel.getByLabel("Description").fill("The search works.");
	await panel.getByRole("button", { name: "Take snapshot" }).click();
	await panel.waitFor({ state: "detached" });
	const entry = page.getByRole("article", { name: "with-search" });
	await entry.getByText("Taking", { exact: true }).waitFor();
	await becomes(page, "installed(configured(php-9-trial(php-9-trial-2) before-upgrade(with-search here)))");
	// Nothing else is done with snapshots meanwhile.
	const take = page.getByRole("main").getByRole("button", { name: "Take snapshot" });
	expect(await take.getAttribute("aria-disabled")).toBe("true");
	await becomes(page, "installed(configured(php-9-trial(php-9-trial-2) before-upgrade(with-search(here))))");
	await entry.getByText("taken while running").waitFor();
	await entry.getByText("The search works.").waitFor();
	expect(snapshotNamed(server, "with-search")).toMatchObject({ phase: "ready", current: true });
	expect(problems).toEqual([]);
	await close();
});

test("one that fails says why, in its place, and can be deleted", async () => {
	const { page, server, close } = await open();
	setPower(server, "stopped");
	await page.getByRole("main").getByRole("button", { name: "Take snapshot" }).click();
	const panel = page.getByRole("dialog");
	await panel.getByLabel("Name").fill("broken");
	await panel.getByRole("button", { name: "Take snapshot" }).click();
	const entry = page.getByRole("article", { name: "broken" });
	await entry.getByText("Error", { exact: true }).waitFor();
	await entry.getByText("no space left on device").waitFor();
	await actionsOf(page, "broken").click();
	await page.getByText("The snapshot broken is error.").waitFor();
	await page.getByRole("menuitem", { name: "Delete snapshot" }).click();
	await page.getByRole("dialog").getByText("It is not whole").waitFor();
	await page.getByRole("dialog").getByRole("button", { name: "Delete snapshot" }).click();
	await becomes(page, seeded);
	await close();
});

test("while the VM runs no revert, with the reason, and of logical volumes no delete; off, it goes back, and what is lost is said", async () => {
	const { page, server, close, problems } = await open({ tickMs: 250 });
	await actionsOf(page, "php-9-trial").click();
	const revert = page.getByRole("menuitem", { name: "Revert" });
	expect(await revert.getAttribute("aria-disabled")).toBe("true");
	await page.getByText("A VM that is running cannot be set back to a snapshot.").waitFor();
	const remove = page.getByRole("menuitem", { name: "Delete snapshot" });
	expect(await remove.getAttribute("aria-disabled")).toBeNull();
	const { poolId } =
		server.state.tables.volume.get(snapshotNamed(server, "php-9-trial")?.disks[0]?.volumeId ?? "") ?? {};
	server.state.change("pool", poolId ?? "", { type: "iscsi-lvm" });
	await page.getByText("in the storage pool local it is a part of the disk web-01-disk-0").waitFor();
	expect(await remove.getAttribute("aria-disabled")).toBe("true");
	setPower(server, "stopped");
	await page.getByText("Stopped now").waitFor();
	const { disks } = snapshotNamed(server, "php-9-trial") ?? { disks: [] };
	server.state.change("volume", disks[0]?.volumeId ?? "", { sizeBytes: 64 * 1024 * MiB });
	await revert.click();
	const dialog = page.getByRole("dialog", { name: "Revert web-01 to php-9-trial" });
	await dialog.getByText("Lost for good").waitFor();
	await dialog.getByText("web-01-disk-0 is 10 GiB large again.").waitFor();
	const confirm = dialog.getByRole("button", { name: "Revert" });
	expect(await confirm.getAttribute("aria-disabled")).toBe("true");
	await dialog.getByLabel("Type web-01 to confirm").fill("web-01");
	await confirm.click();
	await page.getByRole("article", { name: "php-9-trial", exact: true }).getByText("Reverting").waitFor();
	await becomes(page, "installed(configured(php-9-trial(php-9-trial-2 here) before-upgrade))");
	expect(snapshotNamed(server, "php-9-trial")).toMatchObject({ phase: "ready", current: true });
	expect(server.state.tables.volume.get(disks[0]?.volumeId ?? "")?.sizeBytes).toBe(10 * 1024 * MiB);
	expect(problems).toEqual([]);
	await close();
});

test("half set back it does not start, and says how it goes on", async () => {
	const { page, server, close } = await open();
	setPower(server, "stopped");
	server.state.change("snapshot", snapshotNamed(server, "configured")?.id ?? "", { phase: "reverting" });
	await page.getByText("The VM is half set back").waitFor();
	await page.getByText("Half reverted", { exact: true }).waitFor();
	const start = page.getByRole("main").getByRole("button", { name: "Start", exact: true });
	expect(await start.getAttribute("aria-disabled")).toBe("true");
	await actionsOf(page, "configured").click();
	await page.getByText("Revert it first.").waitFor();
	expect(await page.getByRole("menuitem", { name: "Revert" }).getAttribute("aria-disabled")).toBeNull();
	await close();
});

test("deleting one joins what is around it; while a volume rests on it, it stays", async () => {
	const { page, server, close, problems } = await open();
	setPower(server, "stopped");
	await page.getByText("Stopped now").waitFor();
	await choose(page, "configured", "Make a volume");
	const panel = page.getByRole("dialog", { name: "Make a volume of configured" });
	await panel.getByText("Shares data with the snapshot").waitFor();
	await panel.getByLabel("Name").fill("old-shop");
	await panel.getByLabel("Attach it to web-01").check();
	await panel.getByRole("button", { name: "Make a volume" }).click();
	await panel.waitFor({ state: "detached" });
	const made = [...server.state.tables.volume.values()].find(({ name }) => name === "old-shop");
	const source = { kind: "snapshot", snapshotId: snapshotNamed(server, "configured")?.id, fullCopy: false };
	expect(made).toMatchObject({ sizeBytes: 10 * 1024 * MiB, vmId: webOf(server).id, source });
	expect(webOf(server).spec.disks).toHaveLength(2);
	await actionsOf(page, "configured").click();
	await page.getByText("The volume old-shop is made from the snapshot configured.").waitFor();
	await page.keyboard.press("Escape");

	await choose(page, "before-upgrade", "Delete snapshot");
	const dialog = page.getByRole("dialog", { name: "Delete the snapshot before-upgrade" });
	await dialog.getByText("The VM stays as it is").waitFor();
	await dialog.getByRole("button", { name: "Delete snapshot" }).click();
	await becomes(page, "installed(configured(php-9-trial(php-9-trial-2) here))");
	await choose(page, "php-9-trial", "Delete snapshot");
	await page.getByRole("dialog").getByRole("button", { name: "Delete snapshot" }).click();
	await becomes(page, "installed(configured(php-9-trial-2 here))");
	expect(problems).toEqual([]);
	await close();
});

test("an edit panel keeps to what it was opened with, and names are unique in the VM", async () => {
	const { page, server, close } = await open();
	await choose(page, "before-upgrade", "Edit");
	const panel = page.getByRole("dialog", { name: "Edit before-upgrade" });
	await panel.getByLabel("Name").fill("configured");
	await panel.getByRole("button", { name: "Save changes" }).click();
	await panel.getByText("Another snapshot has the name configured already.").first().waitFor();
	const known = snapshotNamed(server, "before-upgrade");
	server.state.change("snapshot", known?.id ?? "", { description: "By somebody else", generation: 2 });
	await page.getByRole("dialog").getByText("Somebody else changed this in the meantime.").waitFor();
	await page.getByRole("dialog").getByRole("button", { name: "Reload" }).click();
	await page.getByRole("dialog").getByLabel("Name").fill("before-php-9");
	await page.getByRole("dialog").getByRole("button", { name: "Save changes" }).click();
	await page.getByRole("article", { name: "before-php-9" }).getByText("By somebody else").waitFor();
	await close();
});

test("a pool that makes no snapshots is named, with the disk, before anything is tried", async () => {
	const { page, server, close } = await open();
	const [disk] = webOf(server).spec.disks;
	const pool = server.state.tables.pool.get(server.state.tables.volume.get(disk?.volumeId ?? "")?.poolId ?? "");
	if (!pool) throw new Error("no pool");
	server.state.change("pool", pool.id, {
		nodes: pool.nodes.map((node) => ({
			...node,
			capabilities: node.capabilities && { ...node.capabilities, snapshots: false, reasons: { snapshots: "No room." } },
		})),
	});
	await page.getByRole("main").getByRole("button", { name: "Take snapshot" }).click();
	const panel = page.getByRole("dialog");
	await panel
		.getByText(/web-01-disk-0 lies in the storage pool local, which makes no snapshots: No room/)
		.first()
		.waitFor();
	expect(await panel.getByRole("button", { name: "Take snapshot" }).getAttribute("aria-disabled")).toBe("true");
	await close();
});

test("the menus and the palette offer it everywhere; deleting the VM says that they go; the first one is a step away", async () => {
	const { page, server, close } = await open();
	await page.getByRole("button", { name: "More actions" }).click();
	const items = await page.getByRole("menuitem").allInnerTexts();
	expect(items.map((text) => text.split("\n")[0]).slice(-3)).toEqual(["Take snapshot", "Move", "Delete"]);
	await page.getByRole("menuitem", { name: "Delete" }).click();
	await page.getByRole("dialog").getByText("its 5 snapshots: installed, configured").waitFor();
	await page.keyboard.press("Escape");

	await page.goto(`${server.url}/networks`);
	await page.getByRole("heading", { name: "Networks" }).waitFor();
	await page.keyboard.press("Control+k");
	await page.getByRole("combobox").fill("snapshot web-01");
	await page.getByRole("option", { name: "Take snapshot web-01" }).click();
	await page.getByRole("dialog", { name: "Take a snapshot of web-01" }).waitFor();
	await page.keyboard.press("Escape");

	for (const { id } of [...server.state.tables.snapshot.values()]) server.state.remove("snapshot", id);
	await page.goto(`${server.url}/vms/${webOf(server).id}/snapshots`);
	await page.getByRole("heading", { name: "No snapshots" }).waitFor();
	await page.getByRole("main").getByRole("button", { name: "Take snapshot" }).click();
	await page.getByRole("dialog").getByRole("button", { name: "Take snapshot" }).click();
	await page.locator(".snapshot").waitFor();
	await close();
});

test("a viewer sees them, and why nothing can be done with them", async () => {
	const { page, close } = await open({ username: "viewer" });
	const take = page.getByRole("main").getByRole("button", { name: "Take snapshot" });
	expect(await take.getAttribute("aria-disabled")).toBe("true");
	await actionsOf(page, "configured").click();
	const items = page.getByRole("menuitem");
	expect(await items.count()).toBe(4);
	for (const item of await items.all()) {
		expect(await item.getAttribute("aria-disabled")).toBe("true");
		expect(await item.innerText()).toContain("The role viewer does not allow this.");
	}
	await close();
});

test("a long chain stays readable on a phone, by keyboard as well", async () => {
	const { page, server, close } = await open({ context: { viewport: { width: 360, height: 740 } } });
	const last = snapshotNamed(server, "before-upgrade");
	if (!last) throw new Error("no snapshot");
	let parentId = last.id;
	for (let number = 1; number <= 20; number++) {
		const { id } = server.state.metadata();
		const name = `nightly-of-the-shop-${number}`;
		server.state.put("snapshot", { ...last, id, name, parentId, current: false, createdAt: new Date().toISOString() });
		parentId = id;
	}
	const deepest = page.getByRole("article", { name: "nightly-of-the-shop-20" });
	await deepest.getByText("after nightly-of-the-shop-19").waitFor();
	expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(360);
	const box = await deepest.getByRole("heading").boundingBox();
	expect(box?.width ?? 0).toBeGreaterThan(120);
	await actionsOf(page, "nightly-of-the-shop-20").focus();
	await page.keyboard.press("Enter");
	await page.getByRole("menuitem", { name: "Edit" }).waitFor();
	expect(await findings(page, { colorScheme: "light", within: "#main" })).toEqual([]);
	await close();
});

test("limits of a disk are shown, changed and taken away; the rest of it waits for the next start", async () => {
	const { page, server, close, problems } = await open({}, "disks");
	await page.getByText("writes 500/s, 50 MiB/s").waitFor();
	await page.getByRole("button", { name: "Actions: disk-0" }).click();
	await page.getByRole("menuitem", { name: "Edit" }).click();
	const panel = page.getByRole("dialog", { name: "Edit disk-0 of web-01" });
	await panel.getByText("A VM that runs has them at once.").waitFor();
	await panel.getByText("changes of these wait for its next start").waitFor();
	await panel.getByLabel("Reads").fill("1.5");
	await panel.getByText("Enter a whole number from 1 on, or nothing.").waitFor();
	await panel.getByLabel("Reads").fill("300");
	await panel.getByLabel("Read rate").fill("2.5");
	await panel.getByLabel("Writes").fill("");
	await panel.getByLabel("Write rate").fill("");
	await panel.getByLabel("Cache").selectOption("writeback");
	await panel.getByRole("button", { name: "Save changes" }).click();
	await panel.waitFor({ state: "detached" });
	await page.getByText("reads 300/s, 2.5 MiB/s").waitFor();
	expect(webOf(server).spec.disks[0]).toMatchObject({
		...{ cache: "writeback", limits: { readIops: 300, readBytesPerSecond: 2.5 * MiB } },
	});
	await page.getByText("Restart pending").waitFor();

	const [disk] = webOf(server).spec.disks;
	const volume = server.state.tables.volume.get(disk?.volumeId ?? "");
	server.state.change("volume", disk?.volumeId ?? "", { error: { code: "corrupt", message: "Its file is damaged." } });
	await page.getByText("web-01-disk-0: Its file is damaged.").waitFor();
	const pool = server.state.tables.pool.get(volume?.poolId ?? "");
	const nodes = pool?.nodes.map((node) => ({ ...node, health: "error" as const, reason: "Nobody answers." })) ?? [];
	server.state.change("pool", pool?.id ?? "", { nodes });
	await page.getByText("The storage pool local on node-1: Error. Nobody answers.").waitFor();
	expect(problems).toEqual([]);
	await close();
});

test("a new disk is attached with its limits", async () => {
	const { page, server, close } = await open({}, "disks");
	await page.getByRole("button", { name: "Add disk" }).click();
	const panel = page.getByRole("dialog");
	await panel.locator("summary").click();
	await panel.getByLabel("Write rate").fill("20");
	await panel.getByLabel("Bus").selectOption("scsi");
	await panel.getByRole("button", { name: "Add disk" }).click();
	await panel.waitFor({ state: "detached" });
	expect(webOf(server).spec.disks[1]).toMatchObject({
		...{ id: "disk-1", bus: "scsi", discard: true, limits: { writeBytesPerSecond: 20 * MiB } },
	});
	await close();
});
