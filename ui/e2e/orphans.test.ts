/** What is in a pool and in no record, and the other way round, against the mock: looked for, adopted, deleted. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { findings } from "./axe.ts";
import { type Opened, openStage, poolNamed, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

async function openOrphans(options: Parameters<Stage["open"]>[0] = {}): Promise<Opened & { poolId: string }> {
	const opened = await stage.open({ vms: 2, nodes: 3, storageTrouble: true, ...options });
	const poolId = poolNamed(opened, "local").id;
	await opened.page.goto(`${opened.server.url}/storage/pools/${poolId}`);
	await opened.page.getByRole("link", { name: "Orphans" }).click();
	return { ...opened, poolId };
}
const orphansOf = ({ server }: Opened, poolId: string) => server.state.orphans.get(poolId) ?? [];

test("what is found is adopted under a name", async () => {
	const opened = await openOrphans();
	const { page, poolId, problems } = opened;
	await page.getByText("Belongs to nothing").first().waitFor();
	const [volume, , image] = orphansOf(opened, poolId);
	expect(await findings(page, { colorScheme: "light", within: "#main" })).toEqual([]);
	await page.getByRole("button", { name: `Actions: ${image?.id}` }).click();
	await page.getByRole("menuitem", { name: "Adopt" }).getByText("Only volumes are adopted.").waitFor();
	await page.keyboard.press("Escape");
	await page.getByRole("button", { name: `Actions: ${volume?.id}` }).click();
	await page.getByRole("menuitem", { name: "Adopt" }).click();
	const dialog = page.getByRole("dialog", { name: "Adopt as a volume" });
	await dialog.getByRole("button", { name: "Adopt" }).click();
	await dialog.getByText("Enter a value.").waitFor();
	await dialog.getByText("Choose what becomes of them.").waitFor();
	await dialog.getByLabel("Its 2 snapshots").selectOption({ label: "Delete" });
	await dialog.getByText("Lost for good, with what only they have.").waitFor();
	await dialog.getByRole("button", { name: "Adopt and delete snapshots" }).waitFor();
	await dialog.getByLabel("Its 2 snapshots").selectOption({ label: "Keep" });
	await dialog.getByRole("textbox", { name: "Name" }).fill("old-mail-data");
	await dialog.getByRole("button", { name: "Adopt" }).click();
	await dialog.getByText("The name old-mail-data is taken.").first().waitFor();
	await dialog.getByRole("textbox", { name: "Name" }).fill("rescued");
	const request = page.waitForRequest((one) => one.url().includes("/orphans/actions/adopt"));
	await dialog.getByRole("button", { name: "Adopt" }).click();
	// Each node has its own part of a local pool.
	expect((await request).url()).toContain(`nodeId=${volume?.nodeId}`);
	expect((await request).postDataJSON()).toMatchObject({ snapshots: "keep" });
	await page.getByRole("heading", { name: "rescued" }).waitFor();
	await page.getByRole("main").getByText("Ready", { exact: true }).waitFor();
	expect(problems).toEqual([]);
	await opened.close();
});

test("what is chosen is deleted after its pool was named, content and records; what stays is said", async () => {
	const opened = await openOrphans();
	const { page, poolId, server, problems } = opened;
	await page.getByLabel("Select all rows").check();
	await page.getByRole("toolbar").getByRole("button", { name: "Delete" }).click();
	const dialog = page.getByRole("dialog", { name: "Delete 4 orphans" });
	await dialog.getByText("Lost for good, with what is on it; 21.1 GiB become free in local:").waitFor();
	expect(await dialog.getByRole("listitem").count()).toBe(4);
	await dialog.getByText("old-mail-data").waitFor();
	expect(await findings(page, { colorScheme: "light" })).toEqual([]);
	const send = dialog.getByRole("button", { name: "Delete" });
	expect(await send.getAttribute("aria-disabled")).toBe("true");
	await dialog.getByLabel("Type local to confirm").fill("local");
	// One of them is in a record by now.
	const [kept] = orphansOf(opened, poolId);
	server.state.orphans.set(
		poolId,
		orphansOf(opened, poolId).filter((one) => one !== kept),
	);
	server.state.hold();
	await send.click();
	// The task shows at once, and what it deletes is no orphan any more.
	await page.getByRole("button", { name: "Show tasks (2 running)" }).waitFor();
	await page.getByRole("heading", { name: "No orphans" }).waitFor();
	server.state.release();
	await page.getByText("1 orphan was deleted").waitFor();
	await page.getByText(`Deleted: 2. Kept ${kept?.id}: It is no orphan: there is a record of it.`).waitFor();
	await page.getByRole("heading", { name: "No orphans" }).waitFor();
	expect([...server.state.tables.volume.values()].some(({ name }) => name === "old-mail-data")).toBe(false);
	expect(problems).toEqual([]);
	await opened.close();
});

test("a deletion is called off: what is left is there again", async () => {
	const opened = await openOrphans();
	const { page, poolId, server, problems } = opened;
	const ids = orphansOf(opened, poolId)
		.filter(({ found }) => found === "no-record")
		.map(({ id }) => id);
	for (const id of ids) await page.getByRole("row", { name: id }).getByRole("checkbox").check();
	await page.getByRole("toolbar").getByRole("button", { name: "Delete" }).click();
	const dialog = page.getByRole("dialog", { name: "Delete 3 orphans" });
	await dialog.getByLabel("Type local to confirm").fill("local");
	server.state.hold();
	await dialog.getByRole("button", { name: "Delete" }).click();
	await page.getByRole("button", { name: "Show tasks (1 running)" }).click();
	await page.getByRole("button", { name: "Cancel: Delete orphans local" }).click();
	await page.getByText(ids[0] ?? "").waitFor({ state: "detached" });
	server.state.release();
	await page
		.getByRole("main")
		.getByText(ids[0] ?? "")
		.first()
		.waitFor();
	expect(orphansOf(opened, poolId)).toHaveLength(4);
	expect(problems).toEqual([]);
	await opened.close();
});

test("a record whose disk a VM has stays, with the reason", async () => {
	const opened = await openOrphans();
	const { page, server } = opened;
	const gone = [...server.state.tables.volume.values()].find(({ name }) => name === "old-mail-data");
	const [vm] = server.state.tables.vm.values();
	if (gone && vm) server.state.change("volume", gone.id, { vmId: vm.id });
	await page.getByRole("button", { name: "Actions: old-mail-data" }).click();
	const item = page.getByRole("menuitem", { name: "Delete the record" });
	await item.getByText("A VM uses it. Detach it there first.").waitFor();
	await opened.close();
});

test("a node that does not answer is named; what cannot be looked at says why, and is looked at again", async () => {
	const opened = await openOrphans();
	const { page, server, poolId } = opened;
	await page.getByText("Content missing").waitFor();
	const [, second] = [...server.state.tables.node.values()];
	server.state.members.away.add(second?.id ?? "");
	await page.getByRole("button", { name: "Look again" }).click();
	await page.getByText("node-2 did not answer: its part of the pool was not looked at").waitFor();
	expect(await findings(page, { colorScheme: "light", within: "#main" })).toEqual([]);
	server.state.members.away.clear();
	await page.route("**/orphans**", (route) =>
		route.fulfill({
			status: 504,
			contentType: "application/problem+json",
			body: JSON.stringify({ type: "about:blank", status: 504, code: "timeout", title: "Listing took too long." }),
		}),
	);
	await page.getByRole("button", { name: "Look again" }).click();
	await page.getByRole("button", { name: "Try again" }).waitFor();
	await page.unroute("**/orphans**");
	server.state.orphans.delete(poolId);
	await page.getByRole("button", { name: "Try again" }).click();
	await page.getByRole("heading", { name: "No orphans" }).waitFor();
	await opened.close();
});

