/** Signing in, staying in, being thrown out. adversarial.md 1 to 5 and 15, as far as there is something to attack. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { sessionLifetimeMs } from "../auth/service.ts";
import type { Problem } from "../model/api.ts";
import { type ApiHarness, createApiHarness, origin, password } from "../testing/api/api-harness.ts";
import { fixtureId } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";

let harness: ApiHarness;
let clock: ManualClock;
beforeEach(async () => {
	clock = new ManualClock();
	harness = await createApiHarness({ clock });
});
afterEach(() => harness.close());

const signIn = (body: unknown, from = "192.0.2.1") =>
	harness.request("POST", "/v1/sessions", { body, remoteAddress: from, headers: { "user-agent": "browser" } });
const statusOf = async (response: Promise<Response>) => (await response).status;
const me = (secret: string) => statusOf(harness.request("GET", "/v1/me", { as: { secret } }));

async function browser(role = "operator"): Promise<string> {
	const response = await signIn({ username: role, password, cookie: true });
	expect(response.status).toBe(201);
	return (response.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
}

describe("signing in", () => {
	test("answers with a token, of which only the hash is kept", async () => {
		const body = (await (await signIn({ username: "viewer", password })).json()) as { token: string };
		expect(body.token).toMatch(/^lqs_[\w-]{43}$/);
		expect(await me(body.token)).toBe(200);
		expect(JSON.stringify(harness.store.all("session"))).not.toContain(body.token);
		expect(harness.store.sessionBySecretHash(body.token)).toBeNull();
	});

	test("for a browser: a cookie that scripts cannot read, and no token", async () => {
		const response = await signIn({ username: "viewer", password, cookie: true });
		expect(response.headers.get("set-cookie")).toMatch(
			/^lqx_session=lqs_[\w-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/,
		);
		expect(await response.json()).not.toHaveProperty("token");
		const secure = await harness.request("POST", "/v1/sessions", {
			body: { username: "viewer", password, cookie: true },
			secure: true,
		});
		expect(secure.headers.get("set-cookie")).toEndWith("; Secure");
	});

	test("wrong name, wrong password and disabled user are one answer, after the same work", async () => {
		await harness.client("admin").call("userUpdate", {
			path: { id: harness.accounts.viewer.user.id },
			body: { enabled: false },
		});
		const answers: unknown[] = [];
		for (const [username, secret] of [
			["nobody", password],
			["operator", "wrong"],
			["viewer", password],
		]) {
			const response = await signIn({ username, password: secret }, `192.0.2.${answers.length + 10}`);
			answers.push([response.status, await response.text()]);
		}
		expect(answers[1]).toEqual(answers[0]);
		expect(answers[2]).toEqual(answers[0]);
		expect(String(answers[0])).toContain("name or the password is wrong");
		expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
		expect(harness.auth.figures().loginFailures).toBe(3);
	});

	test("a second factor, or whatever else is sent along, does not stand in for the password", async () => {
		for (const extra of [{ otp: "1" }, { role: "admin" }, { token: "x" }, { user: { name: "admin" } }])
			expect(await statusOf(signIn({ username: "admin", password, ...extra }))).toBe(422);
		expect(await statusOf(signIn({ username: "admin" }))).toBe(422);
	});

	test("an old cookie does not stand in the way", async () => {
		const headers = { cookie: "lqx_session=lqs_old", origin: "https://elsewhere.example" };
		const response = await harness.request("POST", "/v1/sessions", { body: { username: "viewer", password }, headers });
		expect(response.status).toBe(201);
	});
});

describe("guessing", () => {
	test("a user is slowed down, more each time, from wherever the guesses come, and not written about", async () => {
		const before = harness.store.appliedIndex;
		for (let guess = 0; guess < 6; guess++)
			expect(await statusOf(signIn({ username: "admin", password: "x" }, `198.51.100.${guess}`))).toBe(401);
		const locked = await signIn({ username: "admin", password }, "198.51.100.99");
		expect([locked.status, locked.headers.get("retry-after")]).toEqual([429, "1"]);
		clock.advance(1000);
		expect(await statusOf(signIn({ username: "admin", password: "x" }, "198.51.100.99"))).toBe(401);
		const again = await signIn({ username: "admin", password }, "198.51.100.99");
		expect([again.status, again.headers.get("retry-after")]).toEqual([429, "2"]);
		expect(harness.store.appliedIndex).toBe(before);
		clock.advance(2000);
		expect(await statusOf(signIn({ username: "admin", password }, "198.51.100.99"))).toBe(201);
	});

	test("an address is slowed down, whomever it guesses, and others are not", async () => {
		for (let guess = 0; guess < 21; guess++)
			expect(await statusOf(signIn({ username: `user${guess}`, password: "x" }, "2001:db8:1:2::1"))).toBe(401);
		expect(await statusOf(signIn({ username: "viewer", password }, "2001:db8:1:2:ffff::9"))).toBe(429);
		expect(await statusOf(signIn({ username: "viewer", password }, "2001:db8:1:3::1"))).toBe(201);
	});

	test("a hundred guesses at once do not slip through together", async () => {
		const statuses = await Promise.all(
			Array.from({ length: 100 }, (_, at) => statusOf(signIn({ username: "admin", password: "x" }, `203.0.113.${at}`))),
		);
		expect(statuses.filter((status) => status === 401).length).toBeLessThanOrEqual(6);
		expect(statuses.filter((status) => status === 429).length).toBeGreaterThanOrEqual(94);
	});

	test("the local socket is never locked out", async () => {
		for (let guess = 0; guess < 30; guess++) await signIn({ username: "admin", password: "x" });
		const local = harness.request("POST", "/v1/sessions", { as: "local", body: { username: "admin", password } });
		expect(await statusOf(local)).toBe(201);
	});

	test("bad secrets are counted, and slowed down apart from good ones", async () => {
		const bad = () => statusOf(harness.request("GET", "/v1/me", { as: { secret: `lqx_${"A".repeat(43)}` } }));
		for (let guess = 0; guess < 101; guess++) expect(await bad()).toBe(401);
		expect(await bad()).toBe(429);
		expect(await me(harness.accounts.viewer.secret)).toBe(200);
		expect(harness.auth.figures().badCredentials).toBe(102);
	});
});

describe("a cookie is sent by the browser unasked, so", () => {
	const write = (cookie: string, headers: Record<string, string>) =>
		statusOf(
			harness.request("POST", "/v1/vms", { as: { cookie }, body: { name: `vm-${harness.ids.newId()}` }, headers }),
		);

	test("a write needs our header and our origin", async () => {
		const cookie = await browser();
		const header = { "x-lqx-csrf": "1" };
		expect(await write(cookie, { ...header, origin })).toBe(201);
		expect(await write(cookie, { ...header, "sec-fetch-site": "same-origin" })).toBe(201);
		expect(await write(cookie, { origin })).toBe(403);
		expect(await write(cookie, header)).toBe(403);
		for (const foreign of ["null", "https://evil.example", "http://localhost:8444", "https://localhost:8443"])
			expect(await write(cookie, { ...header, origin: foreign })).toBe(403);
		for (const site of ["cross-site", "same-site", "none"])
			expect(await write(cookie, { ...header, "sec-fetch-site": site })).toBe(403);
		expect(await write(cookie, { ...header, origin, "sec-fetch-site": "cross-site" })).toBe(403);
	});

	test("reads for other sites are refused too", async () => {
		const cookie = await browser();
		const read = (headers: Record<string, string>) =>
			statusOf(harness.request("GET", "/v1/vms", { as: { cookie }, headers }));
		expect(await read({})).toBe(200);
		expect(await read({ "sec-fetch-site": "none" })).toBe(200);
		expect(await read({ "sec-fetch-site": "same-site" })).toBe(403);
		expect(await read({ origin: "https://evil.example" })).toBe(403);
	});

	test("a bearer needs none of it, and an API token is no cookie", async () => {
		const secret = harness.accounts.operator.secret;
		const response = harness.request("POST", "/v1/vms", {
			as: { secret },
			body: { name: "a" },
			headers: { origin: "https://evil.example" },
		});
		expect(await statusOf(response)).toBe(201);
		const { body } = await harness.client("operator").call("tokenCreate", { body: { name: "t", role: "viewer" } });
		expect(await statusOf(harness.request("GET", "/v1/me", { as: { cookie: `lqx_session=${body.secret}` } }))).toBe(
			401,
		);
	});

	test("two cookies of our name are nobody's", async () => {
		const cookie = await browser();
		const both = `${cookie}; lqx_session=lqs_x`;
		expect(await statusOf(harness.request("GET", "/v1/me", { as: { cookie: both } }))).toBe(401);
	});

	test("signing out takes the cookie back", async () => {
		const cookie = await browser();
		const headers = { "x-lqx-csrf": "1", origin };
		const response = await harness.request("DELETE", "/v1/sessions/current", { as: { cookie }, headers });
		expect([response.status, response.headers.get("set-cookie")]).toEqual([
			204,
			"lqx_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict",
		]);
		expect(await statusOf(harness.request("GET", "/v1/me", { as: { cookie } }))).toBe(401);
	});
});

describe("a session ends", () => {
	test("after twelve hours, whatever happened in between", async () => {
		const { secret } = harness.accounts.viewer;
		clock.advance(sessionLifetimeMs - 1000);
		expect(await me(secret)).toBe(200);
		clock.advance(1001);
		expect(await me(secret)).toBe(401);
	});

	test("with a new password: all others of the user, not the one that changed it", async () => {
		const other = await harness.auth.signIn("viewer", password, { remoteAddress: null, userAgent: null });
		const body = { currentPassword: password, newPassword: "entirely different" };
		expect(await statusOf(harness.request("POST", "/v1/me/password", { as: "viewer", body }))).toBe(204);
		expect(await me(other.secret)).toBe(401);
		expect(await me(harness.accounts.viewer.secret)).toBe(200);
		expect(await statusOf(signIn({ username: "viewer", password }))).toBe(401);
		expect(await statusOf(signIn({ username: "viewer", password: body.newPassword }))).toBe(201);
	});

	test("with a reset password, another role, being disabled, being deleted", async () => {
		const admin = harness.client("admin");
		const path = { id: harness.accounts.viewer.user.id };
		const attempts = [
			() => admin.call("userPasswordReset", { path, body: { newPassword: "given by somebody" } }),
			() => admin.call("userUpdate", { path, body: { role: "operator" } }),
			() => admin.call("userUpdate", { path, body: { enabled: false } }),
		];
		let secret = harness.accounts.viewer.secret;
		let now = password;
		for (const attempt of attempts) {
			expect(await me(secret)).toBe(200);
			await attempt();
			expect(await me(secret)).toBe(401);
			now = "given by somebody";
			const user = harness.store.get("user", path.id);
			if (user?.enabled)
				({ secret } = await harness.auth.signIn("viewer", now, { remoteAddress: null, userAgent: null }));
		}
		await admin.call("userDelete", { path: { id: harness.accounts.operator.user.id } });
		expect(await me(harness.accounts.operator.secret)).toBe(401);
	});

	test("API tokens end with a reset password unless it says otherwise, and stay with a change of one's own", async () => {
		const admin = harness.client("admin");
		const path = { id: harness.accounts.operator.user.id };
		const made = await harness.client("operator").call("tokenCreate", { body: { name: "t", role: "viewer" } });
		const { secret } = made.body;
		const own = { currentPassword: password, newPassword: "entirely different" };
		expect(await statusOf(harness.request("POST", "/v1/me/password", { as: "operator", body: own }))).toBe(204);
		expect(await me(secret)).toBe(200);
		for (const [reset, status] of [[{ endTokens: false }, 200] as const, [{}, 401] as const]) {
			await admin.call("userPasswordReset", { path, body: { newPassword: "given by somebody", ...reset } });
			expect(await me(secret)).toBe(status);
		}
	});

	test("a token loses its rights with its user's", async () => {
		const { body } = await harness.client("operator").call("tokenCreate", { body: { name: "t", role: "operator" } });
		const create = () =>
			statusOf(
				harness.request("POST", "/v1/vms", { as: { secret: body.secret }, body: { name: `a${harness.ids.newId()}` } }),
			);
		expect(await create()).toBe(201);
		const path = { id: harness.accounts.operator.user.id };
		await harness.client("admin").call("userUpdate", { path, body: { role: "viewer" } });
		expect(await create()).toBe(403);
		await harness.client("admin").call("userUpdate", { path, body: { enabled: false } });
		expect(await me(body.secret)).toBe(401);
	});

	test("an expired token is none", async () => {
		const expiresAt = new Date(clock.nowMs() + 60_000).toISOString();
		const { body } = await harness
			.client("viewer")
			.call("tokenCreate", { body: { name: "t", role: "viewer", expiresAt } });
		expect(await me(body.secret)).toBe(200);
		clock.advance(60_000);
		expect(await me(body.secret)).toBe(401);
	});
});

describe("rights are not widened by a second way", () => {
	test("a token has at most the rights of who makes it", async () => {
		const make = (as: "viewer" | "operator", role: string) =>
			statusOf(harness.request("POST", "/v1/tokens", { as, body: { name: role, role } }));
		expect(await make("viewer", "viewer")).toBe(201);
		expect(await make("viewer", "operator")).toBe(403);
		expect(await make("operator", "admin")).toBe(403);
	});

	test("a token made with a token does not outlive it", async () => {
		const expiresAt = new Date(clock.nowMs() + 60_000).toISOString();
		const { body } = await harness
			.client("operator")
			.call("tokenCreate", { body: { name: "t", role: "operator", expiresAt } });
		const child = (more: object) =>
			statusOf(
				harness.request("POST", "/v1/tokens", {
					as: { secret: body.secret },
					body: { name: "c", role: "viewer", ...more },
				}),
			);
		expect(await child({})).toBe(422);
		expect(await child({ expiresAt: new Date(clock.nowMs() + 61_000).toISOString() })).toBe(422);
		expect(await child({ expiresAt })).toBe(201);
	});

	test("other people's sessions and tokens do not exist for who is no administrator", async () => {
		const { body } = await harness.client("operator").call("tokenCreate", { body: { name: "t", role: "viewer" } });
		for (const path of [`/v1/tokens/${body.token.id}`, `/v1/sessions/${harness.accounts.operator.sessionId}`])
			expect(await statusOf(harness.request("DELETE", path, { as: "viewer" }))).toBe(404);
		expect(await statusOf(harness.request("GET", "/v1/sessions?all=true", { as: "operator" }))).toBe(403);
		const own = await harness.client("viewer").call("sessionList");
		expect(own.body.items.map((session) => session.userName)).toEqual(["viewer"]);
		const filtered = await harness
			.client("viewer")
			.call("tokenList", { query: { userId: [harness.accounts.operator.user.id] } });
		expect(filtered.body.items).toEqual([]);
	});

	test("a file of the node is an administrator's to import, and the refusal is recorded", async () => {
		const body = { name: "shadow", format: "raw", source: { kind: "path", path: "/var/tmp/disk.raw" } };
		expect(await statusOf(harness.request("POST", "/v1/images", { as: "operator", body }))).toBe(403);
		const [record] = harness.store.all("audit", { operation: "imageCreate" });
		expect(record).toMatchObject({ outcome: "denied", requester: { name: "operator" } });
		expect(await statusOf(harness.request("POST", "/v1/images", { as: "admin", body }))).toBe(201);
	});

	test("the right is checked again where the command applies", async () => {
		// The role goes between the request's check and its command.
		const path = { id: harness.accounts.operator.user.id };
		const propose = harness.store.proposer.propose.bind(harness.store.proposer);
		harness.store.proposer.propose = async (body, meta) => {
			harness.store.proposer.propose = propose;
			await harness.store.proposer.proposeSystem({ kind: "userUpdate", id: path.id, role: "viewer" });
			return propose(body, meta);
		};
		const response = await harness.request("POST", "/v1/vms", { as: "operator", body: { name: "late" } });
		expect([401, 403]).toContain(response.status);
		expect(harness.store.count("vm")).toBe(0);
	});

	test("one's own password needs the one before; a token has none to change", async () => {
		const change = (as: "viewer" | { secret: string }, body: object) =>
			harness.request("POST", "/v1/me/password", { as, body });
		const newPassword = "entirely different";
		for (const given of [{}, { currentPassword: "wrong" }, { currentPassword: "" }])
			expect(await statusOf(change("viewer", { ...given, newPassword }))).toBe(422);
		const same = (await (
			await change("viewer", { currentPassword: password, newPassword: password })
		).json()) as Problem;
		expect(same.errors).toMatchObject([{ path: "/newPassword" }]);
		const { body } = await harness.client("viewer").call("tokenCreate", { body: { name: "t", role: "viewer" } });
		expect(await statusOf(change({ secret: body.secret }, { currentPassword: password, newPassword }))).toBe(403);
	});

	test("guessing the present password is as slow as signing in", async () => {
		const guess = () =>
			statusOf(
				harness.request("POST", "/v1/me/password", {
					as: "viewer",
					body: { currentPassword: "wrong", newPassword: "entirely different" },
				}),
			);
		for (let attempt = 0; attempt < 6; attempt++) expect(await guess()).toBe(422);
		expect(await guess()).toBe(429);
	});

	test("the last administrator stays", async () => {
		const path = { id: harness.accounts.admin.user.id };
		const admin = harness.client("admin");
		for (const attempt of [
			() => admin.call("userDelete", { path }),
			() => admin.call("userUpdate", { path, body: { role: "viewer" } }),
			() => admin.call("userUpdate", { path, body: { enabled: false } }),
		])
			await expect(attempt()).rejects.toMatchObject({ code: "wrong-state" });
	});

	test("root on the socket makes tokens for the oldest administrator", async () => {
		const { body } = await harness.client("local").call("tokenCreate", { body: { name: "cli", role: "admin" } });
		expect(body.token.userId).toBe(harness.accounts.admin.user.id);
		expect((await harness.client("local").call("meGet")).body).toMatchObject({
			requester: { kind: "local", id: null },
			role: "admin",
			user: null,
		});
	});

	test("a secret in the query is no credential", async () => {
		const { secret } = harness.accounts.admin;
		for (const name of ["token", "access_token", "authorization"])
			expect(await statusOf(harness.request("GET", `/v1/vms?${name}=${secret}`))).toBe(401);
		expect(await statusOf(harness.request("GET", `/v1/vms/${fixtureId(1)}?token=${secret}`))).toBe(401);
	});

	test("Authorization in other forms is refused, not skipped", async () => {
		for (const authorization of [
			"Basic YWRtaW46eA==",
			"Bearer",
			"bearer  ",
			"Bearer a b",
			`Bearer ${"x".repeat(5000)}`,
		])
			expect(await statusOf(harness.request("GET", "/v1/vms", { headers: { authorization } }))).toBe(401);
	});
});
