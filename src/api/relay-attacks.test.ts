/**
 * A member that was broken into, at either end: what it passes on, and what it answers. (adversarial: a node made to fetch from
 * another through inter-node proxying, CVE-2022-35508; CRLF in headers, CVE-2022-35507.)
 */
import { afterAll, beforeAll, describe, expect, spyOn, test } from "bun:test";
import fc from "fast-check";
import { createApiRelay } from "../cluster/api-relay.ts";
import { AppError, isAppError } from "../lib/errors.ts";
import { permissions } from "../model/permissions.ts";
import type { IncomingStream, StreamHandler } from "../peer/stream-open.ts";
import { closeAll, introduce, testId, testNode } from "../peer/test-peers.ts";
import { type ApiHarness, createApiHarness } from "../testing/api/api-harness.ts";
import { createTwoNodes, otherId, remote, type TwoNodes } from "../testing/api/two-nodes.ts";
import { clusterIds } from "../testing/fixtures.ts";
import { type AnswerHead, decodeRequestHead, type RequestHead, readAnswerHead } from "./relay-wire.ts";
import { routes } from "./routes.ts";

let nodes: TwoNodes;
beforeAll(async () => {
	nodes = await createTwoNodes();
});
afterAll(() => nodes.close());

const head = (changes: Partial<Record<keyof RequestHead, unknown>> = {}) => ({
	...{ operationId: "vmScreenshotGet", params: { id: remote.vm }, query: {}, headers: {} },
	credential: { secret: nodes.accounts.operator.secret, via: "bearer" },
	...{ local: false, remoteAddress: "192.0.2.7", secure: true, hasBody: false },
	...changes,
});
const bytes = (value: unknown) =>
	value instanceof Uint8Array
		? value
		: new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));

/** What the other node says to these bytes: the status of its answer, or the code of its refusal. */
async function say(value: unknown): Promise<{ status: number } | { refused: string }> {
	try {
		const stream = await nodes.peer.node.openStream(otherId, { kind: "api", metadata: bytes(value) });
		const { head: answer } = await readAnswerHead(stream);
		stream.abort(new AppError("canceled", "Enough."));
		return { status: answer.status };
	} catch (error) {
		return { refused: isAppError(error) ? error.code : String(error) };
	}
}

