/** Looking into a pool against the mock: folder by folder, whose each thing is, names of strangers, what goes wrong; and an image put there. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Page } from "playwright-core";
import { findings } from "./axe.ts";
import { type Opened, openStage, poolNamed, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

const contentOf = (opened: Opened, name: string, query = "") =>
	`${opened.server.url}/storage/pools/${poolNamed(opened, name).id}/content${query}`;
const row = (page: Page, text: string) => page.getByRole("row").filter({ hasText: text });
const path = (page: Page) => page.getByRole("navigation", { name: "Folder" });

test("down to the files of a volume and back, with the folder in the address", async () => {
	const opened = await stage.open({ vms: 6, nodes: 1 });
	const { page, server, problems } = opened;
	await page.goto(`${server.url}/storage/pools/${poolNamed(opened, "local").id}`);
	await page.getByRole("link", { name: "Content", exact: true }).click();
	await row(page, "limiquantix-pool.json").getByText("The pool itself").waitFor();
	await row(page, "lost+found").getByText("Nobody").waitFor();
	await page.getByRole("link", { name: "volumes", exact: true }).click();
	const [volume] = [...server.state.tables.volume.values()].filter(
		({ poolId }) => poolId === poolNamed(opened, "local").id,
	);
	if (!volume) throw new Error("the mock has no volume there");
	const line = row(page, volume.id);
	await line.getByRole("link", { name: volume.name }).waitFor();
	await row(page, "00000000beef").getByText("no record").waitFor();
	await page.getByText("recorded elsewhere").waitFor();
	await line.getByRole("link", { name: volume.id }).click();
	await row(page, "disk-1.qcow2").getByText("before-upgrade").waitFor();
	expect(await row(page, "disk-1.qcow2").getByRole("link").textContent()).toBe(volume.name);
	expect(new URL(page.url()).searchParams.get("folder")).toBe(`volumes/${volume.id}`);
	await page.reload();
	await row(page, "record.json").waitFor();
	expect(await path(page).getByRole("listitem").allTextContents()).toEqual(["local", "volumes", volume.id]);
	await path(page).getByRole("link", { name: "volumes" }).click();
	await row(page, "00000000beef").waitFor();
	await page.goBack();
	await row(page, "record.json").waitFor();

	// A rename is seen by the next event, without looking again.
	server.state.change("volume", volume.id, { name: "renamed-disk" });
	await row(page, "disk-2.qcow2").getByRole("link", { name: "renamed-disk" }).waitFor();
	await row(page, "disk-2.qcow2").getByRole("link", { name: "renamed-disk" }).click();
	await page.getByRole("heading", { name: "renamed-disk" }).waitFor();
	expect(problems).toEqual([]);
	await opened.close();
});

test("names of strangers are written out, and go nowhere but where they say", async () => {
	const opened = await stage.open({ vms: 2, nodes: 1 });
	const { page, problems } = opened;
	await page.goto(contentOf(opened, "local"));
	await page.getByText("backup \\u202egpj.exe").waitFor();
	expect(await page.getByRole("link", { name: "current" }).count()).toBe(0);
	expect(await page.getByRole("link", { name: "caf" }).count()).toBe(0);
	expect(await page.getByTitle("Its name holds bytes that are no text").count()).toBe(1);
	await page.getByRole("link", { name: "old\\nname" }).click();
	await page.getByRole("heading", { name: "Nothing is here" }).waitFor();
	expect(new URL(page.url()).searchParams.get("folder")).toBe("old\nname");
	await path(page).getByText("old\\nname").waitFor();
	await path(page).getByRole("link", { name: "local" }).click();
	const filter = page.getByRole("button", { name: "Belongs to", exact: true });
	await filter.first().click();
	await page.getByRole("menuitemcheckbox", { name: "Nobody" }).click();
	await row(page, "limiquantix-pool.json").waitFor({ state: "detached" });
	await row(page, "lost+found").waitFor();
	expect(problems).toEqual([]);
	await opened.close();
});

test("what is cut off, what cannot be read, what is not there, what takes long", async () => {
	const opened = await stage.open({ vms: 2, nodes: 1 });
	const { page, server, problems } = opened;
	await page.goto(contentOf(opened, "local", "?folder=archive"));
	await page.getByText("These are the first 2,000 that were found.").waitFor();
	await row(page, "mail-0.eml").waitFor();
	expect(await page.getByRole("row").count()).toBeLessThan(100);
	await page.getByRole("searchbox").last().fill("mail-1999");
	await row(page, "mail-1999.eml").waitFor();

	await page.goto(contentOf(opened, "local", "?folder=broken"));
	await page.getByText("input/output error of the device").waitFor();
	await page.getByRole("link", { name: "To the top of the pool" }).click();
	await row(page, "lost+found").waitFor();
	for (const folder of ["gone", "../../etc", "volumes/x/y"]) {
		await page.goto(contentOf(opened, "local", `?folder=${encodeURIComponent(folder)}`));
		await page.getByRole("heading", { name: "The pool could not be looked into" }).waitFor();
	}

	const held = Promise.withResolvers<void>();
	await page.route("**/content**", async (route) => {
		if (route.request().resourceType() !== "fetch") return route.continue();
		await held.promise;
		await route.continue();
	});
	await page.goto(contentOf(opened, "local"));
	await page.getByText("Still looking.").waitFor();
	held.resolve();
	await row(page, "lost+found").waitFor();
	await page.unroute("**/content**");
	const pool = poolNamed(opened, "local");
	server.state.change("pool", pool.id, { phase: "error" });
	await page.getByRole("button", { name: "Reload" }).click();
	await page.getByText("does not answer").waitFor();
	server.state.change("pool", pool.id, { phase: "ready" });
	await page.getByRole("button", { name: "Try again" }).click();
	await row(page, "lost+found").waitFor();
	expect(problems).toEqual([]);
	await opened.close();
});

