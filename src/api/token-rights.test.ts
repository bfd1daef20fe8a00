/** What an API token may do to the credentials of its owner: nothing that it could not do anyway. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Role } from "../model/access.ts";
import type { Problem } from "../model/api.ts";
import { maxTokensOfUser } from "../store/limits.ts";
import { type ApiHarness, createApiHarness, password, type Sender } from "../testing/api/api-harness.ts";
import { fixtureToken } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";

let harness: ApiHarness;
let clock: ManualClock;
beforeEach(async () => {
	clock = new ManualClock();
	harness = await createApiHarness({ clock });
});
afterEach(() => harness.close());

const statusOf = async (response: Promise<Response>) => (await response).status;
async function token(owner: Role, role: Role) {
	const { body } = await harness
		.client(owner)
		.call("tokenCreate", { body: { name: `of ${harness.ids.newId().slice(-12)}`, role } });
	return { id: body.token.id, secret: body.secret };
}
const deleteToken = (as: Sender, id: string, headers = {}) =>
	statusOf(harness.request("DELETE", `/v1/tokens/${id}`, { as, headers }));
const endSession = (as: Sender, id: string) => statusOf(harness.request("DELETE", `/v1/sessions/${id}`, { as }));
const denials = (operation: string) =>
	harness.store
		.all("audit", { operation, outcome: "denied" })
		.map(({ targets, errorCode }) => ({ targets, errorCode }));

describe("a token", () => {
	test("deletes itself and tokens with no more rights, not those with more", async () => {
		const [admin, operator, viewer, other] = [
			await token("admin", "admin"),
			await token("admin", "operator"),
			await token("admin", "viewer"),
			await token("admin", "viewer"),
		];
		for (const { id } of [admin, operator]) expect(await deleteToken(viewer, id)).toBe(403);
		expect(await deleteToken(operator, admin.id)).toBe(403);
		expect(denials("tokenDelete")).toHaveLength(3);
		expect(await deleteToken(viewer, other.id)).toBe(204);
		expect(await deleteToken(operator, viewer.id)).toBe(204);
		expect(await deleteToken(operator, operator.id)).toBe(204);
		expect(harness.store.all("token").map(({ id }) => id)).toEqual([admin.id]);
	});

	test("deletes itself also when it says more than its owner may by now", async () => {
		const { id, secret } = await token("operator", "operator");
		const update = { kind: "userUpdate", id: harness.accounts.operator.user.id, role: "viewer" } as const;
		await harness.store.proposer.proposeSystem(update);
		expect(await deleteToken({ secret }, id)).toBe(204);
	});

	test("ends its owner's sessions only with all of the owner's rights", async () => {
		const { sessionId } = harness.accounts.operator;
		expect(await endSession(await token("operator", "viewer"), sessionId)).toBe(403);
		expect(harness.store.get("session", sessionId)).not.toBeNull();
		const made = await token("operator", "operator");
		expect(await endSession(made, sessionId)).toBe(204);
		const { session } = await harness.auth.signIn("admin", password, { remoteAddress: null, userAgent: null });
		expect(await endSession(await token("admin", "operator"), session.id)).toBe(403);
		expect(await endSession(await token("admin", "admin"), session.id)).toBe(204);
	});

	test("of an administrator has no rights of one when its role is less", async () => {
		const as = await token("admin", "operator");
		const { id } = harness.accounts.admin.user;
		const newPassword = "entirely different";
		for (const [method, path, body] of [
			["POST", "/v1/tokens", { name: "more", role: "admin" }],
			["POST", "/v1/me/password", { currentPassword: password, newPassword }],
			["POST", `/v1/users/${id}/actions/reset-password`, { newPassword }],
			["PATCH", `/v1/users/${id}`, { displayName: "x" }],
			["GET", "/v1/tokens?all=true", undefined],
			["GET", "/v1/sessions?all=true", undefined],
			["GET", "/v1/users", undefined],
			["POST", "/v1/images", { name: "i", format: "raw", source: { kind: "path", path: "/var/tmp/a.raw" } }],
		] as const)
			expect(await statusOf(harness.request(method, path, { as, ...(body ? { body } : {}) }))).toBe(403);
		const { operator } = harness.accounts;
		expect(await endSession(as, operator.sessionId)).toBe(404);
		expect(await deleteToken(as, (await token("operator", "viewer")).id)).toBe(404);
	});

	test("of an administrator still does what its role may: the demo's image is the node's, not a file of choice", async () => {
		harness.node.demoImage = "/usr/share/limiquantix/demo.qcow2";
		const as = await token("admin", "operator");
		const { proposer } = harness.store;
		// Plays the node: the import begins and fails.
		const stop = harness.store.subscribe((events) => {
			const task = events.find(({ target, type }) => target.kind === "task" && type === "created")?.target;
			if (!task) return;
			void (async () => {
				const error = { code: "storage", message: "broken" } as const;
				await proposer.proposeSystem({ kind: "taskUpdate", id: task.id, state: "running" });
				await proposer.proposeSystem({ kind: "taskUpdate", id: task.id, state: "failed", error });
			})();
		});
		expect(await statusOf(harness.request("POST", "/v1/vms/actions/create-demo", { as }))).toBe(504);
		stop();
		const [image] = harness.store.all("image");
		expect(image?.source).toEqual({ kind: "path", path: "/usr/share/limiquantix/demo.qcow2" });
	});
});

describe("what is somebody else's", () => {
	test("is not there to the one who asks, and a denial to the audit", async () => {
		const { id } = await token("operator", "viewer");
		const { sessionId } = harness.accounts.operator;
		const unknown = harness.ids.newId();
		for (const [noun, mine, operation] of [
			["token", id, "tokenDelete"],
			["session", sessionId, "sessionDelete"],
		] as const) {
			const answers = [];
			for (const asked of [mine, unknown]) {
				const response = await harness.request("DELETE", `/v1/${noun}s/${asked}`, { as: "viewer" });
				const { detail } = (await response.json()) as Problem;
				answers.push([response.status, detail?.replace(asked, "ID")]);
			}
			expect(answers[0]).toEqual([404, `There is no ${noun} with the id ID.`]);
			expect(answers[1]).toEqual(answers[0]);
			expect(denials(operation)).toEqual([{ targets: [{ kind: noun, id: mine, name: null }], errorCode: "forbidden" }]);
		}
	});

	test("does not show by its generation either", async () => {
		const { id } = await token("operator", "viewer");
		expect(await deleteToken("viewer", id, { "if-match": '"7"' })).toBe(404);
		expect(await deleteToken("operator", id, { "if-match": '"7"' })).toBe(412);
	});
});

describe("the number of tokens", () => {
	const fill = async (expiresAt: string | null) => {
		const { user } = harness.accounts.operator;
		for (let made = 0; made < maxTokensOfUser; made++) {
			const given = fixtureToken({
				id: harness.ids.newId(),
				name: `t${made}`,
				userId: user.id,
				role: "viewer",
				expiresAt,
			});
			const secretHash = `sha256:${harness.ids.newId()}`;
			await harness.store.proposer.proposeSystem({ kind: "tokenCreate", token: given, secretHash });
		}
	};
	const one = (as: Sender) => harness.request("POST", "/v1/tokens", { as, body: { name: "one more", role: "viewer" } });

	test("has a limit for each user, which says what to do", async () => {
		await fill(null);
		const refused = await one("operator");
		expect(refused.status).toBe(409);
		expect(((await refused.json()) as Problem).detail).toContain("has 100 API tokens already");
		expect(await statusOf(one("viewer"))).toBe(201);
		await deleteToken("operator", harness.store.all("token", { name: "t0" })[0]?.id ?? "");
		expect(await statusOf(one("operator"))).toBe(201);
	});

	test("does not count those that are over", async () => {
		await fill(new Date(clock.nowMs() + 60_000).toISOString());
		expect(await statusOf(one("operator"))).toBe(409);
		clock.advance(60_000);
		expect(await statusOf(one("operator"))).toBe(201);
		expect(harness.store.all("token").map(({ name }) => name)).toEqual(["one more"]);
	});
});