test("it may take long: that is said meanwhile", async () => {
	const opened = await openOrphans();
	const { page } = opened;
	await page.getByText("Content missing").waitFor();
	const gate = Promise.withResolvers<void>();
	await page.route("**/orphans**", async (route) => {
		await gate.promise;
		await route.continue();
	});
	await page.getByRole("button", { name: "Look again" }).click();
	await page.getByRole("main").getByRole("status").getByText("Looking through the pool.").waitFor();
	expect(await findings(page, { colorScheme: "light", within: "#main" })).toEqual([]);
	gate.resolve();
	await page.getByText("Looking through the pool.").waitFor({ state: "detached" });
	await opened.close();
});

test("a viewer sees why, an operator may look", async () => {
	const viewer = await openOrphans({ username: "viewer" });
	await viewer.page.getByRole("main").getByText("The role viewer does not allow this.").waitFor();
	await viewer.close();
	const operator = await openOrphans({ username: "operator" });
	const [volume] = orphansOf(operator, operator.poolId);
	await operator.page.getByRole("button", { name: `Actions: ${volume?.id}` }).click();
	for (const name of ["Adopt", "Delete"]) {
		const item = operator.page.getByRole("menuitem", { name });
		await item.getByText("The role operator does not allow this.").waitFor();
		expect(await item.getAttribute("aria-disabled")).toBe("true");
	}
	await operator.close();
});
