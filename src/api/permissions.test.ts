/** Every operation × everybody who could ask: the answer is what the one table of permissions says. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Role, roles } from "../model/access.ts";
import { isAllowed, permissions } from "../model/permissions.ts";
import { type ApiHarness, createApiHarness, password } from "../testing/api/api-harness.ts";
import { fixtureId } from "../testing/fixtures.ts";
import { checkRoutes, routes } from "./routes.ts";

let harness: ApiHarness;
beforeAll(async () => {
	harness = await createApiHarness();
});
afterAll(() => harness.close());

const unknownPath = (path: string): string => path.replace(/\{\w+\}/g, fixtureId(0xdead));
/** Signing out is harmless to try, but would end the session that the next test needs. */
const endsOwnSession = "sessionDeleteCurrent";

describe("who may call what", () => {
	for (const route of routes)
		test(route.operationId, async () => {
			const path = unknownPath(route.path);
			const statusFor = async (as: Role | "nobody" | "local"): Promise<number> => {
				if (route.operationId === endsOwnSession && as !== "nobody" && as !== "local") {
					const { secret } = await harness.auth.signIn(as, password, {
						remoteAddress: null,
						userAgent: null,
					});
					return (await harness.request(route.method, path, { as: { secret } })).status;
				}
				const abort = new AbortController();
				const response = await harness.request(route.method, path, { as, signal: abort.signal });
				abort.abort();
				return response.status;
			};
			const nobody = await statusFor("nobody");
			if (permissions[route.operationId] === "public") expect([401, 403]).not.toContain(nobody);
			else expect(nobody).toBe(401);
			for (const role of roles) {
				const status = await statusFor(role);
				if (isAllowed(route.operationId, role)) expect([401, 403]).not.toContain(status);
				else expect(status).toBe(403);
			}
			expect([401, 403]).not.toContain(
				// Root on the socket has no session that it could end, and no password.
				route.operationId === "mePasswordChange" ? 0 : await statusFor("local"),
			);
		});
});

test("the public operations are those that the architecture names", () => {
	const open = routes.filter((route) => permissions[route.operationId] === "public");
	expect(open.map((route) => `${route.method} ${route.path}`).sort()).toEqual(["GET /healthz", "POST /v1/sessions"]);
});

test("a route without an entry in the table does not start, nor an entry without its route", () => {
	const { vmGet: _, ...less } = permissions;
	expect(() => checkRoutes(routes, less)).toThrow("the route vmGet is not in the table");
	expect(() => checkRoutes(routes, { ...permissions, vmExplode: "admin" })).toThrow("vmExplode, which is no route");
	expect(() => checkRoutes([...routes, ...routes.slice(0, 1)], permissions)).toThrow("defined twice");
});

test("a denial of somebody signed in is in the audit; one of a stranger is no write at all", async () => {
	const before = harness.store.appliedIndex;
	expect((await harness.request("GET", "/v1/users")).status).toBe(401);
	expect((await harness.request("GET", "/v1/users", { as: { secret: "lqs_nothing" } })).status).toBe(401);
	expect(harness.store.appliedIndex).toBe(before);
	// A session of its own: those above have had their share of records for this minute.
	const { secret } = await harness.auth.signIn("operator", password, { remoteAddress: null, userAgent: null });
	expect((await harness.request("GET", "/v1/users", { as: { secret } })).status).toBe(403);
	const { body } = await harness
		.client("admin")
		.call("auditList", { query: { outcome: ["denied"], operation: ["userList"] } });
	expect(body.items[0]).toMatchObject({
		requester: { kind: "user", name: "operator" },
		operation: "userList",
		remoteAddress: "192.0.2.1",
		errorCode: "forbidden",
	});
});

test("many denials at once are few writes", async () => {
	const { secret } = await harness.auth.signIn("viewer", password, { remoteAddress: null, userAgent: null });
	const before = harness.store.appliedIndex;
	const answers = await Promise.all(
		Array.from({ length: 64 }, () => harness.request("GET", "/v1/users", { as: { secret } })),
	);
	expect(answers.every(({ status }) => status === 403)).toBe(true);
	expect(harness.store.appliedIndex - before).toBe(10);
});
