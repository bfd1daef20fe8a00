/** The console: what the guest's VNC is really sent, and what is said when there is none. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Page } from "playwright-core";
import { type Opened, type OpenOptions, openStage, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

const control = "ffe3";
const alt = "ffe9";
const esc = "ff1b";

async function openConsole(options: OpenOptions = {}): Promise<Opened> {
	const opened = await stage.open({ vms: 3, ...options });
	const { page, server } = opened;
	const vm = [...server.state.tables.vm.values()].find(({ status }) => status.powerState === "running");
	await page.goto(`${server.url}/vms/${vm?.id}/console`);
	return opened;
}
const connected = (page: Page) => page.getByText("Connected", { exact: true }).waitFor({ state: "attached" });

function guest({ server }: Opened) {
	const events = () => [...server.sockets].flatMap((socket) => socket.data.vnc?.keyEvents ?? []);
	return {
		events,
		/** Keys that the guest believes to be down. */
		held: () => {
			const down = new Set<string>();
			for (const event of events()) {
				if (event.startsWith("+")) down.add(event.slice(1));
				else down.delete(event.slice(1));
			}
			return [...down];
		},
		async until(what: string, count = 1) {
			const end = Date.now() + 10_000;
			while (events().filter((event) => event === what).length < count) {
				if (Date.now() > end) throw new Error(`${what} did not come, but ${events().join(" ")}`);
				await Bun.sleep(20);
			}
		},
	};
}

test("Ctrl-Alt-Esc gives the keyboard back, and leaves no key down in the guest", async () => {
	const opened = await openConsole();
	const { page, problems } = opened;
	await connected(page);
	const { events, held, until } = guest(opened);
	await page.locator(".console__screen canvas").focus();
	await page.keyboard.down("Control");
	await page.keyboard.down("Alt");
	await page.keyboard.press("Escape");
	await page.keyboard.up("Alt");
	await page.keyboard.up("Control");
	await until(`-${control}`);
	expect(events()).toEqual([`+${control}`, `+${alt}`, `-${alt}`, `-${control}`]);
	expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Ctrl-Alt-Del");

	// noVNC has forgotten them too: the same keys work again.
	await page.locator(".console__screen canvas").focus();
	await page.keyboard.press("Control+a");
	await until("-61");
	expect(held()).toEqual([]);
	expect(events()).not.toContain(`+${esc}`);
	expect(problems).toEqual([]);
	await opened.close();
});

test("whatever is down when the focus leaves is released", async () => {
	const opened = await openConsole();
	const { page } = opened;
	await connected(page);
	const { held, until } = guest(opened);
	await page.locator(".console__screen canvas").focus();
	for (const key of ["Shift", "Meta", "x"]) await page.keyboard.down(key);
	await until("+78");
	expect(held().length).toBe(3);
	await page.getByRole("button", { name: "Fit to window" }).focus();
	await until("-78");
	expect(held()).toEqual([]);
	await opened.close();
});

test("the way back is said in the toolbar and in the help", async () => {
	const opened = await openConsole();
	const { page } = opened;
	await connected(page);
	await page.locator(".console__toolbar").getByText("gives the keyboard back").waitFor();
	await page.getByRole("button", { name: "Fit to window" }).focus();
	await page.keyboard.press("?");
	const help = page.getByRole("dialog", { name: "Keyboard shortcuts" });
	await help.getByText("In a console: get the keyboard back").waitFor();
	await opened.close();
});

test("a phone types: its keyboard's text, Ctrl with the next key, Esc, Tab, arrows", async () => {
	const opened = await openConsole({
		context: { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true },
	});
	const { page, problems } = opened;
	await connected(page);
	const { events, held, until } = guest(opened);
	const keyboard = page.getByRole("button", { name: "Keyboard", exact: true });
	await keyboard.tap();
	expect(await page.evaluate(() => document.activeElement?.tagName)).toBe("TEXTAREA");
	// Nothing lies over the guest's screen after it.
	expect(await page.locator(".tooltip:popover-open").count()).toBe(0);
	// As on-screen keyboards do: a text comes, without keys.
	await page.keyboard.insertText("ls");
	await until("-73");
	expect(events()).toEqual(["+6c", "-6c", "+73", "-73"]);
	await page.keyboard.press("Backspace");
	await until("-ff08");
	await page.keyboard.press("Enter");
	await until("-ff0d");

	await page.getByRole("button", { name: "Ctrl", exact: true }).tap();
	// The keyboard is still open.
	expect(await page.evaluate(() => document.activeElement?.tagName)).toBe("TEXTAREA");
	await page.keyboard.insertText("c");
	await until(`-${control}`);
	expect(events().slice(-4)).toEqual([`+${control}`, "+63", "-63", `-${control}`]);
	await page.keyboard.insertText("d");
	await until("-64");
	expect(events().slice(-2)).toEqual(["+64", "-64"]);

	for (const [name, keysym] of [
		["Esc", esc],
		["Tab", "ff09"],
		["Up", "ff52"],
	] as const) {
		await page.getByRole("button", { name, exact: true }).tap();
		await until(`-${keysym}`);
	}
	// A touch of the screen clicks there and keeps the keyboard.
	await page.locator(".console__screen canvas").tap();
	expect(await page.evaluate(() => document.activeElement?.tagName)).toBe("TEXTAREA");
	await keyboard.tap();
	expect(await page.evaluate(() => document.activeElement?.tagName)).not.toBe("TEXTAREA");
	expect(await page.locator(".tooltip:popover-open").count()).toBe(0);
	expect(held()).toEqual([]);
	expect(problems).toEqual([]);
	await opened.close();
});

test("a console that is refused says why and waits to be asked; one that broke comes back by itself", async () => {
	const opened = await stage.open({ vms: 3 });
	const { page, server } = opened;
	const vm = [...server.state.tables.vm.values()].find(({ status }) => status.powerState === "running");
	let asked = 0;
	await page.route("**/console-tickets", async (route) => {
		asked += 1;
		if (asked > 1) return route.continue();
		const detail = "Too many consoles are open.";
		const body = { type: "about:blank", title: "x", status: 429, code: "too-many-requests", detail, errors: [] };
		await route.fulfill({ status: 429, contentType: "application/problem+json", body: JSON.stringify(body) });
	});
	await page.goto(`${server.url}/vms/${vm?.id}/console`);
	await page.getByText("The console could not be opened").waitFor();
	await page.getByText("Too many consoles are open.").waitFor();
	expect(await page.getByText("Connecting again").count()).toBe(0);
	await page.getByRole("button", { name: "Try again" }).click();
	await connected(page);
	expect(asked).toBe(2);

	server.dropConsoles();
	await page.getByText("The connection was lost").waitFor();
	await connected(page);
	await opened.close();
});
