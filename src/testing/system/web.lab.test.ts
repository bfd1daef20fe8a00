/** The built node as browsers and programs meet it: certificate, headers, shared event streams, long lists, large uploads. */
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { open, stat } from "node:fs/promises";
import { join } from "node:path";
import type { BrowserContext, Page } from "playwright-core";
import { launchBrowser } from "../../../ui/e2e/browser.ts";
import { present } from "../../lib/assert.ts";
import { run } from "../../lib/run.ts";
import { GiB, MiB } from "../../lib/units.ts";
import type { Vm } from "../../model/vm.ts";
import { filledName, fillState } from "../bench/filled-state.ts";
import { executablePath } from "../lab/daemon.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { type LabSystem, startLabSystem } from "./lab-system.ts";
import { findLeftovers } from "./leftovers.ts";

const password = "a horse in the stable";

async function withUser(system: LabSystem): Promise<string> {
	const { api, daemon } = system;
	await api.call("userCreate", { body: { name: "someone", role: "admin", password } });
	const response = await fetch(`${daemon.url}/v1/sessions`, {
		...{ method: "POST", body: JSON.stringify({ username: "someone", password }) },
		...{ headers: { "content-type": "application/json" }, tls: { rejectUnauthorized: false } },
	});
	return ((await response.json()) as { token: string }).token;
}

async function signIn(page: Page, url: string): Promise<void> {
	await page.goto(url);
	await page.getByLabel("User name").fill("someone");
	await page.getByLabel("Password").fill(password);
	await page.getByRole("button", { name: "Sign in" }).click();
	await page.getByRole("navigation", { name: "Navigation" }).waitFor();
}

async function newContext(): Promise<{ context: BrowserContext; close: () => Promise<void> }> {
	const browser = await launchBrowser();
	const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 800 } });
	context.setDefaultTimeout(30_000);
	return { context, close: () => browser.close() };
}

/** Unknown routes, pages, files, ids, parameters: whatever comes in with them is neither markup nor a header (adversarial case 6). */
const strangePaths = [
	"/",
	"/vms/",
	"/assets/",
	"/downloads/",
	"/v1/",
	"/v1/vms/",
	"/v1/nodes/",
	"/v1/vms?sort=",
	"/?x=",
];
const marked = /onerror|x-injected/i;
const injections = [
	"<img%20src=x%20onerror=alert(6)>",
	"%3Cimg%20src=x%20onerror=alert(6)%3E",
	"%0d%0aX-Injected:%206",
];
const strangeNames = ["<img src=x onerror=alert(6)>", "web\r\nX-Injected: 6", "web\nX-Injected: 6"];

