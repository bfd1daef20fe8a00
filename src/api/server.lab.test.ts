/**
 * What needs time or other programs: slow and stalling clients, uploads larger than memory should be, and the judgement
 * of promtool. No root needed, but seconds: the passing of time is what these tests are about.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import { systemRandom } from "../lib/random.ts";
import { run } from "../lib/run.ts";
import { MiB } from "../lib/units.ts";
import { type ApiHarness, createApiHarness } from "../testing/api/api-harness.ts";
import { EventReader } from "../testing/api/event-reader.ts";
import { fixtureId, fixtureImage, fixtureTask } from "../testing/fixtures.ts";
import { type Listener, listen, listenLocally } from "./server.ts";
import { loadOrMakeCertificate } from "./tls.ts";
import { noUi } from "./ui-assets.ts";

let harness: ApiHarness;
let listener: Listener;
let folder: string;
beforeAll(async () => {
	harness = await createApiHarness();
	const deps = { api: harness.api, console: harness.console, ui: noUi };
	listener = listen(deps, { host: "127.0.0.1", port: 0, tls: null, idleTimeoutSeconds: 4 });
	folder = mkdtempSync(join(tmpdir(), "lqx-lab-"));
});
afterAll(async () => {
	await listener.stop(true);
	await harness.close();
	rmSync(folder, { recursive: true });
});

const bearer = (role: "operator" | "viewer") => ({ authorization: `Bearer ${harness.accounts[role].secret}` });

/** Milliseconds until the server closes a connection on which `drip` goes on sending. */
async function closedAfterMs(start: string, drip: (socket: Socket) => void): Promise<number> {
	const began = performance.now();
	const socket = connect(listener.port ?? 0, "127.0.0.1", () => socket.write(start));
	const timer = setInterval(() => drip(socket), 500);
	socket.on("error", () => {});
	await new Promise((resolve) => socket.on("close", resolve));
	clearInterval(timer);
	return performance.now() - began;
}

// They mostly wait, so they wait together.
describe("clients that take their time", () => {
	test.concurrent("headers that come byte by byte end within 15 s", async () => {
		const head = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
		expect(await closedAfterMs(head, (socket) => socket.write("a"))).toBeLessThan(15_000);
	}, 20_000);

	test.concurrent("so does silence, and a body that comes byte by byte", async () => {
		const head = `POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n`;
		const [silence, slow] = await Promise.all([
			closedAfterMs("", () => {}),
			closedAfterMs(head, (socket) => socket.write(" ")),
		]);
		expect(silence).toBeLessThan(15_000);
		expect(slow).toBeLessThan(15_000);
	}, 20_000);

	test("a hundred of them at once do not stop the others", async () => {
		const sockets = Array.from({ length: 100 }, () => {
			const socket = connect(listener.port ?? 0, "127.0.0.1", () => socket.write("POST /v1/vms HTTP/1.1\r\nHost: l"));
			socket.on("error", () => {});
			return socket;
		});
		const began = performance.now();
		for (let i = 0; i < 20; i++)
			expect((await fetch(`${listener.url}/v1/vms`, { headers: bearer("viewer") })).status).toBe(200);
		expect(performance.now() - began).toBeLessThan(3000);
		for (const socket of sockets) socket.destroy();
	});
});

