/** Verbs of the other nouns, where they do more than send a request and show its answer. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GiB } from "../../lib/units.ts";
import { type FakeApi, fakeApi, page, problem } from "../../testing/cli/fake-api.ts";
import { fakeIo } from "../../testing/cli/fake-io.ts";
import { expectGolden } from "../../testing/cli/golden.ts";
import { cli } from "../../testing/cli/run-cli.ts";
import {
	fixtureId,
	fixtureImage,
	fixtureNetwork,
	fixtureNode,
	fixturePool,
	fixtureSession,
	fixtureTask,
	fixtureTime,
	fixtureToken,
	fixtureUser,
	fixtureVm,
	fixtureVolume,
} from "../../testing/fixtures.ts";

let folder: string;
let api: FakeApi;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "lqx-cli-"));
	api = fakeApi({ runDir: folder }, {});
});
afterEach(async () => {
	await api.stop();
	rmSync(folder, { recursive: true, force: true });
});
const here = (words: string | readonly string[], options: Parameters<typeof cli>[1] = {}) =>
	cli([...(typeof words === "string" ? words.split(" ") : words), "--run-dir", folder], options);
const sent = (operation: string) => api.requests.findLast((request) => request.operation === operation);

test("lists, as people see them", async () => {
	const poolNode = {
		nodeId: fixtureNode().id,
		health: "healthy" as const,
		reason: null,
		totalBytes: 100 * GiB,
		usedBytes: 38 * GiB,
		availableBytes: 62 * GiB,
		capabilities: null,
		updatedAt: fixtureTime,
	};
	const vm = fixtureVm({ name: "web" });
	api.handlers = {
		poolList: () => page(fixturePool({ phase: "ready", nodes: [poolNode] })),
		volumeList: () => page(fixtureVolume({ vmId: vm.id, allocatedBytes: 123_456_789, phase: "ready" })),
		imageList: () =>
			page(
				fixtureImage({ phase: "uploading", fileSizeBytes: 4 * GiB, receivedBytes: GiB, source: { kind: "upload" } }),
				fixtureImage({ name: "iso", format: "iso", phase: "ready", fileSizeBytes: 700_000_000, tags: ["install"] }),
			),
		networkList: () =>
			page(fixtureNetwork(), fixtureNetwork({ name: "office", config: { kind: "bridge", bridge: "br0" } })),
		nodeList: () => page(fixtureNode()),
		vmList: () => page(vm),
		taskList: () =>
			page(
				fixtureTask(
					"vm.start",
					{ kind: "vm", id: vm.id, name: "web" },
					{ state: "running", progress: 42.7, message: "starting" },
				),
				fixtureTask(
					"vm.stop",
					{ kind: "vm", id: vm.id },
					{ state: "failed", error: { code: "timeout", message: "Too slow." } },
				),
			),
		userList: () => page(fixtureUser()),
		sessionList: () => page(fixtureSession({ remoteAddress: "10.0.0.9", userAgent: "curl\u001b[1m" })),
		tokenList: () => page(fixtureToken(), fixtureToken({ name: "short", expiresAt: "2026-02-02T03:04:05.000Z" })),
		auditList: () =>
			page(
				{
					id: "7",
					time: fixtureTime,
					requester: { kind: "user", id: fixtureId(1), name: "anna" },
					remoteAddress: "10.0.0.9",
					operation: "vmDelete",
					outcome: "denied",
					targets: [{ kind: "vm", id: vm.id, name: "web" }],
					errorCode: "forbidden",
				},
				{
					id: "8",
					time: fixtureTime,
					requester: { kind: "local", id: null, name: "root" },
					remoteAddress: null,
					operation: "nodeRemove",
					outcome: "accepted",
					targets: [{ kind: "node", id: fixtureId(9), name: "node-3" }],
					errorCode: null,
					confirmation: "node-3 is off",
				},
			),
		foreignVmList: () => ({
			items: [
				{
					id: fixtureId(8),
					name: "old",
					nodeId: fixtureNode().id,
					powerState: "running",
					vcpus: 2,
					memoryBytes: GiB,
					obstacles: ["It has a passed-through device."],
				},
			],
		}),
		networkGet: () => fixtureNetwork(),
		networkLeaseList: () => ({
			items: [
				{
					mac: "52:4c:00:00:00:01",
					address: "10.20.0.11",
					hostname: "web",
					expiresAt: "2026-01-02T05:04:05.000Z",
					vmId: vm.id,
				},
			],
		}),
	};
	let text = "";
	for (const words of [
		"pool list",
		"volume list",
		"image list",
		"network list",
		"network leases default",
		"node list",
		"task list",
		"user list",
		"session list",
		"token list",
		"audit list",
		"foreign-vm list",
	]) {
		const { code, out } = await here(words);
		expect({ words, code }).toEqual({ words, code: 0 });
		text += `$ limiquantix ${words}\n${out}\n`;
	}
	expectGolden(join(import.meta.dir, "golden/lists.txt"), text);
});

describe("network create", () => {
	const config = async (words: string) => {
		await here(`network create lab ${words}`);
		return (sent("networkCreate")?.json as { config?: unknown } | undefined)?.config;
	};

	test("gives out the larger part of the subnet, without the gateway", async () => {
		expect(await config("--nat 10.20.0.1/24")).toEqual({
			kind: "nat",
			gateway: "10.20.0.1",
			prefixLength: 24,
			dhcpStart: "10.20.0.2",
			dhcpEnd: "10.20.0.254",
		});
		expect(await config("--nat 10.20.0.254/24")).toMatchObject({ dhcpStart: "10.20.0.1", dhcpEnd: "10.20.0.253" });
		expect(await config("--nat 10.255.255.1/8")).toMatchObject({ dhcpStart: "10.0.0.1", dhcpEnd: "10.255.255.0" });
		expect(await config("--nat 192.168.1.1/30")).toMatchObject({ dhcpStart: "192.168.1.2", dhcpEnd: "192.168.1.2" });
		expect(await config("--nat 10.20.0.1/24 --dhcp 10.20.0.50-10.20.0.60")).toMatchObject({
			dhcpStart: "10.20.0.50",
			dhcpEnd: "10.20.0.60",
		});
		expect(await config("--bridge br0")).toEqual({ kind: "bridge", bridge: "br0" });
	});

	test("refuses nonsense", async () => {
		for (const words of [
			"",
			"--nat 10.20.0.1",
			"--nat 10.20.0.256/24",
			"--nat 10.0.0.1/31",
			"--nat 10.0.0.1/24 --bridge br0",
			"--bridge br0 --dhcp 10.0.0.1-10.0.0.2",
			"--nat 10.0.0.1/24 --dhcp 10.0.0.5",
		])
			expect((await here(`network create lab ${words}`.trim())).code).toBe(2);
		expect(api.requests).toEqual([]);
	});
});

describe("passwords", () => {
	const secret = "correct horse battery";
	beforeEach(() => {
		api.handlers.userList = () => page(fixtureUser({ name: "anna" }));
		api.handlers.userCreate = () => fixtureUser({ name: "anna" });
		api.handlers.userPasswordReset = () => null;
		api.handlers.mePasswordChange = () => null;
	});

	test("are asked for twice, without echo", async () => {
		const io = fakeIo({ tty: true });
		io.feed(`${secret}\r${secret}\r`);
		expect((await here("user reset-password anna", { io })).code).toBe(0);
		expect(sent("userPasswordReset")?.json).toEqual({ newPassword: secret, endTokens: true });
		expect(io.out + io.err).not.toContain(secret);
		expect(io.rawModes).toEqual([true, false, true, false]);
	});

	test("that differ change nothing", async () => {
		const io = fakeIo({ tty: true });
		io.feed(`${secret}\r`);
		io.feed(`${secret}x\r`);
		expect((await here("user create anna --role viewer", { io })).code).toBe(1);
		expect(api.called).not.toContain("userCreate");
	});

	test("come from a file or a pipe, never from arguments", async () => {
		const path = join(folder, "secret");
		writeFileSync(path, `${secret}\r\nmore`);
		expect((await here(["user", "create", "anna", "--role", "operator", "--password-file", path])).code).toBe(0);
		expect(sent("userCreate")?.json).toEqual({ name: "anna", role: "operator", password: secret });
		const io = fakeIo();
		io.feed(`${secret}\n`);
		io.endInput();
		expect((await here("user reset-password anna --keep-tokens --password-file -", { io })).code).toBe(0);
		expect(sent("userPasswordReset")?.json).toEqual({ newPassword: secret, endTokens: false });
		expect((await here("user reset-password anna")).code).toBe(2);
		expect((await here(`user reset-password anna --password ${secret}`)).code).toBe(2);
	});

	test("one's own needs the current one", async () => {
		const io = fakeIo({ tty: true });
		io.feed(`old password 123\r${secret}\r${secret}\r`);
		expect((await here("me password", { io })).code).toBe(0);
		expect(sent("mePasswordChange")?.json).toEqual({ currentPassword: "old password 123", newPassword: secret });
	});
});

describe("token create", () => {
	beforeEach(() => {
		api.handlers.tokenCreate = ({ json }) => ({ token: fixtureToken(json as object), secret: "lqx_abc" });
	});

	test("shows the secret once, or puts it into a new file that others cannot read", async () => {
		expect((await here("token create ci --role operator --expires 90d")).out).toContain("lqx_abc");
		expect(sent("tokenCreate")?.json).toEqual({ name: "ci", role: "operator", expiresAt: "2026-04-02T04:04:05.000Z" });
		const path = join(folder, "ci.token");
		const { out, err } = await here(["token", "create", "ci", "--expires", "never", "--secret-file", path]);
		expect(out + err).not.toContain("lqx_abc");
		expect(readFileSync(path, "utf8")).toBe("lqx_abc\n");
		expect(statSync(path).mode & 0o777).toBe(0o600);
		expect(sent("tokenCreate")?.json).toEqual({ name: "ci", role: "viewer", expiresAt: null });
		expect(await here(["token", "create", "ci", "--expires", "never", "--secret-file", path])).toMatchObject({
			code: 1,
		});
	});

	test("needs to be told how long it is good", async () => {
		expect((await here("token create ci")).code).toBe(2);
		expect((await here("token create ci --expires soon")).code).toBe(2);
		expect((await here("token create ci --expires 2031-01-01T00:00:00Z")).code).toBe(0);
		expect(sent("tokenCreate")?.json).toMatchObject({ expiresAt: "2031-01-01T00:00:00.000Z" });
	});
});

describe("event watch", () => {
	const event = (id: string, kind: string, object: unknown) =>
		`id: ${id}\nevent: change\ndata: ${JSON.stringify({ id, time: fixtureTime, type: "updated", target: { kind, id: fixtureId(1), name: "web\u001b[2J" }, object })}\n\n`;
	function streams(...parts: string[][]) {
		let at = 0;
		api.handlers.eventsStream = () => {
			const texts = parts[at] ?? [];
			at += 1;
			const body = new ReadableStream({
				start(controller) {
					for (const text of texts) controller.enqueue(new TextEncoder().encode(text));
					controller.close();
				},
			});
			return new Response(body, { headers: { "content-type": "text/event-stream" } });
		};
	}

	test("shows each change on a line, harmless, and ends after --count", async () => {
		streams([
			": hi\n\n",
			event("5.0", "vm", { status: { powerState: "running" } }),
			event("5.1", "task", { state: "running" }),
		]);
		const { code, out } = await here("event watch --count 2");
		expect(code).toBe(0);
		expect(out).toBe(
			`${fixtureTime}  updated  vm  web\\e[2J  running\n${fixtureTime}  updated  task  web\\e[2J  running\n`,
		);
	});

	test("goes on behind the last one after an interruption, and with the kinds asked for", async () => {
		const whole = event("5.0", "vm", null);
		streams([whole.slice(0, 30), whole.slice(30)], [event("6.0", "task", null)], [event("7.0", "vm", null)]);
		const { code, out } = await here("event watch --count 2 --kind vm -o json");
		expect(code).toBe(0);
		expect(
			out
				.trim()
				.split("\n")
				.map((line) => JSON.parse(line).id),
		).toEqual(["5.0", "7.0"]);
		expect(api.requests.map(({ headers }) => headers.get("last-event-id"))).toEqual([null, "5.0", "6.0"]);
	});

	test("says when something was missed", async () => {
		streams(["id: 9.0\nevent: reset\ndata: {}\n\n", event("9.1", "vm", null)]);
		const { err } = await here("event watch --after 1.0 --count 1 -o json");
		expect(err).toContain("Events were missed");
		expect(sent("eventsStream")?.headers.get("last-event-id")).toBe("1.0");
	});

	test("Ctrl-C is how it ends", async () => {
		const io = fakeIo();
		const body = new ReadableStream({
			start(controller) {
				controller.enqueue(new TextEncoder().encode(event("5.0", "vm", null)));
			},
		});
		api.handlers.eventsStream = () => new Response(body, { headers: { "content-type": "text/event-stream" } });
		const running = here("event watch -o json", { io });
		await io.until(({ out }) => out !== "");
		io.interrupt();
		expect((await running).code).toBe(0);
	});

	test("who may not look, or finds nobody there, is told at once", async () => {
		api.handlers.eventsStream = () => problem(401, "unauthenticated", "Sign in.");
		const { code, err } = await here("event watch");
		expect({ code, hint: err.includes("limiquantix login") }).toEqual({ code: 1, hint: true });
		api.handlers.eventsStream = () => problem(503, "unavailable", "No.");
		expect((await here("event watch")).code).toBe(3);
		expect(api.requests).toHaveLength(2);
	});

	test("gives up when nobody comes back", async () => {
		streams([event("5.0", "vm", null)]);
		const first = api.handlers.eventsStream;
		let calls = 0;
		api.handlers.eventsStream = (request) => {
			calls += 1;
			return calls === 1 ? (first?.(request) ?? null) : problem(503, "unavailable", "No.");
		};
		expect((await here("event watch -o json")).code).toBe(3);
		expect(calls).toBe(9);
	});
});

describe("api", () => {
	beforeEach(() => {
		api.handlers.vmList = () => page(fixtureVm({ name: "web" }));
		api.handlers.clusterUpdate = ({ json }) => ({ got: json });
	});

	test("sends what is asked and prints what comes", async () => {
		const { code, out } = await here(["api", "get", "/v1/vms?limit=1"]);
		expect({ code, name: JSON.parse(out).items[0].name }).toEqual({ code: 0, name: "web" });
		expect(sent("vmList")?.query.get("limit")).toBe("1");
		await here(["api", "PATCH", "/v1/cluster", "--data", '{"name":"x"}', "--if-match", "3"]);
		expect(sent("clusterUpdate")?.json).toEqual({ name: "x" });
		expect(sent("clusterUpdate")?.headers.get("if-match")).toBe('"3"');
		const path = join(folder, "body.json");
		writeFileSync(path, '{"name":"y"}');
		expect(JSON.parse((await here(["api", "PATCH", "/v1/cluster", "-d", `@${path}`])).out)).toEqual({
			got: { name: "y" },
		});
		const io = fakeIo();
		io.feed('{"name":"z"}');
		io.endInput();
		expect((await here(["api", "PATCH", "/v1/cluster", "-d", "-", "-i"], { io })).out).toStartWith("200\n");
	});

	test("fails as the API does", async () => {
		api.handlers.vmList = () => problem(403, "forbidden", "Not you.");
		expect(await here("api GET /v1/vms")).toMatchObject({ code: 1, out: "", err: "Error: Not you.\n" });
	});

	test("sends nothing anywhere else", async () => {
		for (const path of [
			"v1/vms",
			"//evil.example/",
			"@evil.example/",
			":1/x",
			"http://evil.example/",
			"/v1/ vms",
			"/v1\r\nX: y",
		])
			expect((await here(["api", "GET", path])).code).toBe(2);
		expect((await here("api TRACE /v1/vms")).code).toBe(2);
		expect(api.requests).toEqual([]);
	});
});