test("TLS: the certificate is the one that was told, headers keep browsers safe, and nothing that came in is markup or a header", async () => {
	await using system = await startLabSystem({ name: "tls", tls: true });
	const { daemon } = system;
	const port = new URL(daemon.url).port;
	const certificate = join(daemon.dataDir, "tls/cert.pem");
	const openssl = ["x509", "-noout", "-fingerprint", "-sha256", "-in", certificate];
	expect((await run("openssl", openssl, { timeoutMs: 10_000 })).stdout.trim().split("=")[1]).toBe(daemon.fingerprint);
	expect((await stat(join(daemon.dataDir, "tls/key.pem"))).mode & 0o777).toBe(0o600);
	const curl = (...args: string[]) =>
		run("curl", ["--silent", "--show-error", "--max-time", "10", ...args], {
			...{ timeoutMs: 20_000, okExitCodes: [0, 35, 52, 56, 60] },
		});
	const url = `https://localhost:${port}`;
	expect((await curl("--cacert", certificate, `${url}/healthz`)).stdout).toContain('"quorum":true');
	expect((await curl(`${url}/healthz`)).exitCode).toBe(60);
	expect((await curl("--insecure", "--tls-max", "1.1", `${url}/healthz`)).exitCode).toBe(35);
	expect((await curl(`http://localhost:${port}/healthz`)).stdout).not.toContain("quorum");

	const ca = readFileSync(certificate, "utf8");
	const statuses: number[] = [];
	for (const path of ["/", "/healthz", "/vms/anything", "/v1/vms", "/v1/nothing", "/v1/console", "/v1/sessions"]) {
		const response = await fetch(url + path, { tls: { ca }, headers: { accept: "text/html, */*" } });
		statuses.push(response.status);
		expect(Object.fromEntries(response.headers)).toMatchObject({
			"content-security-policy": expect.stringMatching(/default-src 'none'.*script-src 'self'.*frame-ancestors 'none'/),
			"x-content-type-options": "nosniff",
			"x-frame-options": "DENY",
			"referrer-policy": "no-referrer",
			"strict-transport-security": expect.stringMatching(/^max-age=\d{8,}/),
		});
		expect(response.headers.get("content-security-policy")).not.toContain("unsafe");
	}
	expect(statuses).toEqual([200, 200, 200, 401, 404, 400, 401]);

	const token = await withUser(system);
	const urls = strangePaths.flatMap((path) => injections.map((text) => url + path + text));
	for (const accept of ["*/*", "text/html"]) {
		const headers = ["--header", `Accept: ${accept}`, "--header", `Authorization: Bearer ${token}`];
		const as = ["--cacert", certificate, "--include", "--path-as-is", "--globoff", ...headers];
		const { stdout } = await curl(...as, ...urls);
		expect(stdout).not.toMatch(marked);
		const found = [...stdout.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status));
		expect(found).toHaveLength(urls.length);
		expect(found.filter((status, at) => status < 400 && urls[at]?.startsWith(`${url}/v1/`))).toEqual([]);
	}
	for (const name of strangeNames)
		for (const [method, path] of [
			["POST", "/v1/vms"],
			["POST", "/v1/users"],
			["PATCH", "/v1/cluster"],
		] as const) {
			const response = await fetch(url + path, {
				...{ method, body: JSON.stringify({ name }), tls: { ca } },
				headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
			});
			const { status, headers } = response;
			expect([status, headers.get("content-type"), headers.get("x-injected")]).toEqual([
				...[422, "application/problem+json", null],
			]);
			expect(await response.text()).not.toMatch(marked);
		}

	const cli = (fingerprint: string) =>
		run(executablePath, ["vm", "list", "--server", daemon.url, "--fingerprint", fingerprint], {
			...{ timeoutMs: 20_000, okExitCodes: [0, 1, 3], environment: { LIMIQUANTIX_TOKEN: token } },
		});
	expect((await cli(daemon.fingerprint)).stdout).toStartWith("NAME");
	const other = await cli(daemon.fingerprint.replace(/^../, (byte) => (byte === "00" ? "11" : "00")));
	expect(other.exitCode).not.toBe(0);
	expect(other.stderr).toContain("Nothing was sent to it");
}, 60_000);

test("eight tabs share one event stream, and a request of each still gets through", async () => {
	await using system = await startLabSystem({ name: "tabs", tls: true });
	const { api, daemon } = system;
	await withUser(system);
	const browser = await newContext();
	try {
		const pages: Page[] = [];
		for (let tab = 0; tab < 8; tab++) {
			const page = await browser.context.newPage();
			pages.push(page);
			if (tab === 0) await signIn(page, daemon.url);
			else await page.goto(daemon.url);
			await page.locator(".task-bar__connection--live").waitFor();
		}
		const streams = async () => {
			const { body } = await api.call("metricsGet");
			return Number(/^limiquantix_event_streams (\d+)$/m.exec(await body.text())?.[1]);
		};
		expect(await streams()).toBe(1);
		const { body: vm } = await api.call("vmCreate", { body: { name: "seen-by-all", start: false, nics: [] } });
		for (const page of pages) await page.getByRole("treeitem", { name: "seen-by-all" }).waitFor();
		await present(pages.shift(), "the first tab").close();
		await api.call("vmUpdate", { path: { id: vm.id }, body: { name: "after-takeover" } });
		for (const page of pages) await page.getByRole("treeitem", { name: "after-takeover" }).waitFor();
		await Promise.all(pages.map((page) => page.getByRole("link", { name: "Images" }).first().click()));
		for (const page of pages) await page.getByRole("heading", { name: "Images", exact: true }).waitFor();
		expect(await streams()).toBe(1);
		await Promise.all(pages.map((page) => page.close()));
		await waitUntil("the stream to end", 10_000, async () => (await streams()) === 0, { everyMs: 100 });
	} finally {
		await browser.close();
	}
}, 120_000);

