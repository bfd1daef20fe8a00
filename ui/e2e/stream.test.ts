/** One event stream for all tabs of a browser, and what the tabs show when it breaks. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Page } from "playwright-core";
import type { MockServer } from "../dev/mock/server.ts";
import { openStage, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

const renameFirst = (server: MockServer, name: string): void => {
	const [vm] = server.state.tables.vm.values();
	if (vm) server.state.change("vm", vm.id, { name });
};
const inTree = (page: Page, name: string) => page.getByRole("treeitem", { name });
const isLive = (page: Page) => page.locator(".task-bar__connection--live").waitFor();

test("eight tabs share one stream; when its tab closes, another takes over and misses nothing", async () => {
	const { page: first, server, context, close } = await stage.open({ vms: 5 });
	await isLive(first);
	const others: Page[] = [];
	for (let tab = 1; tab < 8; tab++) {
		const page = await context.newPage();
		await page.goto(server.url);
		await isLive(page);
		others.push(page);
	}
	expect(server.streamsOpened).toBe(1);
	expect(server.streams.size).toBe(1);

	renameFirst(server, "seen-by-all");
	for (const page of [first, ...others]) await inTree(page, "seen-by-all").waitFor();

	await first.close();
	renameFirst(server, "after-takeover");
	for (const page of others) await inTree(page, "after-takeover").waitFor();
	expect(server.streams.size).toBe(1);
	expect(server.streamsOpened).toBe(2);

	// A request of its own still gets through: the stream does not use up the browser's connections.
	await others[0]?.getByRole("link", { name: "Images" }).click();
	await others[0]?.getByRole("heading", { name: "Images" }).waitFor();
	await close();
});

/** Presses "Reconnect now" once the node is back. The page's own next try may come first: the button is gone then. */
async function comesBack(page: Page, server: MockServer): Promise<void> {
	const button = await page.getByRole("button", { name: "Reconnect now" }).elementHandle();
	server.setDown(false);
	await button?.evaluate((element) => (element as HTMLElement).click());
}

test("while the node is away a banner says how old the page is; then it goes on where it was", async () => {
	const { page, server, close, problems } = await stage.open({ vms: 5 });
	await isLive(page);
	server.setDown(true);
	await page.getByText("The connection to the node is lost.").waitFor();
	renameFirst(server, "changed-while-away");
	await comesBack(page, server);
	await inTree(page, "changed-while-away").waitFor();
	await page.getByText("The connection to the node is lost.").waitFor({ state: "detached" });
	expect(problems).toEqual([]);
	await close();
});

test("when the node cannot go on from the last event, everything is read anew", async () => {
	const { page, server, close } = await stage.open({ vms: 5 });
	await isLive(page);
	renameFirst(server, "known");
	await inTree(page, "known").waitFor();
	server.setDown(true);
	await page.getByText("The connection to the node is lost.").waitFor();
	const [vm] = server.state.tables.vm.values();
	if (vm) server.state.tables.vm.delete(vm.id);
	server.state.events.length = 0;
	renameFirst(server, "read-anew");
	server.state.events.length = 0;
	await comesBack(page, server);
	await inTree(page, "read-anew").waitFor();
	await inTree(page, "known").waitFor({ state: "detached" });
	await close();
});

test("without quorum the page says that it is read-only", async () => {
	const { page, server, close } = await stage.open({ vms: 2 });
	await isLive(page);
	server.settings.quorum = false;
	server.state.emit("updated", "cluster", "x", {});
	await page.getByText("No quorum: read-only").waitFor();
	await page.getByRole("link", { name: "Trouble" }).waitFor();
	await close();
});

test("a session that ends signs all tabs out; signing in again brings them back", async () => {
	const { page, server, context, close } = await stage.open({ vms: 2 });
	await isLive(page);
	const second = await context.newPage();
	await second.goto(`${server.url}/images`);
	await isLive(second);
	await page.getByRole("button", { name: "Signed in as admin" }).click();
	await page.getByRole("menuitem", { name: "Sign out" }).click();
	await page.getByText("You are signed out.").waitFor();
	await second.getByRole("button", { name: "Sign in" }).waitFor();
	await page.getByLabel("User name").fill("admin");
	await page.getByLabel("Password").fill("correct horse battery");
	await page.getByRole("button", { name: "Sign in" }).click();
	await second.getByRole("heading", { name: "Images" }).waitFor();
	await close();
});
