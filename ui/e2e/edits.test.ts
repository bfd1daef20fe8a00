/** Editing beside somebody else takes nothing of theirs back; deleting many says what goes. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { openStage, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

const changedMeanwhile = "Somebody else changed this in the meantime.";

test("an edit panel keeps to what it was opened with: another's change is told, not taken back", async () => {
	const { page, server, context, close, problems } = await stage.open({ vms: 2 });
	const known = [...server.state.tables.network.values()].find(({ name }) => name === "office");
	if (!known) throw new Error("no network");
	const network = () => server.state.tables.network.get(known.id);
	await page.goto(`${server.url}/networks/${known.id}`);
	await page.getByRole("button", { name: "More actions" }).click();
	await page.getByRole("menuitem", { name: "Edit" }).click();
	const panel = page.getByRole("dialog", { name: "Edit office" });
	const matches: string[] = [];
	page.on("request", (request) => {
		if (request.method() === "PATCH") matches.push(request.headers()["if-match"] ?? "");
	});
	await panel.getByLabel("Name").fill("office-2");

	const other = await context.request.fetch(`${server.url}/v1/networks/${known.id}`, {
		method: "PATCH",
		data: { description: "By somebody else" },
		headers: { "x-lqx-csrf": "1", "if-match": `"${known.generation}"` },
	});
	expect(other.status()).toBe(200);
	await page.getByRole("dialog").getByText(changedMeanwhile).waitFor();
	expect(await page.getByRole("dialog").getByLabel("Name").inputValue()).toBe("office-2");

	const save = page.getByRole("dialog").getByRole("button", { name: "Save changes" });
	await Promise.all([page.waitForResponse((response) => response.status() === 412), save.click()]);
	expect(matches).toEqual([`"${known.generation}"`]);
	expect([network()?.name, network()?.description]).toEqual(["office", "By somebody else"]);
	// Said once, and what was typed is still there.
	expect(await page.getByRole("dialog").getByText(changedMeanwhile).count()).toBe(1);
	expect(await page.getByRole("dialog").getByLabel("Name").inputValue()).toBe("office-2");

	await page.getByRole("dialog").getByRole("button", { name: "Reload" }).click();
	expect(await page.getByRole("dialog").getByLabel("Description").inputValue()).toBe("By somebody else");
	await page.getByRole("dialog").getByLabel("Name").fill("office-3");
	await page.getByRole("dialog").getByRole("button", { name: "Save changes" }).click();
	await page.getByRole("dialog").waitFor({ state: "detached" });
	expect([network()?.name, network()?.description]).toEqual(["office-3", "By somebody else"]);
	expect(problems).toEqual([]);
	await close();
});

test("so does the panel of a user", async () => {
	const { page, server, close } = await stage.open({ vms: 1 });
	const user = [...server.state.tables.user.values()].find(({ name }) => name === "operator");
	if (!user) throw new Error("no user");
	await page.goto(`${server.url}/administration/users/${user.id}`);
	await page.getByRole("button", { name: "More actions" }).click();
	await page.getByRole("menuitem", { name: "Edit" }).click();
	const panel = page.getByRole("dialog");
	await panel.getByLabel("Full name").fill("On call, nights");
	server.state.change("user", user.id, { role: "viewer", generation: user.generation + 1 });
	await panel.getByText(changedMeanwhile).waitFor();
	await panel.getByRole("button", { name: "Save changes" }).click();
	await panel.getByText(changedMeanwhile).waitFor();
	expect(server.state.tables.user.get(user.id)?.role).toBe("viewer");
	expect(await panel.getByLabel("Full name").inputValue()).toBe("On call, nights");
	await close();
});

test("deleting many VMs says how many run, what is lost, and asks for their number", async () => {
	const { page, server, close } = await stage.open({ vms: 30 });
	const alive = [...server.state.tables.vm.values()].filter(({ status }) =>
		["running", "paused"].includes(status.powerState),
	).length;
	await page.goto(`${server.url}/vms`);
	await page.getByLabel("Select all rows").check();
	await page.getByRole("toolbar").getByRole("button", { name: "Delete" }).click();
	const dialog = page.getByRole("dialog", { name: "Delete 30 VMs" });
	await dialog.getByText(`${alive} of the 30 run and are cut off at once.`).waitFor();
	await dialog.getByText("This cannot be undone.").waitFor();
	await dialog.getByText("and 10 more").waitFor();
	await dialog.getByLabel(/^Delete their 30 volumes too/).waitFor();
	const confirm = dialog.getByRole("button", { name: "Delete 30 VMs" });
	expect(await confirm.getAttribute("aria-disabled")).toBe("true");
	await dialog.getByLabel("Type 30 to confirm").fill("30");
	await confirm.click();
	await page.getByText("No VMs yet").waitFor();
	expect([server.state.tables.vm.size, server.state.tables.volume.size]).toEqual([0, 0]);
	await close();
});
