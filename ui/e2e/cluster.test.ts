/** The cluster in the browser: one look, adding a node, nodes that go, leadership, VMs that move, what is missing. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Locator, Page } from "playwright-core";
import { addNode, joined, joinWith } from "../dev/mock/members.ts";
import type { MockServer } from "../dev/mock/server.ts";
import { openStage, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

const nodeOf = (server: MockServer, name: string) => {
	const node = [...server.state.tables.node.values()].find((one) => one.name === name);
	if (!node) throw new Error(`there is no ${name}`);
	return node;
};
const obstacle = (control: Locator): Promise<string | null> =>
	control.evaluate((element) =>
		element.getAttribute("aria-disabled") === "true"
			? (document.getElementById(element.getAttribute("aria-describedby") ?? "")?.textContent ?? "")
			: null,
	);
const figure = (page: Page, label: string) =>
	page.locator(".quorum__figure", { hasText: label }).locator("dd").textContent();
const openCluster = async (page: Page, server: MockServer) => {
	await page.goto(`${server.url}/cluster`);
	await page.getByText("Quorum: changes are accepted").waitFor();
};
const memberAction = async (page: Page, node: string, action: string): Promise<Locator> => {
	await page.getByRole("button", { name: `Actions: ${node}` }).click();
	return page.getByRole("menuitem", { name: action, exact: true });
};

test("one look says how the cluster is, and follows what no event tells", async () => {
	const context = { viewport: { width: 1440, height: 900 } };
	const { page, server, close, problems } = await stage.open({ nodes: 3, vms: 6, context });
	await openCluster(page, server);
	expect(await figure(page, "Voting nodes")).toBe("3");
	expect(await figure(page, "Have to agree")).toBe("2");
	expect(await figure(page, "More may fail")).toBe("1");
	expect(await figure(page, "Leader")).toBe("node-1");
	const row = page.getByRole("table", { name: "Members" }).getByRole("row", { name: /node-3/ });
	await row.getByText("Reached", { exact: true }).waitFor();

	server.state.members.away.add(nodeOf(server, "node-3").id);
	await row.getByText("Not reached").waitFor();
	await page.getByText("Not reached: node-3.").waitFor();
	await page.getByText("2 of 3 voting nodes reached, none may fail").waitFor();

	server.state.members.versions.set(nodeOf(server, "node-2").id, {
		version: "0.2.0",
		features: ["cluster-1", "live-migration-1"],
	});
	await page.getByText("live-migration-1 is held back until it is on node-1, node-3 too.").waitFor();

	const second = page.getByRole("table", { name: "Members" }).getByRole("row", { name: /node-2/ });
	expect(await second.getByText("Its certificate ends soon").count()).toBe(0);
	server.state.members.certificateDays.set(nodeOf(server, "node-2").id, 20);
	await second.getByText("Its certificate ends soon").waitFor();
	expect(problems).toEqual([]);
	await close();
});

test("a cluster of one and of two says what it cannot do", async () => {
	const { page, server, close } = await stage.open({ vms: 1 });
	await openCluster(page, server);
	await page.getByText("One node: when it fails, so does the cluster.").waitFor();
	expect(await obstacle(await memberAction(page, "node-1", "Leave the cluster"))).toBe("It is the only node.");
	await page.keyboard.press("Escape");
	addNode(server.state, "node-2");
	await page.getByText("Two nodes are no safer than one").waitFor();
	addNode(server.state, "judge", { witness: true });
	await page.getByRole("row", { name: /judge/ }).getByText("Witness").waitFor();
	await page.getByText("Two nodes are no safer than one").waitFor({ state: "detached" });
	// What it has not got is not waited for on its page.
	await page.getByRole("link", { name: "judge", exact: true }).first().click();
	await page.getByRole("heading", { name: "judge", exact: true }).waitFor();
	for (const missing of ["Other VMs", "Usage", "libvirt", "CPU model"])
		expect([missing, await page.getByText(missing, { exact: true }).count()]).toEqual([missing, 0]);
	await close();
});

test("a node is added: the token, the command to paste, the node as it comes", async () => {
	const { page, server, context, close, problems } = await stage.open({ nodes: 2, vms: 1 });
	await context.grantPermissions(["clipboard-read", "clipboard-write"]);
	await openCluster(page, server);
	await page.getByRole("button", { name: "Add node" }).click();
	const panel = page.getByRole("dialog", { name: "Add a node" });
	await panel.getByLabel("Number of nodes").fill("0");
	await panel.getByText("Enter a value from 1 to 64.").waitFor();
	await panel.getByLabel("Number of nodes").fill("2");
	await panel.getByLabel("Good for").selectOption({ label: "15 minutes" });
	await panel.getByLabel("As a witness").check();
	await panel.getByRole("button", { name: "Make token" }).click();

	await panel.getByText("10.0.0.1:8444, 10.0.0.2:8444").waitFor();
	await panel.getByText("Expires in 15 min").waitFor();
	await panel.getByRole("button", { name: "Copy command" }).click();
	await panel.getByRole("button", { name: "Copied" }).waitFor();
	const copied = await page.evaluate(() => navigator.clipboard.readText());
	expect(copied).toMatch(/^limiquantix cluster join --token lqxjoin1_\w+ --witness$/);
	await panel.getByText("Waiting for the node").waitFor();

	const [token] = server.state.tables.joinToken.values();
	if (!token) throw new Error("no token was made");
	expect(token.usesLeft).toBe(2);
	const node = joinWith(server.state, token, "node-9");
	const arrivals = panel.getByRole("region", { name: "Nodes that came" });
	await arrivals.getByText("Receives the cluster's state").waitFor();
	// It is used up, and goes: who came with it is still told.
	server.state.remove("joinToken", token.id);
	joined(server.state, node);
	await arrivals.getByText("A member that votes").waitFor();
	await panel.getByRole("button", { name: "Done" }).click();
	await page
		.getByRole("table", { name: "Members" })
		.getByRole("row", { name: /node-9/ })
		.waitFor();
	expect(problems).toEqual([]);
	await close();
});

test("open tokens are listed and deleted, and nothing for operators", async () => {
	const { page, server, close } = await stage.open({ nodes: 2, vms: 1 });
	const token = server.state.put("joinToken", {
		...server.state.metadata(),
		createdBy: "somebody",
		expiresAt: new Date(Date.now() + 600_000).toISOString(),
		usesLeft: 3,
		admitted: [],
	});
	await openCluster(page, server);
	await page.getByText("Made by somebody").waitFor();
	await page.getByRole("button", { name: "Delete token" }).click();
	await page.getByRole("dialog").getByRole("button", { name: "Delete token" }).click();
	await page.getByText("Made by somebody").waitFor({ state: "detached" });
	expect(server.state.tables.joinToken.has(token.id)).toBe(false);
	await close();

	const operator = await stage.open({ nodes: 2, vms: 1, username: "operator" });
	await openCluster(operator.page, operator.server);
	expect(await obstacle(operator.page.getByRole("button", { name: "Add node" }))).toBe(
		"The role operator does not allow this.",
	);
	expect(operator.problems).toEqual([]);
	await operator.close();
});

test("leadership is handed over, nodes get names and addresses", async () => {
	const { page, server, close } = await stage.open({ nodes: 3, vms: 1 });
	await openCluster(page, server);
	expect(await obstacle(await memberAction(page, "node-1", "Make leader"))).toBe("It leads already.");
	await page.keyboard.press("Escape");
	await (await memberAction(page, "node-2", "Make leader")).click();
	await page.getByText("node-2 leads now").waitFor();
	await page
		.getByRole("row", { name: /node-2/ })
		.getByText("Leader", { exact: true })
		.waitFor();

	await (await memberAction(page, "node-3", "Rename node")).click();
	await page.getByRole("dialog").getByLabel("Name").fill("rack-3");
	await page.getByRole("button", { name: "Save changes" }).click();
	const members = page.getByRole("table", { name: "Members" });
	await members.getByRole("row", { name: /rack-3/ }).waitFor();

	await (await memberAction(page, "rack-3", "Change addresses")).click();
	const dialog = page.getByRole("dialog", { name: "Addresses of rack-3" });
	const field = dialog.getByLabel("Addresses");
	await field.fill("10.0.0.33");
	await dialog.getByText("Use HOST:PORT").waitFor();
	await field.fill("10.0.0.33:8444");
	await field.press("Enter");
	await dialog.getByRole("button", { name: "Remove tag 10.0.0.3:8444" }).click();
	await dialog.getByRole("button", { name: "Save changes" }).click();
	await members.getByText("10.0.0.33:8444").waitFor();
	expect(nodeOf(server, "rack-3").peerAddresses).toEqual(["10.0.0.33:8444"]);
	await close();
});

test("a node leaves when nothing is on it, and is removed only when it is gone and named", async () => {
	const { page, server, close, problems } = await stage.open({ nodes: 3, vms: 6 });
	await openCluster(page, server);
	expect(await obstacle(await memberAction(page, "node-2", "Remove"))).toContain("It is reached, so it works");
	await page.keyboard.press("Escape");
	await (await memberAction(page, "node-2", "Leave the cluster")).click();
	const leave = page.getByRole("dialog", { name: "node-2 leaves the cluster" });
	await leave.getByText("2 VMs: ").waitFor();
	await leave.getByText("2 of 2 have to agree. None of them may fail.").waitFor();
	const confirm = leave.getByRole("button", { name: "Leave the cluster" });
	expect(await obstacle(confirm)).toContain("cannot leave while something is on it");
	const here = nodeOf(server, "node-1").id;
	for (const vm of [...server.state.tables.vm.values()].filter(
		({ nodeId }) => nodeId === nodeOf(server, "node-2").id,
	)) {
		server.state.change("vm", vm.id, { nodeId: here });
		for (const { volumeId } of vm.spec.disks) server.state.change("volume", volumeId, { nodeId: here });
	}
	await leave.getByText("cannot leave while something is on it").first().waitFor({ state: "detached" });
	await confirm.click();
	await page.getByText("node-2 has left the cluster").waitFor();
	await page
		.getByRole("table", { name: "Members" })
		.getByRole("row", { name: /node-2/ })
		.waitFor({ state: "detached" });

	server.state.members.away.add(nodeOf(server, "node-3").id);
	await page
		.getByRole("row", { name: /node-3/ })
		.getByText("Not reached")
		.waitFor();
	await (await memberAction(page, "node-3", "Remove")).click();
	const remove = page.getByRole("dialog", { name: "Remove node-3" });
	await remove.getByText("2 VMs, unknown from then on: ").waitFor();
	await remove.getByText("One node is left, and it decides alone.").waitFor();
	const button = remove.getByRole("button", { name: "Remove node" });
	expect(await obstacle(button)).toBe("Confirm that it is off.");
	await remove.getByLabel("It is off and stays off").check();
	expect(await obstacle(button)).toBe("Type node-3 to confirm");
	await remove.getByRole("textbox").fill("node-3");
	await button.click();
	await page.getByText("node-3 was removed").waitFor();
	const load = page.getByRole("table", { name: "Nodes" });
	await load
		.getByRole("row", { name: /node-3/ })
		.getByText("Left")
		.waitFor();

	// What is left of it: its VMs, whose state nobody knows.
	await load.getByRole("link", { name: "node-3" }).click();
	await page.getByText("node-3 is no member any more.").waitFor();
	await page.getByRole("link", { name: /^VMs/ }).last().click();
	await page.getByText("Unknown").first().waitFor();
	expect(problems).toEqual([]);
	await close();
});

test("a VM that is off moves to another node, with what is copied said before", async () => {
	const { page, server, close, problems } = await stage.open({ nodes: 3, vms: 8 });
	addNode(server.state, "judge", { witness: true });
	const vm = [...server.state.tables.vm.values()].find(({ status }) => status.powerState === "stopped");
	if (!vm) throw new Error("no VM is stopped");
	const from = server.state.tables.node.get(vm.nodeId);
	await page.goto(`${server.url}/vms/${vm.id}`);
	await page.getByRole("button", { name: "More actions" }).click();
	await page.getByRole("menuitem", { name: "Move" }).click();
	const dialog = page.getByRole("dialog", { name: `Move ${vm.name}` });
	await dialog.getByText(`removed from ${from?.name} afterwards`).waitFor();
	await dialog.getByText("A witness runs no VMs.").waitFor();
	expect(await dialog.getByRole("radio", { name: /judge/ }).isDisabled()).toBe(true);
	expect(await dialog.getByRole("radio", { name: new RegExp(from?.name ?? "") }).count()).toBe(0);
	const target = ["node-1", "node-2", "node-3"].find((name) => name !== from?.name) ?? "";
	await dialog.getByRole("radio", { name: new RegExp(target) }).check();
	await dialog.getByRole("button", { name: "Move", exact: true }).click();
	await page.getByRole("main").getByRole("link", { name: target }).waitFor();
	expect(server.state.tables.vm.get(vm.id)?.nodeId).toBe(nodeOf(server, target).id);
	expect(problems).toEqual([]);
	await close();
});

test("a VM of a node that is gone moves once somebody says that the node is off; one with disks there does not", async () => {
	const { page, server, close } = await stage.open({ nodes: 2, vms: 4 });
	const gone = nodeOf(server, "node-2");
	const [diskless, other] = [...server.state.tables.vm.values()].filter(({ nodeId }) => nodeId === gone.id);
	if (!diskless || !other) throw new Error("too few VMs");
	const reason = "Its node, node-2, was removed from the cluster.";
	for (const vm of [diskless, other])
		server.state.change("vm", vm.id, { status: { ...vm.status, powerState: "unknown", reason } });
	const now = server.state.tables.vm.get(diskless.id) ?? diskless;
	server.state.change("vm", diskless.id, { spec: { ...now.spec, disks: [], bootOrder: [] } });
	server.state.change("node", gone.id, { status: { ...gone.status, phase: "left", reason: "It was removed." } });

	await page.goto(`${server.url}/vms/${other.id}`);
	await page.getByText(reason).waitFor();
	await page.getByRole("button", { name: "Move to another node" }).click();
	await page.getByRole("dialog").getByText("lies on node-2, which is not heard of").first().waitFor();
	await page.keyboard.press("Escape");
	await page.getByRole("button", { name: "More actions" }).click();
	await page.getByRole("menuitem", { name: "Delete" }).click();
	await page.getByRole("dialog").getByText("Its node, node-2, was removed.").waitFor();
	await page.keyboard.press("Escape");

	await page.goto(`${server.url}/vms/${diskless.id}`);
	await page.getByRole("button", { name: "Move to another node" }).click();
	const dialog = page.getByRole("dialog");
	const button = dialog.getByRole("button", { name: "Move", exact: true });
	expect(await obstacle(button)).toBe("Confirm that its node is off.");
	await dialog.getByLabel("node-2 is off and stays off").check();
	await dialog.getByRole("textbox").fill("node-2");
	await button.click();
	await page.locator(".page__badges").getByText("Stopped").waitFor();
	expect(server.state.tables.vm.get(diskless.id)?.nodeId).toBe(nodeOf(server, "node-1").id);
	await close();
});

test("a new VM goes where there is room, or where one says", async () => {
	const { page, server, close } = await stage.open({ nodes: 3, vms: 3 });
	const third = nodeOf(server, "node-3");
	server.state.change("node", third.id, {
		status: { ...third.status, phase: "not-ready", reason: "libvirt is away." },
	});
	const [there] = [...server.state.tables.vm.values()].filter(({ nodeId }) => nodeId === third.id);
	await page.goto(`${server.url}/vms/${there?.id}`);
	await page.getByRole("main").getByText("Its node, node-3, is not ready: this may be old.").first().waitFor();
	await page.goto(`${server.url}/vms/new`);
	await page.getByText("It is started on the node with the most memory left.").waitFor();
	const field = page.getByLabel("Node", { exact: true });
	expect(await field.locator("option:disabled").allTextContents()).toEqual(["node-3: Not ready: libvirt is away."]);
	await field.selectOption({ value: nodeOf(server, "node-2").id });
	await page.getByText("It is started on node-2.").waitFor();
	await close();
});

test("a new image goes to the node that one names", async () => {
	const { page, server, close } = await stage.open({ nodes: 3, vms: 1 });
	await page.goto(`${server.url}/images`);
	await page.getByRole("button", { name: "Add image" }).first().click();
	const dialog = page.getByRole("dialog", { name: "Add an image" });
	await dialog.getByRole("radio", { name: "URL" }).click();
	await dialog.getByRole("textbox", { name: "URL" }).fill("https://images.example/late.qcow2");
	const field = dialog.getByLabel("Node", { exact: true });
	expect(await field.inputValue()).toBe("");
	await field.selectOption({ label: "node-2" });
	await dialog.getByRole("button", { name: "Add image" }).click();
	await dialog.waitFor({ state: "detached" });
	const added = [...server.state.tables.image.values()].find(({ name }) => name === "late");
	expect(added?.nodeId).toBe(nodeOf(server, "node-2").id);
	await close();
});

test("without a quorum every page says what is missing; a removed node, or one of a cluster that was recovered elsewhere, says so", async () => {
	const { page, server, close } = await stage.open({ nodes: 3, vms: 3 });
	await page.goto(`${server.url}/vms`);
	await page.getByRole("row", { name: /web-01/ }).waitFor();
	// The list reads nothing by itself.
	server.settings.quorum = false;
	const banner = page.locator(".banners");
	await banner.getByText("No quorum: read-only").waitFor();
	await banner.getByText("1 of 3 voting nodes is reached, 2 have to be.").waitFor();
	await banner.getByText("Not reached: node-2, node-3.").waitFor();
	await banner.getByRole("link", { name: "Cluster" }).click();
	await page.getByText("1 of 3 voting nodes reached, 2 have to be").waitFor();
	expect(await obstacle(page.getByRole("button", { name: "Add node" }))).toBe(
		"The cluster has no quorum: nothing can be changed now.",
	);

	server.state.members.removed = true;
	await banner.getByText("This node was removed from the cluster.").waitFor();
	expect(await banner.getByRole("link", { name: "node-2" }).getAttribute("href")).toContain("//10.0.0.2:");
	expect(await banner.getByRole("link", { name: "node-1" }).count()).toBe(0);
	expect(await obstacle(page.getByRole("button", { name: "Add node" }))).toBe(
		"This node was removed from the cluster: it changes nothing any more.",
	);

	Object.assign(server.state.members, { removed: false, recoveredElsewhere: true });
	await banner.getByText("This node belongs to a cluster that was recovered elsewhere.").waitFor();
	await page.getByText("This cluster was recovered elsewhere", { exact: true }).waitFor();
	expect(await obstacle(page.getByRole("button", { name: "Add node" }))).toBe(
		"The cluster of this node was recovered elsewhere: nothing can be changed here any more.",
	);
	await close();
});

test("a change that meets an election waits, says so, and succeeds; figures of a node that is away say why", async () => {
	const { page, server, context, close } = await stage.open({ nodes: 3, vms: 3 });
	const vm = [...server.state.tables.vm.values()].find(({ status }) => status.powerState === "running");
	await page.goto(`${server.url}/vms/${vm?.id}`);
	await page.locator(".task-bar__connection--live").waitFor();
	const keys = new Set<string | undefined>();
	let refused = 0;
	await context.route("**/actions/shutdown", async (route) => {
		keys.add(route.request().headers()["idempotency-key"]);
		refused += 1;
		if (refused > 3) await route.fallback();
		else await route.fulfill({ status: 503, headers: { "retry-after": "1" }, body: "" });
	});
	await page.getByRole("main").getByRole("button", { name: "Shut down", exact: true }).click();
	await page.getByText("A change waits for the cluster to accept it").waitFor();
	await page.locator(".page__badges").getByText("Stopped").waitFor();
	await page.getByText("A change waits for the cluster to accept it").waitFor({ state: "detached" });
	expect(keys.size).toBe(1);

	const message = "The node node-2 does not answer.";
	await context.route("**/v1/nodes/*/metrics**", (route) =>
		route.fulfill({
			status: 503,
			contentType: "application/problem+json",
			body: JSON.stringify({ title: "unavailable", status: 503, code: "unavailable", detail: message }),
		}),
	);
	await page.goto(`${server.url}/cluster/nodes/${nodeOf(server, "node-2").id}`);
	await page.getByText(message).waitFor();
	await page.getByText("AMD EPYC").waitFor();
	await close();
});
