/** The listeners themselves: real sockets on loopback and in temporary folders. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import { systemRandom } from "../lib/random.ts";
import type { Problem } from "../model/api.ts";
import { type ApiHarness, createApiHarness, password } from "../testing/api/api-harness.ts";
import { type Listener, listen, listenLocally } from "./server.ts";
import { loadOrMakeCertificate } from "./tls.ts";
import { noUi, type UiAsset, type UiAssets } from "./ui-assets.ts";

const text = (value: string) => new TextEncoder().encode(value);
const asset = (contentType: string, body: string, immutable: boolean): UiAsset => ({
	contentType,
	etag: `"${body.length}"`,
	immutable,
	body: text(body),
	gzip: new Uint8Array(Bun.gzipSync(text(body))),
});
const files: Record<string, UiAsset> = {
	"/index.html": asset("text/html; charset=utf-8", "<!doctype html><title>LimiQuantix</title>", false),
	"/assets/app-1a2b.js": asset("text/javascript; charset=utf-8", "export {};", true),
};
const ui: UiAssets = { get: (path) => (Object.hasOwn(files, path) ? (files[path] ?? null) : null) };

let harness: ApiHarness;
let folder: string;
let plain: Listener;
beforeAll(async () => {
	harness = await createApiHarness();
	folder = mkdtempSync(join(tmpdir(), "lqx-server-"));
	plain = harness.listen(ui);
});
afterAll(async () => {
	await harness.close();
	rmSync(folder, { recursive: true });
});

const deps = () => ({ api: harness.api, console: harness.console, ui });
/** Sends bytes as they are, and resolves with everything that came back until the other side closed. */
function raw(bytes: string): Promise<string> {
	return new Promise((resolve, reject) => {
		let answer = "";
		const socket = connect(plain.port ?? 0, "127.0.0.1", () => socket.write(bytes));
		const timer = setTimeout(() => socket.destroy(new Error("no end after 5 s")), 5000);
		socket.on("data", (data) => {
			answer += data.toString("latin1");
		});
		socket.on("error", reject);
		socket.on("close", () => {
			clearTimeout(timer);
			resolve(answer);
		});
	});
}

describe("every answer", () => {
	test("carries the security headers, also those of the UI and of mistakes", async () => {
		for (const path of ["/", "/healthz", "/v1/nothing", "/v1/vms", "/assets/app-1a2b.js", "/nothing.js"]) {
			const { headers } = await fetch(plain.url + path);
			const policy = headers.get("content-security-policy") ?? "";
			expect(policy).toContain("default-src 'none'");
			expect(policy).toContain("frame-ancestors 'none'");
			expect(policy).not.toContain("unsafe");
			expect(headers.get("x-content-type-options")).toBe("nosniff");
			expect(headers.get("referrer-policy")).toBe("no-referrer");
			expect(headers.get("cross-origin-opener-policy")).toBe("same-origin");
			expect(headers.get("strict-transport-security")).toBeNull();
			expect(headers.get("access-control-allow-origin")).toBeNull();
		}
	});

	test("an unknown path is a problem, whatever is in it", async () => {
		const response = await fetch(`${plain.url}/v1/%3Cimg src=x onerror=alert(1)%3E`);
		expect([response.status, response.headers.get("content-type")]).toEqual([404, "application/problem+json"]);
		expect(await response.text()).not.toContain("onerror");
	});
});

