/** What is wrong with a request is said as problem details, always, and nothing of it comes back as anything but data. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Problem } from "../model/api.ts";
import { type ApiHarness, createApiHarness, type RequestOptions } from "../testing/api/api-harness.ts";
import { fixtureId } from "../testing/fixtures.ts";

let harness: ApiHarness;
beforeAll(async () => {
	harness = await createApiHarness();
});
afterAll(() => harness.close());

async function problem(method: string, path: string, options: RequestOptions = {}) {
	const response = await harness.request(method, path, { as: "admin", ...options });
	expect(response.headers.get("content-type")).toBe("application/problem+json");
	const body = (await response.json()) as Problem;
	expect(body.status).toBe(response.status);
	return { ...body, headers: response.headers };
}
const post = (body: unknown, headers: Record<string, string> = {}) =>
	problem("POST", "/v1/vms", { body, headers: { "content-type": "application/json", ...headers } });

describe("paths and methods", () => {
	test("an unknown path", async () => {
		for (const path of ["/v1/nothing", "/v1/vms/a/b/c/d", "/v2/vms", "/v1/vms/", "/v1//vms", "/V1/vms"])
			expect(await problem("GET", path, { undocumented: true })).toMatchObject({ status: 404, code: "not-found" });
	});

	test("a script in the path stays out of the answer", async () => {
		const found = await problem("GET", "/v1/<script>alert(1)</script>", { undocumented: true });
		expect(JSON.stringify(found)).not.toContain("script");
	});

	test("a method that the path does not take", async () => {
		const found = await problem("DELETE", "/v1/vms", { undocumented: true });
		expect(found).toMatchObject({ status: 405, code: "method-not-allowed" });
		expect(found.headers.get("allow")).toBe("GET, POST, HEAD");
		expect((await problem("OPTIONS", "/healthz", { undocumented: true })).status).toBe(405);
	});

	test("HEAD is GET without the body", async () => {
		const response = await harness.request("HEAD", "/v1/vms", { as: "viewer" });
		expect(response.status).toBe(200);
		expect(await response.text()).toBe("");
	});

	test("an id that is none is not found", async () => {
		for (const id of ["x", "..%2f..%2fetc", "%00", "%zz", fixtureId(77), fixtureId(77).toUpperCase(), "a".repeat(4096)])
			expect((await problem("GET", `/v1/vms/${id}`)).status).toBe(404);
	});
});

describe("bodies", () => {
	test("that are no JSON", async () => {
		for (const body of ["{", "", "name=a", '{"name":"a"}x', "{'name':'a'}", '{"name":NaN}', "\u0000"])
			expect(await post(body)).toMatchObject({ status: 400, code: "malformed" });
		expect((await post(new Uint8Array([0x22, 0xff, 0xfe, 0x22]))).detail).toContain("UTF-8");
	});

	test("that name a member twice, or one that is none of ours", async () => {
		expect((await post('{"name":"a","name":"b"}')).detail).toContain("named twice");
		expect((await post('{"name":"a","n\\u0061me":"b"}')).detail).toContain("named twice");
		expect((await post('{"name":"a","disks":[{"sizeBytes":1,"sizeBytes":2}]}')).detail).toContain("named twice");
		for (const name of ["__proto__", "constructor", "prototype", "\\u005f_proto__"])
			expect((await post(`{"name":"a","${name}":{"role":"admin"}}`)).status).toBe(400);
	});

	test("that are nested deep, or have half a character", async () => {
		expect((await post(`${"[".repeat(100_000)}${"]".repeat(100_000)}`)).detail).toContain("nested");
		expect((await post('{"name":"\\ud800"}')).detail).toContain("half a character");
	});

	test("that is compressed", async () => {
		const json = { "content-type": "application/json" };
		for (const encoding of ["gzip", "deflate, gzip", "br", "unknown"]) {
			expect((await post('{"name":"a"}', { ...json, "content-encoding": encoding })).status).toBe(415);
		}
		expect((await post("{", { ...json, "content-encoding": "identity" })).status).toBe(400);
	});

	test("of another media type", async () => {
		for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx"])
			expect((await post('{"name":"a"}', { "content-type": type })).status).toBe(415);
		expect((await post('{"name":"a"}', { "content-type": "application/json; charset=utf-16" })).status).toBe(415);
	});

	test("over the limit, with and without a length", async () => {
		const large = `{"name":"a","description":"${"x".repeat(1024 * 1024)}"}`;
		expect(await post(large)).toMatchObject({ status: 413, code: "too-large" });
		const chunk = new TextEncoder().encode("x".repeat(65_536));
		let sent = 0;
		const endless = new ReadableStream<Uint8Array>({
			pull(controller) {
				sent += 1;
				controller.enqueue(chunk);
			},
		});
		expect((await post(endless)).status).toBe(413);
		expect(sent).toBeLessThan(40);
		const part = { "upload-offset": "0", "content-type": "application/octet-stream", "content-length": "99999999999" };
		const upload = await problem("PUT", `/v1/images/${fixtureId(1)}/content`, { body: "x", headers: part });
		expect(upload.status).toBe(413);
	});

	test("where none is taken", async () => {
		const path = `/v1/vms/${fixtureId(9)}/actions/stop`;
		expect((await problem("POST", path, { body: { force: true } })).status).toBe(400);
		expect((await problem("POST", path, { body: {} })).status).toBe(404);
	});
});

describe("values", () => {
	test("bad ones are named by pointer, all at once", async () => {
		const found = await post({
			name: "<b>",
			vcpus: "2",
			memoryBytes: 1,
			firmware: "efi",
			disks: [{ sizeBytes: -1 }, { bus: "ide" }],
			colour: "red",
		});
		expect(found).toMatchObject({ status: 422, code: "invalid" });
		expect(Object.fromEntries(found.errors.map(({ path, message }) => [path, message]))).toEqual({
			"/name": "Must be: Letters, digits, '.', '_' and '-'; begins with a letter or digit; 63 characters at most.",
			"/vcpus": "Must be a whole number.",
			"/memoryBytes": "Must be at least 33554432.",
			"/firmware": "Must be one of bios, uefi, uefi-secure-boot.",
			"/disks/0/sizeBytes": "Must be at least 1048576.",
			"/disks/1/bus": "Must be one of virtio, scsi, sata.",
			"/colour": "There is no such member here.",
		});
	});

	test("wrong types where text is expected", async () => {
		for (const value of [1, true, null, {}, [], ["a"], { toString: "a" }, { $ne: "" }]) {
			const found = await problem("POST", "/v1/sessions", { as: "nobody", body: { username: value, password: value } });
			expect(found).toMatchObject({ status: 422, errors: [{ path: "/username" }, { path: "/password" }] });
		}
		for (const body of [[], "admin", 7, null, true])
			expect((await problem("POST", "/v1/sessions", { as: "nobody", body: JSON.stringify(body) })).status).toBe(422);
	});

	test("a union says what is wrong with the variant that was meant", async () => {
		const cloudInit = { kind: "form", hostname: "a b", users: [], packages: [], network: null };
		expect((await post({ name: "a", cloudInit })).errors).toEqual([
			{ path: "/cloudInit/hostname", message: "The text does not have the form needed here." },
		]);
		expect((await post({ name: "a", cloudInit: { kind: "xml" } })).errors).toEqual([
			{ path: "/cloudInit/kind", message: "Must be one of form, raw." },
		]);
	});

	test("a query is as strict as a body", async () => {
		const errorsOf = async (query: string) => (await problem("GET", `/v1/vms?${query}`)).errors.map(({ path }) => path);
		expect(await errorsOf("colour=red")).toEqual(["?colour"]);
		expect(await errorsOf("limit=0")).toEqual(["?limit"]);
		expect(await errorsOf("limit=1001")).toEqual(["?limit"]);
		expect(await errorsOf("limit=1e3")).toEqual(["?limit"]);
		expect(await errorsOf("limit=10&limit=20")).toEqual(["?limit"]);
		expect(await errorsOf("sort=password")).toEqual(["?sort"]);
		expect(await errorsOf("powerState=on")).toEqual(["?powerState"]);
		expect(await errorsOf("pageToken=nonsense")).toEqual(["?pageToken"]);
		expect(await errorsOf("__proto__=1")).toEqual(["?__proto__"]);
	});

	test("names with everything that other programs would take for syntax are refused, on every verb", async () => {
		const hostile = [
			"-o",
			"../x",
			"a\nb",
			"a@b",
			"a/b",
			"a\u0000b",
			"a".repeat(4096),
			"a;b",
			"$(x)",
			"a,b",
			"é",
			"",
			" a",
		];
		const creates: [string, (name: string) => unknown][] = [
			["/v1/vms", (name) => ({ name })],
			["/v1/volumes", (name) => ({ name, sizeBytes: 1_048_576 })],
			["/v1/images", (name) => ({ name, format: "raw", source: { kind: "upload" }, fileSizeBytes: 1 })],
			["/v1/networks", (name) => ({ name, config: { kind: "bridge", bridge: "br0" } })],
			["/v1/networks", (bridge) => ({ name: "n", config: { kind: "bridge", bridge } })],
			["/v1/pools", (name) => ({ name, type: "local", config: { path: "/srv/a" } })],
			["/v1/users", (name) => ({ name, role: "viewer", password: "long enough to pass" })],
		];
		for (const name of hostile)
			for (const [path, body] of creates) expect((await problem("POST", path, { body: body(name) })).status).toBe(422);
		const updates = ["/v1/vms", "/v1/volumes", "/v1/images", "/v1/networks", "/v1/pools", "/v1/nodes"];
		for (const name of hostile) {
			for (const path of updates)
				expect((await problem("PATCH", `${path}/${fixtureId(5)}`, { body: { name } })).status).toBe(422);
			expect((await problem("PATCH", "/v1/cluster", { body: { name } })).status).toBe(422);
			const clone = await problem("POST", `/v1/volumes/${fixtureId(5)}/actions/clone`, { body: { name } });
			expect(clone.status).toBe(422);
		}
	});

	test("free text may hold markup, and comes back as JSON that no browser takes for a page", async () => {
		const description = "<script>alert(document.cookie)</script> & \"quotes\" 'too'";
		const response = await harness.request("POST", "/v1/vms", { as: "operator", body: { name: "xss", description } });
		expect(response.status).toBe(201);
		expect(response.headers.get("content-type")).toBe("application/json");
		expect((await response.json()) as object).toMatchObject({ description });
	});
});

describe("errors of our own", () => {
	test("what broke is in the log, not in the answer", async () => {
		const lines: unknown[] = [];
		const noisy = await createApiHarness({
			logger: {
				debug() {},
				info() {},
				warn() {},
				error: (message, fields) => lines.push({ message, ...fields }),
				with() {
					throw new Error("not used");
				},
			},
		});
		noisy.node.foreignVms = async () => {
			throw new Error("secret path /root/x");
		};
		const response = await noisy.request("GET", "/v1/foreign-vms", { as: "admin" });
		expect(response.status).toBe(500);
		const body = (await response.json()) as Problem;
		expect(JSON.stringify(body)).not.toContain("/root/x");
		expect(lines).toMatchObject([{ message: "a request failed", operation: "foreignVmList", instance: body.instance }]);
		await noisy.close();
	});

	test("without a quorum reads go on, marked as stale; writes say when to come back", async () => {
		const lonely = await createApiHarness();
		const { AppError } = await import("../lib/errors.ts");
		lonely.store.readIndex = async () => {
			throw new AppError("unavailable", "There is no leader.");
		};
		lonely.store.propose = async () => {
			throw new AppError("unavailable", "There is no leader.");
		};
		const read = await lonely.request("GET", "/v1/vms", { as: "viewer" });
		expect([read.status, read.headers.get("x-lqx-stale")]).toEqual([200, "true"]);
		const write = await lonely.request("POST", "/v1/vms", { as: "operator", body: { name: "a" } });
		expect([write.status, write.headers.get("retry-after")]).toEqual([503, "2"]);
		await lonely.close();
	});
});