describe("connections that are long on purpose", () => {
	test.concurrent("an event stream outlives the idle limit, with and without TLS", async () => {
		const certificate = await loadOrMakeCertificate({
			folder: join(folder, "tls"),
			clock: systemClock,
			random: systemRandom,
		});
		const deps = { api: harness.api, console: harness.console, ui: noUi };
		const secure = listen(deps, { host: "127.0.0.1", port: 0, tls: certificate, idleTimeoutSeconds: 4 });
		const tls = { ca: certificate.cert };
		const readers = [
			new EventReader(await fetch(`${listener.url}/v1/events`, { headers: bearer("viewer") })),
			new EventReader(await fetch(`${secure.url}/v1/events`, { headers: bearer("viewer"), tls })),
		];
		for (const reader of readers) await reader.next();
		await Bun.sleep(9000);
		await harness.store.proposer.proposeSystem({ kind: "clusterUpdate", id: fixtureId(1), name: "later" });
		for (const reader of readers) {
			expect((await reader.next())?.data).toContain("later");
			reader.close();
		}
		await secure.stop(true);
	}, 20_000);

	test.concurrent("so does waiting for a task on the local socket", async () => {
		const path = join(folder, "local.sock");
		const local = await listenLocally({ api: harness.api, console: harness.console, ui: noUi }, path);
		const { taskLocation } = await harness.client("operator").call("vmCreate", { body: { name: "slow", disks: [] } });
		const began = performance.now();
		const response = await fetch(`http://localhost${taskLocation}?waitMs=12000`, { unix: path });
		expect(response.status).toBe(200);
		expect(performance.now() - began).toBeGreaterThanOrEqual(12_000);
		await local.stop(true);
	}, 20_000);

	test.concurrent("an upload may be slow as long as it moves", async () => {
		const id = await uploadingImage(60_000);
		const body = new ReadableStream<Uint8Array>({
			async pull(controller) {
				await Bun.sleep(500);
				sent += 1;
				if (sent > 12) controller.close();
				else controller.enqueue(new Uint8Array(5000));
			},
		});
		let sent = 0;
		const headers = { ...bearer("operator"), "upload-offset": "0", "content-type": "application/octet-stream" };
		const response = await fetch(`${listener.url}/v1/images/${id}/content`, { method: "PUT", headers, body });
		expect(await response.json()).toEqual({ receivedBytes: 60_000 });
	}, 15_000);
});

test("2 GiB go through without being held", async () => {
	const total = 2048 * MiB;
	const part = 64 * MiB;
	const id = await uploadingImage(total);
	const chunk = new Uint8Array(MiB);
	let peak = 0;
	const before = process.memoryUsage.rss();
	for (let offset = 0; offset < total; offset += part) {
		let left = part;
		const body = new ReadableStream<Uint8Array>({
			pull(controller) {
				if (left === 0) return controller.close();
				left -= chunk.length;
				controller.enqueue(chunk);
			},
		});
		const headers = {
			...bearer("operator"),
			"upload-offset": String(offset),
			"content-type": "application/octet-stream",
		};
		const response = await fetch(`${listener.url}/v1/images/${id}/content`, { method: "PUT", headers, body });
		expect(response.status).toBe(200);
		peak = Math.max(peak, process.memoryUsage.rss());
	}
	expect(harness.node.uploads.get(id)).toBe(total);
	// Client and server are one process here: both sides' buffers count.
	expect((peak - before) / MiB).toBeLessThan(150);
}, 120_000);

test("promtool has nothing to say about the metrics", async () => {
	await harness.request("GET", "/v1/nothing", { undocumented: true });
	await harness.request("GET", "/v1/me", { as: "viewer" });
	const text = await (await fetch(`${listener.url}/metrics`, { headers: bearer("viewer") })).text();
	expect(text).toContain('limiquantix_http_requests_total{operation="meGet",status="200"}');
	const { stdout, stderr } = await run("promtool", ["check", "metrics"], { timeoutMs: 30_000, stdin: text });
	expect(`${stdout}${stderr}`).toBe("");
});

async function uploadingImage(fileSizeBytes: number): Promise<string> {
	const source = { kind: "upload" } as const;
	const image = fixtureImage({
		id: harness.ids.newId(),
		name: `up-${fileSizeBytes}`,
		source,
		fileSizeBytes,
		phase: "uploading",
	});
	const task = fixtureTask("image.import", { kind: "image", id: image.id }, { id: harness.ids.newId() });
	await harness.store.proposer.proposeSystem({ kind: "imageCreate", image, task });
	return image.id;
}
