/**
 * Text that others choose (guests, files, programs, other users) is text on every page: never markup, never a link
 * that runs. The policy of the node would stop such a script; here nothing of it even becomes an element.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type { Page } from "playwright-core";
import type { MockServer } from "../dev/mock/server.ts";
import { pagesToShow } from "../dev/pages.ts";
import { href } from "../routes.ts";
import { type Opened, openStage, type Stage } from "./setup.ts";

setDefaultTimeout(180_000);

let stage: Stage;
beforeAll(async () => {
	stage = await openStage();
});
afterAll(() => stage.close());

const hostile = `"'><img src=x data-hostile onerror="globalThis.hostile=1"><script data-hostile>globalThis.hostile=1</script>\u202E&lt;b&gt;`;
const link = "javascript:globalThis.hostile=1";

/** Fields of free text; names as well, which the API checks, since the UI is not to rely on that. */
const textFields = new Set(
	[
		["name", "description", "displayName", "userName", "userAgent", "remoteAddress"],
		["reason", "acceleratorReason", "message", "found", "wanted", "field"],
		["cpuModel", "version", "hypervisorVersion", "bridge", "path", "address", "hostname", "sha256"],
		["operation", "errorCode", "fileName", "obstacles", "bridges", "tags"],
	].flat(),
);

/** The same object with hostile text wherever there is free text. */
function poisoned(value: unknown, key = ""): unknown {
	if (typeof value === "string") return key === "url" ? link : textFields.has(key) ? hostile : value;
	if (Array.isArray(value)) return value.map((one) => poisoned(one, key));
	if (typeof value !== "object" || value === null) return value;
	return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, poisoned(one, name)]));
}

function poisonAll({ state, settings }: MockServer): void {
	settings.clusterName = hostile;
	for (const kind of Object.keys(state.tables) as (keyof typeof state.tables)[]) {
		for (const [id, object] of state.tables[kind]) {
			const { name } = object as { name?: string };
			// Users go on signing in.
			const kept = kind === "user" ? { name } : {};
			state.put(kind, { ...(poisoned(object) as object), id, ...kept } as never);
		}
	}
}

const traces = (page: Page) =>
	page.evaluate(() => ({
		elements: document.querySelectorAll("[data-hostile]").length,
		ran: (globalThis as { hostile?: number }).hostile ?? null,
		links: [...document.querySelectorAll("a[href]")].filter((a) =>
			/^\s*javascript:/i.test(a.getAttribute("href") ?? ""),
		).length,
	}));
const none = { elements: 0, ran: null, links: 0 };

async function openHostile(): Promise<Opened> {
	const opened = await stage.open({ vms: 6 });
	poisonAll(opened.server);
	// What the mock makes up on each request.
	await opened.context.route(/\/v1\/(audit|foreign-vms|networks\/[^/]+\/leases)/, async (route) => {
		const response = await route.fetch();
		await route.fulfill({ response, json: poisoned(await response.json()) });
	});
	await opened.context.route(/\/(serial-log|domain-xml)/, (route) =>
		route.fulfill({ contentType: "text/plain", body: hostile }),
	);
	return opened;
}

test("hostile text is text on every page", async () => {
	const { page, server, close } = await openHostile();
	const { tables } = server.state;
	const first = (table: Map<string, unknown>) => [...table.keys()][0] ?? "";
	const more = [
		...[...tables.network.keys()].map((networkId) => href("network", { networkId, tab: "leases" })),
		...[...tables.image.keys()].map((imageId) => href("image", { imageId })),
		...[...tables.user.keys()].map((userId) => href("user", { userId })),
		href("token", { tokenId: first(tables.token) }),
		href("vms", undefined, { q: hostile, tag: hostile, sort: hostile }),
		href("administration", { tab: "audit" }, { who: hostile }),
		`${href("vms")}/${encodeURIComponent(hostile)}`,
	];
	const silent: string[] = [];
	for (const path of [...pagesToShow(server).map((shown) => shown.path), ...more]) {
		await page.goto(server.url + path);
		await page.locator("h1, h2").first().waitFor();
		await page.locator("#main .skeleton").first().waitFor({ state: "detached" });
		expect([path, await traces(page)]).toEqual([path, none]);
		const text = await page.locator("body").innerText();
		if (!text.includes("<img src=x data-hostile onerror=")) silent.push(path);
	}
	// The tree and the header show some of it beside every page.
	expect(silent).toEqual([]);
	await close();
});

test("so it is in dialogs, menus, the palette, messages, and in the name of a file", async () => {
	const { page, server, context, close } = await openHostile();
	const [vm] = [...server.state.tables.vm.values()].filter(({ status }) => status.powerState === "stopped");
	if (!vm) throw new Error("no VM is stopped");
	await page.goto(`${server.url}/vms/${vm.id}`);
	// The control: as markup it would be found.
	expect(
		await page.evaluate((text) => {
			const box = document.createElement("div");
			box.innerHTML = text;
			return box.querySelectorAll("[data-hostile]").length;
		}, hostile),
	).toBe(2);
	await page.evaluate(() => Reflect.deleteProperty(globalThis, "hostile"));

	await context.route("**/actions/start", (route) =>
		route.fulfill({
			status: 409,
			contentType: "application/problem+json",
			body: JSON.stringify({
				...{ type: "about:blank", title: hostile, status: 409, detail: hostile, code: "wrong-state" },
				errors: [{ path: "/name", message: hostile }],
			}),
		}),
	);
	await page.getByRole("main").getByRole("button", { name: "Start", exact: true }).click();
	await page.getByRole("region", { name: "Notifications" }).getByText("data-hostile").first().waitFor();
	expect(await traces(page)).toEqual(none);
	await page.getByRole("button", { name: "More actions" }).click();
	await page.getByRole("menuitem", { name: "Delete" }).click();
	await page.getByRole("dialog").getByText("data-hostile").first().waitFor();
	expect(await traces(page)).toEqual(none);
	await page.keyboard.press("Escape");
	await page.keyboard.press("Control+k");
	await page.getByRole("combobox").fill("onerror");
	await page.getByRole("option").first().waitFor();
	expect(await traces(page)).toEqual(none);
	await page.keyboard.press("Escape");
	await page.getByRole("button", { name: /^Tasks/ }).click();
	await page.locator("#task-drawer").getByText("data-hostile").first().waitFor();
	expect(await traces(page)).toEqual(none);

	await page.goto(`${server.url}/images?add=upload`);
	const name = `${hostile.replaceAll("/", "")}.qcow2`;
	await page.getByLabel("File", { exact: true }).setInputFiles({ name, mimeType: "", buffer: Buffer.alloc(4096) });
	await page.getByRole("dialog").getByText("data-hostile").first().waitFor();
	expect(await traces(page)).toEqual(none);
	await close();
});