describe("the UI", () => {
	const page = { accept: "text/html,application/xhtml+xml" };

	test("its files, compressed and kept for ever where the name has the hash", async () => {
		const response = await fetch(`${plain.url}/assets/app-1a2b.js`);
		expect(response.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
		expect(response.headers.get("content-encoding")).toBe("gzip");
		expect(await response.text()).toBe("export {};");
		const plainly = await fetch(`${plain.url}/assets/app-1a2b.js`, { headers: { "accept-encoding": "gzip;q=0" } });
		expect(plainly.headers.get("content-encoding")).toBeNull();
		const etag = response.headers.get("etag") ?? "";
		expect((await fetch(`${plain.url}/assets/app-1a2b.js`, { headers: { "if-none-match": etag } })).status).toBe(304);
	});

	test("paths of its pages are the UI itself; files and API paths that are not there are not", async () => {
		for (const path of ["/", "/vms", "/vms/0199/console", "/sign-in?next=%2Fvms"]) {
			const response = await fetch(plain.url + path, { headers: page });
			expect([response.status, response.headers.get("cache-control")]).toEqual([200, "no-cache"]);
			expect(await response.text()).toContain("<title>LimiQuantix");
		}
		for (const path of ["/assets/app-old.js", "/favicon.ico", "/v1/nothing", "/downloads/x", "/..%2f..%2fetc%2fpasswd"])
			expect((await fetch(plain.url + path, { headers: path.startsWith("/..") ? {} : page })).status).toBe(404);
		expect((await fetch(`${plain.url}/vms`)).status).toBe(404);
		expect((await fetch(`${plain.url}/vms`, { method: "POST", headers: page })).status).toBe(404);
	});
});

describe("requests that try something", () => {
	test("a Host that is none", async () => {
		for (const host of ["", "a b", "a/b", "<x>", "a@b", "x".repeat(300)]) {
			const answer = await raw(`GET /healthz HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
			expect(answer).toStartWith("HTTP/1.1 400");
		}
		const answer = await raw("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
		expect(answer).toStartWith("HTTP/1.1 200");
	});

	test("no header comes out that went in", async () => {
		const injected = await raw(
			"GET /healthz%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
		);
		expect(injected).toStartWith("HTTP/1.1 404");
		expect(injected.toLowerCase()).not.toContain("set-cookie");
	});

	test("a body over the limit is not read to its end", async () => {
		const { secret } = harness.accounts.operator;
		const head = `POST /v1/vms HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${secret}\r\nContent-Type: application/json\r\n`;
		const announced = await raw(`${head}Content-Length: 99999999999\r\n\r\n{`);
		expect(announced).toStartWith("HTTP/1.1 413");
		expect(announced).toContain('"code":"too-large"');
		const chunk = `10000\r\n${"x".repeat(65_536)}\r\n`;
		const endless = await raw(`${head}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(20)}`);
		expect(endless).toStartWith("HTTP/1.1 413");
	});

	test("a body of somebody without credentials is not read at all", async () => {
		const answer = await raw("POST /v1/vms HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n{");
		expect(answer).toStartWith("HTTP/1.1 401");
	});

	test("what the HTTP server refuses by itself has no body, as docs/api.md says", async () => {
		const large = `GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Large: ${"x".repeat(16_384)}\r\n\r\n`;
		for (const [bytes, status] of [
			["GARBAGE\r\n\r\n", 400],
			["GET /healthz HTTP/1.1\r\n\r\n", 400],
			[large, 431],
			["GET /healthz HTTP/3.0\r\nHost: localhost\r\n\r\n", 505],
		] as const)
			expect(await raw(bytes)).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [A-Za-z ]+\r\nConnection: close\r\n\r\n$`));
	});

	test("a length beside chunks, or two lengths", async () => {
		const both = await raw(
			"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		);
		expect(both).toMatch(/^(HTTP\/1\.1 4\d\d|$)/);
		const two = await raw(
			"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 50\r\nConnection: close\r\n\r\n{}",
		);
		expect(two).toMatch(/^(HTTP\/1\.1 4\d\d|$)/);
	});
});

describe("the console's WebSocket", () => {
	const open = (protocols: string[]) =>
		new Promise<string>((resolve) => {
			const socket = new WebSocket(`${plain.url.replace("http", "ws")}/v1/console`, protocols);
			socket.onmessage = (message) => {
				resolve(`${socket.protocol} ${message.data}`);
				socket.close();
			};
			socket.onopen = () => socket.send("hello");
			socket.onerror = () => resolve("refused");
		});

	test("is handed over with its ticket, and refused as a problem without", async () => {
		expect(await open(["binary", "lqx.ticket.x"])).toBe("binary hello");
		expect(await open(["binary"])).toBe("refused");
		const response = await fetch(`${plain.url}/v1/console`);
		expect([response.status, ((await response.json()) as Problem).code]).toEqual([400, "malformed"]);
	});
});

describe("the socket for root", () => {
	test("is for its owner alone, asks for no password, and knows who asked", async () => {
		const path = join(folder, "run", "limiquantix.sock");
		const local = await listenLocally(deps(), path);
		expect(statSync(path).mode & 0o777).toBe(0o600);
		const response = await fetch("http://localhost/v1/me", { unix: path });
		expect(await response.json()).toMatchObject({ requester: { kind: "local" }, role: "admin" });
		const created = await fetch("http://localhost/v1/users", {
			unix: path,
			method: "POST",
			headers: { "content-type": "application/json" },
			body: JSON.stringify({ name: "made", role: "viewer", password: "made on the socket" }),
		});
		expect(created.status).toBe(201);
		expect(harness.store.all("audit", { operation: "userCreate" })[0]).toMatchObject({
			requester: { kind: "local", name: "local" },
			remoteAddress: null,
		});
		await local.stop(true);
		expect(() => statSync(path)).toThrow();
	});

	test("takes over a socket that was left, but no file", async () => {
		const path = join(folder, "again.sock");
		const first = Bun.listen({ unix: `${path}.before`, socket: { data() {} } });
		// Under the name that it was made with, its end would take the file along.
		renameSync(`${path}.before`, path);
		first.stop(true);
		expect(statSync(path).isSocket()).toBe(true);
		const taken = await listenLocally(deps(), path);
		expect((await fetch("http://localhost/v1/me", { unix: path })).status).toBe(200);
		await taken.stop(true);
		writeFileSync(path, "data");
		await expect(listenLocally(deps(), path)).rejects.toThrow("it is no socket");
		const long = join(folder, "x".repeat(120));
		await expect(listenLocally(deps(), long)).rejects.toThrow("longer than 103 bytes");
	});

	test("does not take the socket of a node that lives", async () => {
		const path = join(folder, "mine.sock");
		const first = await listenLocally(deps(), path);
		const inode = statSync(path).ino;
		await expect(listenLocally(deps(), path)).rejects.toMatchObject({
			code: "in-use",
			message: expect.stringContaining("Another node uses the run folder"),
		});
		expect(statSync(path).ino).toBe(inode);
		expect((await fetch("http://localhost/v1/me", { unix: path })).status).toBe(200);
		await first.stop(true);
		expect(() => statSync(path)).toThrow();
	});

	test("takes away no socket but its own", async () => {
		const path = join(folder, "moved.sock");
		const first = await listenLocally(deps(), path);
		renameSync(path, `${path}.away`);
		const other = await listenLocally(deps(), path);
		await first.stop(true);
		expect((await fetch("http://localhost/v1/me", { unix: path })).status).toBe(200);
		await other.stop(true);
		expect(() => statSync(path)).toThrow();
	});
});

describe("TLS", () => {
	test("serves with the node's own certificate, which a client can pin", async () => {
		const tls = await loadOrMakeCertificate({ folder: join(folder, "tls"), clock: systemClock, random: systemRandom });
		const secure = listen({ ...deps(), ui: noUi }, { host: "127.0.0.1", port: 0, tls });
		expect(secure.url).toStartWith("https://127.0.0.1:");
		const response = await fetch(`${secure.url}/v1/sessions`, {
			method: "POST",
			headers: { "content-type": "application/json" },
			body: JSON.stringify({ username: "viewer", password, cookie: true }),
			tls: { ca: tls.cert },
		});
		expect(response.status).toBe(201);
		expect(response.headers.get("set-cookie")).toContain("; Secure");
		expect(response.headers.get("strict-transport-security")).toBe("max-age=31536000");
		const strict = fetch(`${secure.url}/healthz`);
		await expect(strict).rejects.toThrow();
		const plainly = fetch(secure.url.replace("https", "http"));
		expect(
			await plainly.then(
				(answer) => answer.status,
				() => "refused",
			),
		).not.toBe(200);
		await secure.stop(true);
	});

	test("plain HTTP is for loopback alone", () => {
		for (const host of ["0.0.0.0", "::", "192.0.2.1", "node-1"])
			expect(() => listen(deps(), { host, port: 0, tls: null })).toThrow("only served on loopback");
	});

	test("a port that is taken is said so", () => {
		expect(() => listen(deps(), { host: "127.0.0.1", port: plain.port ?? 0, tls: null })).toThrow("Cannot listen on");
	});
});
