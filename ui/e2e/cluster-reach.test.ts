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

test("a node that was admitted and is not reached is told from one that receives the state, which may be removed, too", async () => {
	const { page, server, close, problems } = await stage.open({ nodes: 2, vms: 1 });
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

	await panel.getByRole("button", { name: "Done" }).click();
	const members = page.getByRole("table", { name: "Members" });
	await members
		.getByRole("row", { name: /node-9/ })
		.getByRole("button", { name: "Actions: node-9" })
		.click();
	await page.getByRole("menuitem", { name: "Remove", exact: true }).click();
	const dialog = page.getByRole("dialog", { name: "Remove node-9" });
	await dialog.getByText("node-9 has not got to the end of joining").waitFor();
	expect(await dialog.getByLabel("It is off and stays off").count()).toBe(0);
	await dialog.getByRole("textbox").fill("node-9");
	await dialog.getByRole("button", { name: "Remove node" }).click();
	await page.getByText("node-9 was removed").waitFor();
	await members.getByRole("row", { name: /node-9/ }).waitFor({ state: "detached" });
	expect(problems).toEqual([]);
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

test("what many nodes have in common is said once; so is that the node of a VM is not heard of", async () => {
	const { page, server, close, problems } = await stage.open({ nodes: 11, vms: 2 });
	await page.goto(server.url);
	const main = page.getByRole("main");
	await main.getByText(/^node-1, node-2, .*, node-10, node-11: QEMU emulates the CPU/).waitFor();
	const same = "KVM cannot run a guest here: the probe's guest did not answer within 10 s.";
	expect(await main.getByText(same).count()).toBe(1);
	const [first] = [...server.state.tables.node.values()];
	if (!first) throw new Error("there is no node");
	server.state.change("node", first.id, { status: { ...first.status, acceleratorReason: "There is no /dev/kvm." } });
	await main.getByText("node-1: There is no /dev/kvm.").waitFor();
	await main
		.getByText(`node-2, node-3, node-4, node-5, node-6, node-7, node-8, node-9, node-10, node-11: ${same}`)
		.waitFor();

	const vm = [...server.state.tables.vm.values()].find(({ nodeId }) => nodeId === first.id);
	if (!vm) throw new Error("there is no VM on it");
	const reason = "Its node, node-1, is not heard of. The VM was running when it last reported.";
	server.state.change("vm", vm.id, { status: { ...vm.status, powerState: "unknown", reason } });
	server.state.change("node", first.id, {
		status: { ...first.status, phase: "not-ready", lost: true, reason: "The other nodes do not hear from it." },
	});
	await page.goto(`${server.url}/vms/${vm.id}`);
	await main.getByText(reason).waitFor();
	await main.getByText("No picture: whether the VM runs is not known.").waitFor();
	expect(await main.locator(".notice", { hasText: "this may be old" }).count()).toBe(0);
	expect(problems).toEqual([]);
	await close();
});
