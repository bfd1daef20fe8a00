/** Nodes that the others do not reach, in the browser: before that happens, as they join, and on such a node itself. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { joinWith } from "../dev/mock/members.ts";
import { openStage, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

test("addresses where the node is not are not saved by mistake", async () => {
	const { page, server, close, problems } = await stage.open({ nodes: 3, vms: 1 });
	await page.goto(`${server.url}/cluster`);
	server.state.members.nowhere.add("10.0.0.34:8444");
	const members = page.getByRole("table", { name: "Members" });
	await members
		.getByRole("row", { name: /node-3/ })
		.getByRole("button", { name: "Actions: node-3" })
		.click();
	await page.getByRole("menuitem", { name: "Change addresses" }).click();
	const dialog = page.getByRole("dialog", { name: "Addresses of node-3" });
	const field = dialog.getByLabel("Addresses");
	await field.fill("10.0.0.34:8444");
	await field.press("Enter");
	await dialog.getByRole("button", { name: "Remove tag 10.0.0.3:8444" }).click();
	expect(await dialog.getByLabel("Save them all the same").count()).toBe(0);
	await dialog.getByRole("button", { name: "Save changes" }).click();
	await dialog.getByText("The other nodes do not reach it there.").first().waitFor();
	await dialog.getByLabel("Save them all the same").check();
	await dialog.getByRole("button", { name: "Save changes" }).click();
	await members.getByText("10.0.0.34:8444").waitFor();
	expect(problems).toEqual([]);
	await close();
});

test("a node that was admitted and is not reached is told from one that receives the state", async () => {
	const { page, server, close } = await stage.open({ nodes: 2, vms: 1 });
	await page.goto(`${server.url}/cluster`);
	await page.getByRole("button", { name: "Add node" }).click();
	const panel = page.getByRole("dialog", { name: "Add a node" });
	await panel.getByRole("button", { name: "Make token" }).click();
	await panel.getByText("Waiting for the node").waitFor();
	const [token] = server.state.tables.joinToken.values();
	if (!token) throw new Error("no token was made");
	const node = joinWith(server.state, token, "node-9");
	server.state.members.away.add(node.id);
	const arrivals = panel.getByRole("region", { name: "Nodes that came" });
	await arrivals.getByText(`Admitted, and not reached at ${node.peerAddresses.join(", ")}`).waitFor();
	server.state.members.away.delete(node.id);
	await arrivals.getByText("Receives the cluster's state").waitFor();
	await close();
});

test("a node that nobody reaches says that, and not that some are missing", async () => {
	const { page, server, close } = await stage.open({ nodes: 3, vms: 1 });
	await page.goto(`${server.url}/cluster`);
	Object.assign(server.state.members, { unheard: true });
	server.settings.quorum = false;
	const banner = page.locator(".banners");
	await banner.getByText("The other nodes do not reach this node at 10.0.0.1:8444").waitFor();
	expect(await banner.getByText("voting nodes").count()).toBe(0);
	await close();
});
