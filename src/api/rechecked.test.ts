/**
 * What a request was checked for is checked again where its command applies: whatever may change in between, changes
 * here in between. (adversarial: permission checked at request time and gone when the command applies.)
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { CommandBody } from "../store/command.ts";
import { type ApiHarness, createApiHarness, password } from "../testing/api/api-harness.ts";

let harness: ApiHarness;
beforeEach(async () => {
	harness = await createApiHarness();
});
afterEach(() => harness.close());

/** Lets `change` happen after the next command was decided on and before it applies. */
function inBetween(change: CommandBody): void {
	const { proposer } = harness.store;
	const propose = proposer.propose.bind(proposer);
	proposer.propose = async (body, meta) => {
		proposer.propose = propose;
		await proposer.proposeSystem(change);
		return propose(body, meta);
	};
}

async function passwordReset(id: string): Promise<CommandBody> {
	const passwordHash = await harness.auth.hashPassword("given by somebody");
	return { kind: "userPasswordSet", id, passwordHash, mustChangePassword: true, endTokens: true };
}

describe("a password that is reset while it is verified", () => {
	test("signs nobody in", async () => {
		const { id } = harness.accounts.operator.user;
		inBetween(await passwordReset(id));
		const body = { username: "operator", password };
		const response = await harness.request("POST", "/v1/sessions", { body });
		expect(response.status).toBe(401);
		expect(harness.store.count("session", { userId: id })).toBe(0);
	});

	test("is not changed by who knew it before", async () => {
		inBetween(await passwordReset(harness.accounts.operator.user.id));
		const body = { currentPassword: password, newPassword: "entirely different" };
		expect((await harness.request("POST", "/v1/me/password", { as: "operator", body })).status).toBe(401);
		const now = harness.auth.signIn("operator", "given by somebody", { remoteAddress: null, userAgent: null });
		expect((await now).user.name).toBe("operator");
	});

	test("makes no token", async () => {
		inBetween(await passwordReset(harness.accounts.operator.user.id));
		const body = { name: "late", role: "viewer" };
		expect((await harness.request("POST", "/v1/tokens", { as: "operator", body })).status).toBe(401);
		expect(harness.store.count("token")).toBe(0);
	});
});

describe("an API token whose owner loses the role meanwhile", () => {
	const path = "/var/tmp/disk.raw";
	const image = { name: "shadow", format: "raw", source: { kind: "path", path } };
	let secret: string;
	let demotion: Extract<CommandBody, { kind: "userUpdate" }>;
	beforeEach(async () => {
		const { proposer } = harness.store;
		await proposer.proposeSystem({ kind: "userUpdate", id: harness.accounts.operator.user.id, role: "admin" });
		const as = harness.auth.signIn("operator", password, { remoteAddress: null, userAgent: null });
		const owner = harness.client({ secret: (await as).secret });
		({ secret } = (await owner.call("tokenCreate", { body: { name: "t", role: "admin" } })).body);
		demotion = { kind: "userUpdate", id: harness.accounts.operator.user.id, role: "operator" };
	});

	test("imports no file of the node, and the denial is recorded once", async () => {
		inBetween(demotion);
		const response = await harness.request("POST", "/v1/images", { as: { secret }, body: image });
		expect(response.status).toBe(403);
		expect(harness.store.count("image")).toBe(0);
		const denials = harness.store.all("audit", { operation: "imageCreate", outcome: "denied" });
		expect(denials).toMatchObject([{ requester: { kind: "token" }, errorCode: "forbidden" }]);
	});

	test("does not get the import by sending it again under its key", async () => {
		const headers = { "idempotency-key": "import-1" };
		inBetween(demotion);
		for (let attempt = 0; attempt < 2; attempt++)
			expect((await harness.request("POST", "/v1/images", { as: { secret }, body: image, headers })).status).toBe(403);
		expect(harness.store.count("image")).toBe(0);
	});

	test("ends nobody else's session and makes no token with more rights", async () => {
		inBetween(demotion);
		const { sessionId } = harness.accounts.viewer;
		expect((await harness.request("DELETE", `/v1/sessions/${sessionId}`, { as: { secret } })).status).toBe(404);
		expect(harness.store.get("session", sessionId)).not.toBeNull();
		await harness.store.proposer.proposeSystem({ ...demotion, role: "admin" });
		inBetween(demotion);
		const body = { name: "more", role: "admin" };
		expect((await harness.request("POST", "/v1/tokens", { as: { secret }, body })).status).toBe(403);
		expect(harness.store.count("token")).toBe(1);
	});
});

test("of two changes of a password at once, by one session, one is made", async () => {
	const change = (newPassword: string) =>
		harness
			.request("POST", "/v1/me/password", { as: "operator", body: { currentPassword: password, newPassword } })
			.then(({ status }) => status);
	const statuses = await Promise.all([change("the first of the two"), change("the second of the two")]);
	expect(statuses.sort()).toEqual([204, 422]);
});
