/**
 * Three real nodes and one browser: the leader is killed while a change is on its way, the node that the page talks to is
 * killed and comes back, the quorum goes and comes back. The page is never reloaded. There is no libvirt: what is shown
 * here does not depend on it.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, BrowserContext, Locator, Page } from "playwright-core";
import { present } from "../../src/lib/assert.ts";
import type { ClusterStatus } from "../../src/model/cluster.ts";
import { type LabDaemon, prepareLabDaemon } from "../../src/testing/lab/daemon.ts";
import { waitUntil } from "../../src/testing/lab/wait-until.ts";
import { freePort } from "../../src/testing/system/free-port.ts";
import { launchBrowser, password } from "./browser.ts";

setDefaultTimeout(300_000);
/** What an election may take on a machine that has other work, and the way to the page. */
const healLimitMs = 60_000;

type Node = { name: string; daemon: LabDaemon; id: string };

let folder: string;
const nodes: Node[] = [];
let browser: Browser;
let context: BrowserContext;
let page: Page;
const problems: string[] = [];

const statusOf = async ({ daemon }: Node): Promise<ClusterStatus | null> =>
	daemon.api
		.call("clusterStatusGet", { signal: AbortSignal.timeout(2000) })
		.then(({ body }) => body)
		.catch(() => null);

/** Each of these sees all of them vote, and follows one and the same leader. */
const settled = (of: readonly Node[]): Promise<ClusterStatus> =>
	waitUntil(`${of.length} nodes to agree`, healLimitMs, async () => {
		const [first, ...others] = await Promise.all(of.map(statusOf));
		if (!first?.quorum || first.leaderNodeId === null) return undefined;
		const same = others.every((status) => status?.quorum && status.leaderNodeId === first.leaderNodeId);
		const vote = (id: string) => first.members.some(({ nodeId, role }) => nodeId === id && role !== "learner");
		return same && of.every(({ id }) => vote(id)) ? first : undefined;
	});

async function makeNode(name: string): Promise<Node> {
	const daemon = prepareLabDaemon({
		libvirtUri: "qemu+unix:///system?socket=/nonexistent/libvirt-sock",
		folder: join(folder, name),
		// The same ports over restarts: a browser and the other nodes come back to them.
		arguments: [
			...["--listen", `127.0.0.1:${await freePort()}`, "--peer-listen", `127.0.0.1:${await freePort()}`],
			...["--node-name", name],
		],
	});
	const node = { name, daemon, id: "" };
	nodes.push(node);
	await daemon.start();
	return node;
}

async function joinCluster(node: Node, member: Node): Promise<void> {
	const { secret } = (await member.daemon.api.call("joinTokenCreate", { body: {} })).body;
	const { joining } = (await node.daemon.api.call("clusterJoin", { body: { token: secret, rename: true } })).body;
	expect(joining).toBe(true);
	await waitUntil(`${node.name} to be a member that votes`, healLimitMs, async () => {
		const status = await statusOf(member);
		const own = status?.members.find(({ name }) => name === node.name);
		return own !== undefined && own.role !== "learner";
	});
}

beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), "lqx-nodes-fail-"));
	const first = await makeNode("n1");
	for (const name of ["n2", "n3"]) await joinCluster(await makeNode(name), first);
	const members = present(await statusOf(first), "the status of n1").members;
	for (const node of nodes)
		node.id = present(
			members.find(({ name }) => name === node.name),
			node.name,
		).nodeId;
	await settled(nodes);
	const [admin] = (await first.daemon.api.call("userList")).body.items;
	await first.daemon.api.call("userPasswordReset", {
		path: { id: present(admin, "the administrator").id },
		body: { newPassword: "an interim password" },
	});
	browser = await launchBrowser();
	context = await browser.newContext({ reducedMotion: "reduce" });
	context.setDefaultTimeout(healLimitMs);
	context.on("weberror", (error) => problems.push(error.error().message));
	page = await context.newPage();
}, 240_000);
afterAll(async () => {
	await browser?.close();
	await Promise.all(nodes.map(({ daemon }) => daemon.stop()));
	rmSync(folder, { recursive: true, force: true });
}, 120_000);

const obstacle = (control: Locator): Promise<string | null> =>
	control.evaluate((element) =>
		element.getAttribute("aria-disabled") === "true"
			? (document.getElementById(element.getAttribute("aria-describedby") ?? "")?.textContent ?? "")
			: null,
	);
const nodeNamed = (id: string | null): Node =>
	present(
		nodes.find((node) => node.id === id),
		`the node ${id}`,
	);