test("each node has its own part of a local pool; pools without folders show images and logical volumes", async () => {
	const opened = await stage.open({ vms: 2, nodes: 3 });
	const { page, server, problems } = opened;
	const pool = poolNamed(opened, "local");
	const nodes = [...server.state.tables.node.values()];
	server.state.change("pool", pool.id, { nodeIds: nodes.map(({ id }) => id) });
	await page.goto(contentOf(opened, "local", "?folder=volumes"));
	await row(page, "00000000beef").waitFor();
	const asked = page.waitForRequest((request) => request.url().includes(`nodeId=${nodes[1]?.id}`));
	await page.getByLabel("Node", { exact: true }).selectOption(nodes[1]?.id ?? "");
	expect(new URL((await asked).url()).searchParams.get("folder")).toBeNull();
	expect(new URL(page.url()).searchParams.get("node")).toBe(nodes[1]?.id ?? "");
	await page.getByRole("link", { name: "images", exact: true }).click();
	await path(page).getByRole("link", { name: "local" }).waitFor();
	expect(new URL(page.url()).searchParams.get("node")).toBe(nodes[1]?.id ?? "");

	for (const [name, kind] of [
		["rbd", "RBD image"],
		["san", "Logical volume"],
	] as const) {
		await page.goto(contentOf(opened, name));
		await row(page, "vm-101-disk-0").getByText(kind).waitFor();
		expect(await page.getByLabel("Node", { exact: true }).count()).toBe(0);
		expect(await page.getByRole("columnheader", { name: "Changed" }).count()).toBe(0);
	}
	expect(problems).toEqual([]);
	await opened.close();
});