test("ten thousand VMs: every one is listed once, found, and the page holds a few rows of them", async () => {
	const folder = mkdtempSync("/tmp/lqx-many-");
	const count = 10_000;
	try {
		await fillState(join(folder, "data"), count);
		await using system = await startLabSystem({ name: "many", tls: true, folder });
		const { api, daemon } = system;
		await withUser(system);
		const names: string[] = [];
		let pageToken: string | null = null;
		do {
			const page: VmPage = await listVms(api, pageToken);
			names.push(...page.items.map((vm) => vm.name));
			pageToken = page.nextPageToken;
		} while (pageToken !== null);
		expect(names).toHaveLength(count);
		expect(new Set(names).size).toBe(count);
		expect(names).toEqual([...names].sort());
		const { body: failed } = await api.call("vmList", { query: { limit: 1000, powerState: ["failed"] } });
		expect(failed.items).toHaveLength(1000);
		expect(new Set(failed.items.map((vm) => vm.status.powerState))).toEqual(new Set(["failed"]));

		const browser = await newContext();
		try {
			const page = await browser.context.newPage();
			await signIn(page, daemon.url);
			await page.getByRole("link", { name: "VMs", exact: true }).click();
			await page.getByText("10,000", { exact: true }).first().waitFor({ timeout: 60_000 });
			const rows = () => page.locator("tbody tr").count();
			expect(await rows()).toBeWithin(5, 100);
			const [first, last] = [filledName(0, count), present(names.at(-1), "the last name")];
			await page.getByRole("row", { name: first }).waitFor();
			await page.locator(".data-table__scroller").evaluate((element) => element.scrollTo(0, element.scrollHeight));
			await page.getByRole("row", { name: last }).waitFor();
			expect(await rows()).toBeWithin(5, 100);
			await page.getByRole("searchbox", { name: /^Search/ }).fill("vm-004711");
			await page.getByText("1 of 10,000").waitFor();
			await page.getByRole("link", { name: "vm-004711", exact: true }).first().click();
			await page.getByRole("heading", { name: "vm-004711" }).waitFor();
		} finally {
			await browser.close();
		}
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}, 170_000);

test("two GiB are uploaded in parts over TLS, stay sparse, and the daemon's memory grows by less than two parts", async () => {
	await using system = await startLabSystem({ name: "upload", tls: true });
	const { api, daemon } = system;
	const token = await withUser(system);
	const folder = mkdtempSync("/tmp/lqx-upload-");
	try {
		const path = join(folder, "large.raw");
		const size = 2 * GiB;
		const file = await open(path, "w");
		await file.truncate(size);
		const block = crypto.getRandomValues(Buffer.alloc(65_536));
		for (let at = 0; at < size; at += 64 * MiB) await file.write(block, 0, block.length, at);
		await file.close();

		const image = await api.call("imageCreate", {
			body: { name: "large", format: "raw", source: { kind: "upload" }, fileSizeBytes: size },
		});
		const { id } = image.body;
		const before = peakBytes(daemon.pid);
		for (let offset = 0; offset < size; ) {
			const part = Math.min(64 * MiB, size - offset);
			const response = await fetch(`${daemon.url}/v1/images/${id}/content`, {
				...{ method: "PUT", body: Bun.file(path).slice(offset, offset + part), tls: { rejectUnauthorized: false } },
				headers: {
					...{ authorization: `Bearer ${token}`, "content-type": "application/octet-stream" },
					"upload-offset": String(offset),
				},
			});
			expect(response.status).toBe(200);
			offset = ((await response.json()) as { receivedBytes: number }).receivedBytes;
		}
		await system.done(image);
		expect(peakBytes(daemon.pid) - before).toBeLessThan(2 * 64 * MiB);

		const { body: ready } = await api.call("imageGet", { path: { id } });
		expect(ready).toMatchObject({ phase: "ready", fileSizeBytes: size, virtualSizeBytes: size });
		const stored = await stat(join(daemon.dataDir, "pools/local/images", id, "image.raw"));
		expect(stored.size).toBe(size);
		expect(stored.blocks * 512).toBeLessThan(64 * MiB);
		expect(ready.sha256).toBe((await run("sha256sum", [path], { timeoutMs: 60_000 })).stdout.slice(0, 64));
		await system.done(await api.call("imageDelete", { path: { id } }));
		expect(await findLeftovers(system)).toEqual([]);
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}, 170_000);

type VmPage = { items: Vm[]; nextPageToken: string | null };

async function listVms(api: LabSystem["api"], pageToken: string | null): Promise<VmPage> {
	const query = { limit: 1000, sort: "name" as const, ...(pageToken === null ? {} : { pageToken }) };
	return (await api.call("vmList", { query })).body;
}

/** The most memory that the process ever had in use (VmHWM). */
function peakBytes(pid: number): number {
	const match = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
	return Number(present(match?.[1], "VmHWM")) * 1024;
}