const link = (name: string) =>
	page.getByRole("navigation", { name: "Navigation" }).getByRole("link", { name, exact: true });

/** Types a new user and sends it; `before` is called with everything typed. */
async function sendUser(name: string, before: () => void = () => {}): Promise<Locator> {
	await page.getByRole("button", { name: "Add user" }).first().click();
	const dialog = page.getByRole("dialog", { name: "Add user" });
	await dialog.getByLabel("User name").fill(name);
	await dialog.getByLabel("First password").fill(password);
	before();
	await dialog.getByRole("button", { name: "Add user" }).click();
	return dialog;
}

test("the UI opened on one node goes on by itself while others are killed, and when its own comes back", async () => {
	const leader = nodeNamed((await settled(nodes)).leaderNodeId);
	const here = present(
		nodes.find((node) => node !== leader),
		"a follower",
	);
	const third = present(
		nodes.find((node) => node !== leader && node !== here),
		"the other follower",
	);

	await page.goto(here.daemon.url);
	await page.getByLabel("User name").fill("admin");
	await page.getByLabel("Password").fill("an interim password");
	await page.getByRole("button", { name: "Sign in" }).click();
	await page.getByLabel("Current password").fill("an interim password");
	await page.getByLabel("New password", { exact: true }).fill(password);
	await page.getByLabel("Repeat the new password").fill(password);
	await page.getByRole("button", { name: "Change password" }).click();
	await link("Cluster").click();
	await page.getByText("3 of 3 voting nodes reached, 1 more may fail").waitFor();
	const loaded = await page.evaluate(() => {
		(window as unknown as { loadedOnce: boolean }).loadedOnce = true;
		return performance.timeOrigin;
	});

	// The leader dies with a change on its way.
	await link("Administration").click();
	const users = page.getByRole("table", { name: "Users" });
	await users.getByRole("row", { name: /admin/ }).waitFor();
	let killed: Promise<void> | null = null;
	const dialog = await sendUser("during", () => {
		killed = leader.daemon.kill9();
	});
	await killed;
	await users.getByRole("row", { name: /during/ }).waitFor();
	await dialog.waitFor({ state: "detached" });
	expect(await page.getByText("The connection to the node is lost.").count()).toBe(0);
	await link("Cluster").click();
	await page.getByText("2 of 3 voting nodes reached, none may fail").waitFor();
	const members = page.getByRole("table", { name: "Members of the cluster" });
	await members
		.getByRole("row", { name: new RegExp(leader.name) })
		.getByText("Not reached")
		.waitFor();
	expect(await page.locator(".quorum__figure", { hasText: "Leader" }).locator("dd").textContent()).not.toBe(
		leader.name,
	);

	// Its successor, too: there is no quorum. What is shown stays, nothing can be changed, and it says what is missing.
	await third.daemon.kill9();
	const banner = page.locator(".banners");
	await banner.getByText("No quorum: read-only").waitFor();
	await banner.getByText(`Not reached: ${[leader.name, third.name].sort().join(", ")}.`).waitFor();
	await link("Administration").click();
	await users.getByRole("row", { name: /during/ }).waitFor();
	expect(await obstacle(page.getByRole("button", { name: "Add user" }).first())).toContain("no quorum");

	await Promise.all([leader.daemon.start(), third.daemon.start()]);
	await banner.getByText("No quorum: read-only").waitFor({ state: "detached" });
	await (await sendUser("after")).waitFor({ state: "detached" });
	await users.getByRole("row", { name: /after/ }).waitFor();

	// The node that the page talks to: the page says so, keeps what it shows, and is live again once the node is back.
	await settled(nodes);
	await here.daemon.kill9();
	await banner.getByText("The connection to the node is lost.").waitFor();
	await users.getByRole("row", { name: /after/ }).waitFor();
	// Meanwhile somebody changes something elsewhere.
	await waitUntil("a change on another node", healLimitMs, () =>
		third.daemon.api
			.call("userCreate", { body: { name: "elsewhere", role: "viewer", password } })
			.then(() => true)
			.catch(() => undefined),
	);
	await here.daemon.start();
	await banner.getByText("The connection to the node is lost.").waitFor({ state: "detached" });
	await users.getByRole("row", { name: /elsewhere/ }).waitFor();
	await link("Cluster").click();
	await page.getByText("3 of 3 voting nodes reached, 1 more may fail").waitFor();

	expect(await page.evaluate(() => (window as unknown as { loadedOnce?: boolean }).loadedOnce)).toBe(true);
	expect(await page.evaluate(() => performance.timeOrigin)).toBe(loaded);
	expect(problems).toEqual([]);
});