test("a viewer is told why nothing is shown, and nothing is asked", async () => {
	const opened = await stage.open({ vms: 1, nodes: 1, username: "viewer" });
	const { page, problems } = opened;
	let asked = 0;
	page.on("request", (request) => {
		if (request.url().includes("/v1/pools/") && request.url().includes("/content")) asked += 1;
	});
	await page.goto(contentOf(opened, "local"));
	await page.getByRole("heading", { name: "What lies in the pool is not shown" }).waitFor();
	expect([asked, problems]).toEqual([0, []]);
	await opened.close();
});

test("axe-core finds nothing, and nothing is wider than a phone", async () => {
	for (const colorScheme of ["light", "dark"] as const) {
		const context = { colorScheme, viewport: { width: 360, height: 740 } };
		const opened = await stage.open({ vms: 6, nodes: 3, context });
		const { page } = opened;
		const pool = poolNamed(opened, "local");
		opened.server.state.change("pool", pool.id, {
			nodeIds: [...opened.server.state.tables.node.values()].map(({ id }) => id),
		});
		for (const [name, query, shown] of [
			["local", "", "lost+found"],
			["local", "?folder=volumes", "no record"],
			["local", "?folder=archive", "There is more"],
			["local", "?folder=broken", "To the top of the pool"],
			["local", `?folder=${"x".repeat(200)}`, "could not be looked into"],
			["rbd", "", "vm-101-disk-0"],
		] as const) {
			await page.goto(contentOf(opened, name, query));
			await page.getByText(shown).first().waitFor();
			expect([name, query, await findings(page, { colorScheme, within: "#main" })]).toEqual([name, query, []]);
			const tooWide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
			expect([name, query, tooWide]).toEqual([name, query, false]);
		}
		await opened.close();
	}
});

test("an image is put into the pool that one looks at; pools and nodes that cannot take it say why", async () => {
	const opened = await stage.open({ vms: 1, nodes: 2, storageTrouble: true });
	const { page, server, problems } = opened;
	const rbd = poolNamed(opened, "rbd");
	await page.goto(`${server.url}/storage/pools/${rbd.id}/images`);
	await page.getByRole("link", { name: "Add image" }).click();
	const dialog = page.getByRole("dialog");
	const pools = dialog.getByLabel("Pool", { exact: true });
	await pools.waitFor();
	expect(await pools.inputValue()).toBe(rbd.id);
	const files = pools.getByRole("option", { name: /^files/ });
	expect([await files.textContent(), await files.isDisabled()]).toEqual(["files (error)", true]);
	await page.getByRole("radio", { name: "URL" }).check();
	await page.getByLabel("URL", { exact: true }).last().fill("https://images.example.net/debian-12.qcow2");
	const request = page.waitForRequest((one) => one.method() === "POST" && one.url().endsWith("/v1/images"));
	await page.getByRole("button", { name: "Add image" }).last().click();
	expect((await request).postDataJSON()).toMatchObject({ poolId: rbd.id });
	await page.getByRole("heading", { name: "Images" }).waitFor();
	expect(new URL(page.url()).searchParams.get("into")).toBeNull();

	// One node alone has a part of this one.
	const san = poolNamed(opened, "san");
	const [first, second] = [...server.state.tables.node.values()];
	server.state.change("pool", san.id, { nodeIds: [first?.id ?? ""] });
	await page.goto(`${server.url}/images?add=upload`);
	await dialog.getByLabel("Node", { exact: true }).selectOption(second?.id ?? "");
	await pools.selectOption(san.id);
	expect(await dialog.getByLabel("Node", { exact: true }).inputValue()).toBe("");
	const option = page.getByRole("option", { name: `${second?.name} (has no part of the pool)` });
	expect(await option.isDisabled()).toBe(true);

	await page.goto(`${server.url}/storage/pools/${poolNamed(opened, "files").id}/images`);
	const off = page.getByRole("button", { name: "Add image" });
	expect(await off.getAttribute("aria-disabled")).toBe("true");
	await page.getByText("The pool cannot be used now (error).").first().waitFor({ state: "attached" });
	expect(problems).toEqual([]);
	await opened.close();
});
