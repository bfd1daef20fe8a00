import { expect, test } from "bun:test";
import { createApiClient, type FetchLike, operationPath } from "./api-client.ts";

const operations = {
	get: { method: "GET", path: "/v1/things/{id}", body: null, answer: "json", idempotent: false, ifMatch: false },
	make: {
		method: "POST",
		path: "/v1/things",
		body: "application/json",
		answer: "json",
		idempotent: true,
		ifMatch: false,
	},
	put: {
		method: "PUT",
		path: "/v1/things/{id}/content",
		body: "application/octet-stream",
		answer: "raw",
		idempotent: false,
		ifMatch: true,
	},
	drop: { method: "DELETE", path: "/v1/things/{id}", body: null, answer: "none", idempotent: false, ifMatch: true },
} as const;
type Types = {
	get: {
		path: { id: string };
		query: { tag?: string[]; deep?: boolean };
		headers: undefined;
		body: undefined;
		response: { name: string };
	};
	make: { path: undefined; query: undefined; headers: undefined; body: { name: string }; response: { id: string } };
	put: {
		path: { id: string };
		query: undefined;
		headers: { "upload-offset": number };
		body: Uint8Array<ArrayBuffer>;
		response: Response;
	};
	drop: { path: { id: string }; query: undefined; headers: undefined; body: undefined; response: undefined };
};

function clientFor(answer: () => Response | Promise<Response>) {
	const requests: { url: string; init: RequestInit }[] = [];
	const fetch: FetchLike = async (url, init) => {
		requests.push({ url, init });
		return answer();
	};
	const headers = () => ({ authorization: "Bearer t" });
	return { requests, client: createApiClient<Types>(operations, { baseUrl: "https://node:8443", fetch, headers }) };
}

test("puts path, query, headers and body where they belong, and reads the answer's facts", async () => {
	const facts = { etag: '"7"', "task-location": "/v1/tasks/1", location: "/v1/things/2", "x-lqx-stale": "true" };
	const { client, requests } = clientFor(() => Response.json({ id: "2", name: "n" }, { status: 201, headers: facts }));
	const got = await client.call("get", { path: { id: "a/b ?" }, query: { tag: ["x", "y&z"], deep: true } });
	expect(got).toMatchObject({
		body: { name: "n" },
		generation: 7,
		taskLocation: "/v1/tasks/1",
		location: "/v1/things/2",
		stale: true,
	});
	await client.call("make", { body: { name: "ü" }, idempotencyKey: "k", ifMatch: 3 });
	await client.call("put", { path: { id: "1" }, headers: { "upload-offset": 5 }, body: new Uint8Array([1]) });
	expect(requests.map(({ url, init }) => `${init.method} ${url}`)).toEqual([
		"GET https://node:8443/v1/things/a%2Fb%20%3F?tag=x&tag=y%26z&deep=true",
		"POST https://node:8443/v1/things",
		"PUT https://node:8443/v1/things/1/content",
	]);
	expect(requests[1]?.init).toMatchObject({
		body: '{"name":"ü"}',
		headers: {
			"content-type": "application/json",
			"idempotency-key": "k",
			"if-match": '"3"',
			authorization: "Bearer t",
		},
	});
	expect(requests[2]?.init.headers).toMatchObject({ "upload-offset": "5", "content-type": "application/octet-stream" });
});

test("an answer without a body, and one that is handed on", async () => {
	const { client } = clientFor(() => new Response(null, { status: 204 }));
	expect((await client.call("drop", { path: { id: "1" } })).body).toBeUndefined();
	const raw = clientFor(() => new Response("bytes"));
	const { body } = await raw.client.call("put", {
		path: { id: "1" },
		headers: { "upload-offset": 0 },
		body: new Uint8Array(1),
	});
	expect(await body.text()).toBe("bytes");
});

test("a problem becomes the error that it tells of", async () => {
	const problem = {
		type: "about:blank",
		title: "",
		status: 422,
		detail: "No.",
		code: "invalid",
		errors: [{ path: "/name", message: "Bad." }],
	};
	const type = { "content-type": "application/problem+json", "retry-after": "3" };
	const { client } = clientFor(() => new Response(JSON.stringify(problem), { status: 422, headers: type }));
	await expect(client.call("make", { body: { name: "" } })).rejects.toMatchObject({
		code: "invalid",
		message: "No.",
		fields: [{ path: "/name", message: "Bad." }],
		retryAfterMs: 3000,
	});
});

test("answers that are not ours, none at all, and those that nobody waits for", async () => {
	const call = (answer: () => Response | Promise<Response>, signal?: AbortSignal) =>
		clientFor(answer).client.call("get", { path: { id: "1" }, ...(signal ? { signal } : {}) });
	await expect(call(() => new Response("<html>", { status: 502 }))).rejects.toMatchObject({
		code: "internal",
		context: { status: 502 },
	});
	await expect(call(() => new Response("{"))).rejects.toMatchObject({ code: "internal" });
	await expect(
		call(() => {
			throw new TypeError("failed to fetch");
		}),
	).rejects.toMatchObject({ code: "unavailable" });
	const aborted = AbortSignal.abort();
	await expect(call(() => Promise.reject(aborted.reason), aborted)).rejects.toMatchObject({ code: "canceled" });
	const late = AbortSignal.timeout(0);
	await new Promise((resolve) => late.addEventListener("abort", resolve));
	await expect(call(() => Promise.reject(late.reason), late)).rejects.toMatchObject({ code: "timeout" });
});

test("a path without its parameter is no path", () => {
	for (const id of [undefined, null, ""]) expect(() => operationPath("/v1/x/{id}", { id })).toThrow("id is missing");
});