describe("the other node, asked by a member that may be anybody's", () => {
	test("answers what its own API would answer to that person", async () => {
		expect(await say(head())).toEqual({ status: 200 });
		expect(await say(head({ credential: null, local: true }))).toEqual({ status: 200 });
	});

	test("takes nothing but operations that name a node, and none of root's", async () => {
		const passedOn = routes.filter(({ at }) => at).map(({ operationId }) => operationId);
		expect(passedOn.sort()).toEqual([
			"foreignVmAdopt",
			"foreignVmList",
			"imageContentGet",
			"imageContentPut",
			"imageUploadStatus",
			"networkLeaseList",
			"nodeCertificateRenew",
			"nodeLeave",
			"nodeMetricsGet",
			"nodeMetricsHistoryGet",
			"poolContentList",
			"poolDiscover",
			"poolOrphanAdopt",
			"poolOrphanList",
			"poolProbe",
			"vmDomainXmlGet",
			"vmMetricsGet",
			"vmMetricsHistoryGet",
			"vmScreenshotGet",
			"vmSerialLogGet",
			"volumeContentGet",
		]);
		for (const { operationId, params } of routes) {
			if (passedOn.includes(operationId)) continue;
			const given = params ? { id: remote.vm } : {};
			const asked = head({ operationId, params: given, credential: null, local: true });
			expect([operationId, await say(asked)]).toEqual([operationId, { refused: "forbidden" }]);
		}
		for (const operationId of ["", "constructor", "__proto__", "/v1/users", "vmScreenshotGet\n", "x".repeat(65)])
			expect(await say(head({ operationId }))).toMatchObject({
				refused: expect.stringMatching(/unsupported|malformed/),
			});
		expect(Object.keys(permissions).length).toBe(routes.length);
	});

	test("reads parameters by the operation's schema: they lead to no other path, host or file", async () => {
		const screenshot = spyOn(nodes.other.node, "screenshot");
		const ids = [
			...["", ".", "..", "../../users", "/etc/passwd", "//evil.example/", "http://169.254.169.254/", "%2e%2e%2f"],
			...[`${remote.vm}\r\nHost: evil.example`, `${remote.vm}\0`, `${remote.vm}?a=b`, `${remote.vm}#`, "\ud800"],
			...[`${remote.vm}/domain-xml`, remote.vm.toUpperCase().replaceAll("0", "O"), "x".repeat(1000)],
		];
		for (const id of ids) {
			expect([id, isNoSuccess(await say(head({ params: { id } })))]).toEqual([id, true]);
		}
		for (const params of [{}, { id: [remote.vm] }, { id: 1 }, { id: { toString: remote.vm } }, [remote.vm], null])
			expect(isNoSuccess(await say(head({ params })))).toBe(true);
		expect(screenshot).toHaveBeenCalledTimes(0);
		// What the schema does not name is not there.
		expect(await say(head({ params: { id: remote.vm, path: "/etc/shadow" } }))).toEqual({ status: 200 });
		screenshot.mockRestore();
	});

	test("reads the query as strictly as everybody's", async () => {
		const log = (query: unknown) => say(head({ operationId: "vmSerialLogGet", query }));
		expect(await log({ maxBytes: ["10"] })).toEqual({ status: 200 });
		for (const query of [{ maxBytes: ["-1"] }, { maxBytes: ["1", "2"] }, { path: ["/etc/shadow"] }])
			expect(await log(query)).toEqual({ status: 422 });
		for (const query of [{ maxBytes: "10" }, { maxBytes: [10] }, { maxBytes: [] }, { "a\r\nb": ["1"] }, "maxBytes=1"])
			expect(await log(query)).toEqual({ refused: "malformed" });
	});

	test("takes no header but those that the operation has", async () => {
		for (const name of [
			"host",
			"cookie",
			"authorization",
			"origin",
			"x-forwarded-for",
			"transfer-encoding",
			"x-lqx-csrf",
		])
			expect(await say(head({ headers: { [name]: "x" } }))).toEqual({ refused: "malformed" });
		const part = { operationId: "imageContentPut", params: { id: remote.uploading }, hasBody: true };
		for (const value of ["1\r\nhost: evil.example", "1\n", "1\0", "\u00e4", "x".repeat(5000)])
			expect(await say(head({ ...part, headers: { "upload-offset": value } }))).toEqual({ refused: "malformed" });
		expect(await say(head({ ...part, headers: { "upload-offset": "-1" } }))).toEqual({ status: 422 });
	});

	test("finds no root where a credential is missing", async () => {
		const wrong = [
			{ credential: null, local: false },
			{ credential: undefined, local: true },
			{ local: true },
			{ credential: {}, local: false },
			{ credential: { secret: "", via: "bearer" } },
			{ credential: { secret: "a b", via: "bearer" } },
			{ credential: { secret: "x", via: "local" } },
			{ credential: { secret: "x", via: "bearer", role: "admin" } },
			{ role: "admin" },
			{ local: "true", credential: null },
		];
		for (const changes of wrong)
			expect([changes, await say({ ...head(), ...changes })]).toEqual([changes, { refused: "malformed" }]);
		expect(await say(head({ credential: { secret: `lqx_${"a".repeat(43)}`, via: "bearer" } }))).toEqual({
			status: 401,
		});
	});

	test("looks up the role itself, and records the denial with who passed it on", async () => {
		const { secret } = nodes.accounts.viewer;
		for (const via of ["bearer", "cookie"])
			expect(await say(head({ operationId: "vmSerialLogGet", credential: { secret, via } }))).toEqual({ status: 403 });
		expect(await say(head({ operationId: "foreignVmList", params: {} }))).toEqual({ status: 403 });
		const [record] = nodes.store.all("audit", { operation: "vmSerialLogGet", outcome: "denied" });
		expect(record).toMatchObject({ requester: { name: "viewer" }, remoteAddress: "192.0.2.7 via node-1" });
	});

	test("does not take a credential that has ended", async () => {
		const { secret, session } = await nodes.auth.signIn("operator", "correct horse battery", {
			...{ remoteAddress: null, userAgent: null },
		});
		const asked = head({ credential: { secret, via: "bearer" } });
		expect(await say(asked)).toEqual({ status: 200 });
		await nodes.store.proposer.proposeSystem({ kind: "sessionDelete", id: session.id });
		expect(await say(asked)).toEqual({ status: 401 });
	});

	test("keeps who passed it on beside whatever address that node claims", async () => {
		const { secret } = nodes.accounts.viewer;
		const claim = (remoteAddress: unknown) =>
			say(head({ operationId: "vmDomainXmlGet", credential: { secret, via: "bearer" }, remoteAddress }));
		expect(await claim("203.0.113.9")).toEqual({ status: 403 });
		expect(await claim(null)).toEqual({ status: 403 });
		const records = nodes.store.all("audit", { operation: "vmDomainXmlGet", outcome: "denied" });
		expect(records.map(({ remoteAddress }) => remoteAddress).sort()).toEqual([
			"203.0.113.9 via node-1",
			"local via node-1",
		]);
		for (const lie of ["127.0.0.1 via node-9", "1.2.3.4\r\nx", "", "x".repeat(65), 7, "<script>"])
			expect(await claim(lie)).toEqual({ refused: "malformed" });
	});

	test("passes nothing on, neither back nor further", async () => {
		const opened = spyOn(nodes.other.peer.node, "openStream");
		const asked = head({ operationId: "nodeMetricsGet", params: { id: clusterIds.node } });
		expect(await say(asked)).toEqual({ refused: "wrong-state" });
		const lists = head({ operationId: "foreignVmList", params: {}, query: {}, credential: null, local: true });
		expect(await say(lists)).toEqual({ status: 200 });
		expect(opened).toHaveBeenCalledTimes(0);
		opened.mockRestore();
	});

	test("takes no body where none belongs", async () => {
		expect(await say(head({ hasBody: true }))).toEqual({ refused: "malformed" });
		const screenshot = spyOn(nodes.other.node, "screenshot");
		const { promise: waiting, resolve: go } = Promise.withResolvers<Uint8Array>();
		screenshot.mockImplementation(() => waiting as never);
		const stream = await nodes.peer.node.openStream(otherId, { kind: "api", metadata: bytes(head()) });
		await stream.write(bytes("POST /v1/users HTTP/1.1\r\n\r\n"));
		await expect(stream.read()).rejects.toMatchObject({ code: "malformed" });
		go(new Uint8Array(1));
		screenshot.mockRestore();
	});

	test("bounds and checks what it reads", async () => {
		expect(isNoSuccess(await say(head({ query: { maxBytes: Array(64).fill("x".repeat(1000)) } })))).toBe(true);
		expect(isNoSuccess(await say(new Uint8Array(2_000_000)))).toBe(true);
		const text = JSON.stringify(head());
		for (const wrong of [
			"",
			"null",
			"[]",
			`${text}x`,
			text.replace("{", '{"__proto__":{},'),
			text.replace("{", '{"local":true,'),
		])
			expect(await say(wrong)).toEqual({ refused: "malformed" });
		const parts = fc.dictionary(fc.constantFrom(...Object.keys(head())), fc.anything());
		const texts = fc.oneof(
			fc.json(),
			parts.map((it) => JSON.stringify(it)),
			fc.uint8Array(),
		);
		fc.assert(
			fc.property(texts, (it) => decodeRequestHead(bytes(it)) === null),
			{ numRuns: 1000, seed: 6 },
		);
		expect(await say(head())).toEqual({ status: 200 });
	});
});

