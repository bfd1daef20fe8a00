/** Storage pools of all types against the mock: looked for, tried, made, changed, and how they are on each node. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Page, Request } from "playwright-core";
import { findings } from "./axe.ts";
import { type Opened, openStage, poolNamed, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

const field = (page: Page, name: string) => page.getByRole("textbox", { name, exact: true });
const button = (page: Page, name: string) => page.getByRole("main").getByRole("button", { name });
const sent = (page: Page, method: string): Promise<Request> =>
	page.waitForRequest((request) => request.method() === method && /\/v1\/pools(\/[^/]+)?$/.test(request.url()));

async function openCreate(type: string): Promise<Opened> {
	const opened = await stage.open({ vms: 1, nodes: 3 });
	await opened.page.goto(`${opened.server.url}/storage`);
	await opened.page.getByRole("link", { name: "Create pool" }).click();
	await opened.page.getByRole("radio", { name: new RegExp(`^${type}`) }).check();
	return opened;
}

test("an NFS pool: exports are looked for, it is tried, and what fails is under its node", async () => {
	const opened = await openCreate("NFS");
	const { page, problems } = opened;
	await button(page, "Create pool").click();
	await page.getByText("Enter a value.").first().waitFor();
	expect(await field(page, "Server").getAttribute("aria-invalid")).toBe("true");

	await field(page, "Name").fill("shared");
	await field(page, "Server").fill("closed.example.net");
	await button(page, "Look for exports").click();
	await page.getByText("closed.example.net does not answer").waitFor();
	await field(page, "Server").fill("empty.example.net");
	// What was answered about another server is gone.
	await page.getByText("closed.example.net does not answer").waitFor({ state: "detached" });
	await button(page, "Look for exports").click();
	await page.getByText("The server exports nothing").waitFor();
	await field(page, "Server").fill("partly.example.net");
	await button(page, "Look for exports").click();
	await page.getByRole("radio", { name: "/export/vms for 10.0.0.0/24" }).check();
	expect(await field(page, "Export").inputValue()).toBe("/export/vms");

	await button(page, "Test").click();
	const result = page.getByRole("list", { name: "Result of the test" });
	await result.getByText("1.5 TiB free of 2 TiB").first().waitFor();
	expect(await result.getByText("Works").count()).toBe(2);
	expect(await result.getByText("Fails").count()).toBe(1);
	await button(page, "Create pool").click();
	const node = page.getByRole("checkbox", { name: "node-3" });
	await page.locator(".field__error", { hasText: "node-3: partly.example.net does not answer" }).waitFor();
	expect(await node.getAttribute("aria-invalid")).toBe("true");
	await node.uncheck();
	await page.locator(".field__error").waitFor({ state: "detached" });

	// Nothing is lost by going away.
	await page.getByRole("link", { name: "Images", exact: true }).click();
	await page.getByRole("heading", { name: "Images" }).waitFor();
	await page.goBack();
	await page.getByText("What you entered before was kept").waitFor();
	await field(page, "Server").fill("nas2.example.net");
	const request = sent(page, "POST");
	await button(page, "Create pool").click();
	const config = {
		server: "nas2.example.net",
		exportPath: "/export/vms",
		folder: null,
		version: null,
		mountOptions: [],
	};
	expect((await request).postDataJSON()).toMatchObject({ name: "shared", type: "nfs", config });
	await page.getByRole("heading", { name: "shared" }).waitFor();
	await page.getByRole("main").getByText("Ready", { exact: true }).waitFor();
	expect(poolNamed(opened, "shared").nodeIds).toHaveLength(2);
	expect(problems).toEqual([]);
	await opened.close();
});

const key = "AQBSdFhgAAAAABAAq5ZB3cGJ2uC8m9uTjVXQ3g==";

test("a Ceph pool: conf and keyring are pasted, the key is kept nowhere", async () => {
	const opened = await openCreate("Ceph RBD");
	const { page, problems } = opened;
	await field(page, "Name").fill("ceph");
	await page.locator("summary", { hasText: "Paste" }).click();
	await field(page, "ceph.conf").fill("mon host = ");
	await page.getByText("The configuration names no monitors").waitFor();
	await field(page, "ceph.conf").fill("[global]\nmon_host = [v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0] [fd00::2]");
	await page.getByText("2 monitors were taken over.").waitFor();
	await field(page, "Keyring").fill(`[client.vms]\n\tkey = ${key}\n`);
	await page.getByText("The user vms and its key were taken over.").waitFor();
	expect(await field(page, "Keyring").inputValue()).toBe("");
	const secret = page.getByLabel("Key", { exact: true });
	expect(await secret.inputValue()).toBe(key);
	expect([await secret.getAttribute("type"), await secret.getAttribute("autocomplete")]).toEqual(["password", "off"]);
	await button(page, "Look for pools").click();
	await page.getByRole("radio", { name: "vms/berlin" }).check();
	const data = page.getByRole("group", { name: "Data pool" });
	expect(await data.getByRole("radio", { name: "None" }).isChecked()).toBe(true);
	await data.getByRole("radio", { name: "coded" }).check();
	expect(await page.evaluate(() => JSON.stringify([{ ...sessionStorage }, { ...localStorage }]))).not.toContain(key);
	const request = sent(page, "POST");
	await button(page, "Create pool").click();
	const access = { monitors: ["10.0.0.1", "[fd00::2]"], user: "vms" };
	expect((await request).postDataJSON()).toMatchObject({
		config: { ...access, cephPool: "vms", namespace: "berlin", dataPool: "coded" },
		credentials: { cephKey: key },
	});
	await page.getByRole("heading", { name: "ceph" }).waitFor();
	expect(await page.content()).not.toContain(key);
	expect(problems).toEqual([]);
	await opened.close();
});

test("an iSCSI pool: targets, then LUNs; what is on one is said", async () => {
	const opened = await openCreate("iSCSI with LVM");
	const { page, problems } = opened;
	await field(page, "Name").fill("lun");
	const look = button(page, "Look for targets");
	expect(await look.getAttribute("aria-disabled")).toBe("true");
	await field(page, "Portals").fill("10.0.1.5,");
	await page.getByRole("radio", { name: "The node signs in" }).check();
	await field(page, "CHAP user").fill("berlin");
	const password = page.getByLabel("CHAP password");
	await password.fill("short");
	await page.getByText("Use 12 to 255 characters").waitFor();
	await password.fill("twelve-letters");
	await look.click();
	await page.getByRole("radio", { name: /storage\.archive/ }).check();
	// Both ways to the target, and the list stays.
	await page.getByRole("button", { name: "Remove tag 10.0.2.5:3260" }).waitFor();
	expect(await page.getByRole("radio", { name: /storage\.archive/ }).isChecked()).toBe(true);
	await button(page, "Look for LUNs").click();
	await page.getByText("Not empty: gpt, LVM2_member of group data. Making a pool on it destroys that.").waitFor();
	await page.getByRole("radio", { name: "LUN 0, 2 TiB" }).check();
	const wipe = page.getByRole("checkbox", { name: "Overwrite deleted volumes" });
	await wipe.check();
	await page.getByRole("radio", { name: /^Thin/ }).check();
	await page.locator(".field__error", { hasText: "A thin pool is for one node only" }).waitFor();
	await page.getByText("Not for thin disks, which share blocks.").waitFor();
	expect([await wipe.isDisabled(), await wipe.isChecked()]).toEqual([true, false]);
	await page.getByRole("radio", { name: /^Thick/ }).check();
	expect([await wipe.isDisabled(), await wipe.isChecked()]).toEqual([false, true]);
	const request = sent(page, "POST");
	await button(page, "Create pool").click();
	expect((await request).postDataJSON()).not.toHaveProperty("overwrite");
	expect((await request).postDataJSON()).toMatchObject({
		config: { wwid: "naa.60014050a0b0c0d0e0f0102030405060", chapUser: "berlin", mutualChapUser: null, hostIds: {} },
		credentials: { chapPassword: "twelve-letters" },
	});
	expect((await request).postDataJSON()).toMatchObject({ config: { layout: "thick", wipeOnDelete: true } });
	await page.getByRole("heading", { name: "lun" }).waitFor();
	expect(problems).toEqual([]);
	await opened.close();
});

const taken = "gpt, LVM2_member of group data";

async function openTaken(): Promise<Opened> {
	const opened = await openCreate("iSCSI with LVM");
	const { page } = opened;
	await field(page, "Name").fill("lun");
	await field(page, "Portals").fill("10.0.1.5,");
	await button(page, "Look for targets").click();
	await page.getByRole("radio", { name: /storage\.disks/ }).check();
	await button(page, "Look for LUNs").click();
	await page.getByRole("radio", { name: "LUN 1, 500 GiB" }).check();
	return opened;
}

test("what is on a LUN is destroyed when it was typed, and not before", async () => {
	const opened = await openTaken();
	const { page, problems } = opened;
	await button(page, "Test").click();
	await page.getByText(`The LUN is not empty: ${taken}`, { exact: true }).waitFor();
	await page.getByText(`What is on the LUN is destroyed: ${taken}.`).waitFor();
	expect(await page.getByRole("list", { name: "Result of the test" }).getByText("Fails").count()).toBe(3);
	const typed = page.getByLabel(`Type ${taken} to confirm`);
	await typed.fill("gpt");
	let posts = 0;
	page.on("request", (one) => {
		if (one.method() === "POST" && one.url().endsWith("/v1/pools")) posts += 1;
	});
	await button(page, "Create pool").click();
	await page.getByText(`Type ${taken} to confirm that it is destroyed`).waitFor();
	expect(posts).toBe(0);
	// Another LUN holds something else, or nothing.
	await page.getByRole("radio", { name: "LUN 0, 2 TiB" }).check();
	await typed.waitFor({ state: "detached" });
	await page.getByRole("radio", { name: "LUN 1, 500 GiB" }).check();
	await typed.fill(taken);
	await button(page, "Test").click();
	const result = page.getByRole("list", { name: "Result of the test" });
	await result.getByText("Works").first().waitFor();
	expect(await page.getByText(`What is on the LUN is destroyed: ${taken}.`).count()).toBe(1);
	const request = sent(page, "POST");
	await button(page, "Create pool").click();
	expect((await request).postDataJSON().overwrite).toEqual(["gpt", "LVM2_member of group data"]);
	await page.getByRole("heading", { name: "lun" }).waitFor();
	expect(problems).toEqual([]);
	await opened.close();
});

test("who creates without a test is told what is there, and asked for it; a reload asks anew", async () => {
	const opened = await openTaken();
	const { page } = opened;
	await button(page, "Create pool").click();
	const typed = page.getByLabel(`Type ${taken} to confirm`);
	await typed.fill(taken);
	await page.getByText("The pool was not created").waitFor({ state: "detached" });
	await page.reload();
	await page.getByText("What you entered before was kept").waitFor();
	expect(await field(page, "LUN").inputValue()).toStartWith("naa.60014051");
	expect(await typed.count()).toBe(0);
	await button(page, "Create pool").click();
	expect(await typed.inputValue()).toBe("");
	await opened.close();
});

test("the targets of a pool that is there are looked for with its credentials, unless others are typed", async () => {
	const opened = await stage.open({ vms: 1, nodes: 1 });
	const { page, server } = opened;
	const { id } = poolNamed(opened, "san");
	await page.goto(`${server.url}/storage/pools/${id}`);
	await page.getByRole("button", { name: "More actions" }).click();
	await page.getByRole("menuitem", { name: "Edit" }).click();
	const panel = page.getByRole("dialog", { name: "Edit pool san" });
	const asked = () => page.waitForRequest((one) => one.url().includes("/pools/actions/discover"));
	const look = panel.getByRole("button", { name: "Look for targets" });
	const first = asked();
	await look.click();
	expect((await first).postDataJSON()).toMatchObject({ poolId: id, chapUser: "berlin" });
	expect((await first).postDataJSON()).not.toHaveProperty("credentials");
	await panel.getByRole("radio", { name: /storage\.archive/ }).waitFor();
	await panel.getByLabel("CHAP password").fill("another-password");
	const second = asked();
	await look.click();
	expect((await second).postDataJSON()).toMatchObject({
		poolId: id,
		credentials: { chapPassword: "another-password" },
	});
	await opened.close();
});

test("a pool is changed: only what is another now is sent, and Escape asks first", async () => {
	const opened = await stage.open({ vms: 1, nodes: 3 });
	const { page, server } = opened;
	await page.goto(`${server.url}/storage/pools/${poolNamed(opened, "san").id}`);
	await page.getByRole("button", { name: "More actions" }).click();
	await page.getByRole("menuitem", { name: "Edit" }).click();
	const panel = page.getByRole("dialog", { name: "Edit pool san" });
	await panel.getByText("Leave empty to keep the one that it has.").waitFor();
	await panel.getByRole("textbox", { name: "Portals" }).fill("closed.example.net ");
	await panel.getByRole("textbox", { name: "Portals" }).press("Escape");
	await panel.getByText("Discard what you entered?").waitFor();
	await panel.getByRole("button", { name: "Keep editing" }).click();
	expect(await panel.getByLabel("CHAP password").getAttribute("type")).toBe("password");
	await panel.getByText("the stored one is not sent to new addresses (closed.example.net).").waitFor();
	await panel.getByLabel("CHAP password").fill("typed-once-more");
	await panel.getByRole("button", { name: "Remove tag 10.0.1.5:3260" }).click();
	await panel.getByRole("checkbox", { name: "node-3" }).uncheck();
	await panel.getByRole("button", { name: "Test" }).click();
	await panel.getByRole("list", { name: "Result of the test" }).getByText("Works").first().waitFor();
	const request = sent(page, "PATCH");
	await panel.getByRole("button", { name: "Save changes" }).click();
	const body = (await request).postDataJSON();
	expect(Object.keys(body).sort()).toEqual(["config", "credentials", "nodeIds"]);
	expect(body.credentials).toEqual({ chapPassword: "typed-once-more" });
	expect(body.config.portals).toEqual(["10.0.2.5:3260", "closed.example.net"]);
	await panel.waitFor({ state: "detached" });
	expect(poolNamed(opened, "san").nodeIds).toHaveLength(2);
	await opened.close();
});

test("the list says where a pool is and how it is on each node, for whoever sees no colours as well", async () => {
	const opened = await stage.open({ vms: 1, nodes: 3, storageTrouble: true });
	const { page, server, problems } = opened;
	await page.goto(`${server.url}/storage`);
	const marks = page.getByRole("list", { name: "Health of rbd on each node" });
	await marks.waitFor();
	const about = (await marks.getByRole("listitem").allInnerTexts()).map((text) => text.trim());
	expect(about).toEqual([
		"node-1: Healthy",
		"node-2: Error. None of the monitors answered within 10 s.",
		"node-3: Healthy",
	]);
	await page.getByText("nas1.example.net:/export/vms/berlin").waitFor();
	// What nodes share is counted once, what each has by itself adds up.
	await page.getByText("17 TiB of 48 TiB").waitFor();
	await page.getByText("1.8 TiB of 5.3 TiB").waitFor();
	await page.getByRole("link", { name: "files" }).click();
	await page.getByText("node-1, node-2, node-3: Not mounted").waitFor();
	const can = page.getByRole("table", { name: "What it can do" });
	await can.getByRole("row", { name: /Shrink No Making a disk smaller would cut off/ }).waitFor();
	// One of the nodes has mounted it by an old version.
	await can.getByRole("row", { name: "Provisioning thin, thick node-1, node-3", exact: true }).waitFor();
	await can.getByRole("row", { name: /^thin node-2 Volumes here are thin: .* needs NFS 4\.2/ }).waitFor();
	await can
		.getByRole("row", { name: /^Free what guests trim No node-2 Space .* is not freed on the server/ })
		.waitFor();
	await can.getByRole("row", { name: /^Full copies that share blocks No node-2 The file system cannot/ }).waitFor();
	expect(await findings(page, { colorScheme: "light", within: "#main" })).toEqual([]);
	for (const { id } of [...server.state.tables.pool.values()]) server.state.remove("pool", id);
	await page.goto(`${server.url}/storage`);
	await page.getByRole("heading", { name: "No storage pools" }).waitFor();
	await page.getByRole("main").getByRole("link", { name: "Create pool" }).last().click();
	await page.getByRole("heading", { name: "Create pool" }).waitFor();
	expect(problems).toEqual([]);
	await opened.close();
});

test("a viewer sees the form and why it cannot be sent", async () => {
	const { page, server, close } = await stage.open({ vms: 1, nodes: 1, username: "viewer" });
	await page.goto(`${server.url}/storage/new`);
	const send = button(page, "Create pool");
	await send.waitFor();
	expect(await send.getAttribute("aria-disabled")).toBe("true");
	await page.getByText("The role viewer does not allow this.").first().waitFor({ state: "attached" });
	expect(await page.getByRole("checkbox", { name: "node-1" }).count()).toBe(0);
	await close();
});