const isNoSuccess = (said: unknown): boolean =>
	typeof said === "object" && said !== null && ("refused" in said || (said as { status: number }).status >= 400);

describe("a node that answers what it should not", () => {
	let harness: ApiHarness;
	let onStream: StreamHandler = async () => {};
	beforeAll(async () => {
		const handlers = { onStream: (incoming: IncomingStream) => onStream(incoming) };
		const [here, there] = await Promise.all([testNode(0x31), testNode(0x32, { handlers })]);
		introduce(here, there);
		harness = await createApiHarness({
			relay: createApiRelay({
				openStream: (_id, request, signal) => here.node.openStream(testId(0x32), request, signal),
			}),
		});
		// Another node has the VM.
		const get = harness.store.get.bind(harness.store);
		harness.store.get = ((table: "vm", id: string) =>
			table === "vm" ? nodes.store.get("vm", remote.vm) : get(table, id)) as never;
	});
	afterAll(async () => {
		await harness.close();
		await closeAll();
	});

	/** What the client of this node gets when the other one's end of the stream does this. */
	async function answered(path: string, handler: StreamHandler): Promise<Response> {
		onStream = handler;
		return harness.request("GET", path, { as: "operator" });
	}
	const frame = (json: unknown, length?: number) => {
		const body = bytes(json);
		const all = new Uint8Array(4 + body.length);
		new DataView(all.buffer).setUint32(0, length ?? body.length);
		all.set(body, 4);
		return all;
	};
	const saying =
		(...parts: Uint8Array[]): StreamHandler =>
		async ({ accept }) => {
			const stream = accept();
			for (const part of parts) await stream.write(part);
		};
	const xml = `/v1/vms/${remote.vm}/domain-xml`;

	test("is not passed on: other statuses, headers, lengths", async () => {
		const good: AnswerHead = { status: 200, headers: {} };
		const page = bytes("<script>alert(1)</script>");
		const wrong: Uint8Array[] = [
			frame({ ...good, status: 302, headers: { location: "https://evil.example" } }),
			frame({ ...good, status: 101 }),
			frame({ ...good, status: 299 }),
			frame({ ...good, status: 404.5 }),
			frame({ ...good, status: "200" }),
			frame({ ...good, headers: { "set-cookie": "lqx_session=x" } }),
			frame({ ...good, headers: { "content-type": "text/html" } }),
			frame({ ...good, headers: { etag: '"1"\r\nset-cookie: a=b' } }),
			frame({ ...good, headers: { "access-control-allow-origin": "*" } }),
			frame({ ...good, more: 1 }),
			frame(good, 0xffffffff),
			frame(good, 3),
			bytes("HTTP/1.1 200 OK\r\n\r\n"),
			new Uint8Array(2),
			new Uint8Array(0),
		];
		for (const [at, part] of wrong.entries()) {
			const response = await answered(xml, saying(part, page));
			expect([at, response.status]).toEqual([at, 503]);
			expect(response.headers.get("set-cookie")).toBeNull();
			expect(await response.text()).not.toContain("script");
		}
	});

	test("has the media type of the operation, whatever it is, and no status that ends a session", async () => {
		const response = await answered(xml, saying(frame({ status: 200, headers: {} }), bytes("<html>")));
		expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/xml"]);
		const ended = await answered(xml, saying(frame({ status: 401, headers: {} }), bytes("{}")));
		expect([ended.status, ended.headers.get("www-authenticate")]).toEqual([503, null]);
	});

	test("or refuses with any error, is a node that does not answer", async () => {
		for (const code of ["forbidden", "unauthenticated", "internal", "not-found", "wrong-state", "malformed"] as const) {
			const response = await answered(xml, async () => {
				throw new AppError(code, "No.");
			});
			expect([code, response.status]).toEqual([code, 503]);
		}
	});
});
