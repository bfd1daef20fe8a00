/** The end of sessions while the cluster takes no writes: at once on this node, and in the state when it is heard again. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { full, refusalError, removed, unknownOutcome } from "../store/raft/refusals.ts";
import type { Store } from "../store/store.ts";
import { type ApiHarness, createApiHarness, origin, password } from "../testing/api/api-harness.ts";
import { loseQuorum } from "../testing/api/lose-quorum.ts";
import { waitUntil } from "../testing/lab/wait-until.ts";
import { ManualClock } from "../testing/manual-clock.ts";

let api: ApiHarness;
let clock: ManualClock;
let back: () => void;
let recorded: number;

beforeEach(async () => {
	clock = new ManualClock(Date.UTC(2026, 0, 2));
	api = await createApiHarness({ clock });
	recorded = api.store.count("session");
	back = loseQuorum(api.store);
});
afterEach(() => api.close());

async function signIn(): Promise<string> {
	const body = { username: "operator", password };
	const answer = await api.request("POST", "/v1/sessions", { as: "nobody", body });
	expect(answer.status).toBe(201);
	return ((await answer.json()) as { token: string }).token;
}
const signOut = (secret: string) => api.request("DELETE", "/v1/sessions/current", { as: { secret } });
const me = async (secret: string) => (await api.request("GET", "/v1/me", { as: { secret } })).status;
const sessions = () => api.store.count("session");

/** What the session has open: an event stream, and something as a console or a ticket. */
async function open(secret: string) {
	const identity = api.auth.authenticate({ secret, via: "bearer" }, null);
	const { promise: consoleEnded, resolve } = Promise.withResolvers<void>();
	api.auth.watchCredential(identity, resolve);
	const events = (await api.request("GET", "/v1/events", { as: { secret } })).body?.getReader();
	await events?.read();
	const eventsEnded = (async () => {
		while (!(await events?.read())?.done);
	})();
	return { ended: Promise.all([consoleEnded, eventsEnded]) };
}

/** The command is carried out, and whoever proposed it is not told so. */
const answersNothing = (propose: Store["propose"]): Store["propose"] =>
	async function (this: Store, command) {
		await propose.call(this, command);
		throw unknownOutcome("The cluster has no quorum.");
	};

describe("a session that only this node knows", () => {
	test("ends with what it opened when one signs out", async () => {
		const secret = await signIn();
		const { ended } = await open(secret);
		expect((await signOut(secret)).status).toBe(204);
		await ended;
		expect([await me(secret), api.auth.figures().watched]).toEqual([401, 0]);
	});

	test("ends with what it opened as soon as this node hears of another password", async () => {
		const secret = await signIn();
		const { ended } = await open(secret);
		back();
		const newPassword = "another long password";
		const { id } = api.accounts.operator.user;
		await api.client("admin").call("userPasswordReset", { path: { id }, body: { newPassword } });
		await ended;
		expect(await me(secret)).toBe(401);
	});

	test("ends with what it opened when others take its place", async () => {
		const secret = await signIn();
		const { ended } = await open(secret);
		for (let others = 0; others < 256; others++) await signIn();
		await ended;
		expect(await me(secret)).toBe(401);
	}, 20_000);

	test("ends with what it opened when it is refused", async () => {
		const secret = await signIn();
		const { ended } = await open(secret);
		back();
		const { propose } = api.store;
		api.store.propose = function (command) {
			const body = { ...command.body, ...(command.body.kind === "sessionCreate" ? { verifiedHash: "other" } : {}) };
			return propose.call(this, { ...command, body });
		};
		clock.advance(2_000);
		await ended;
		expect(await me(secret)).toBe(401);
	});

	test("is not ended by a refusal that is over in a moment: a full disk, too many changes", async () => {
		const secret = await signIn();
		back();
		const { propose } = api.store;
		const refusals = [full(), refusalError({ refused: "busy", leader: null })];
		let attempts = 0;
		api.store.propose = function (command) {
			attempts += 1;
			const refusal = refusals.shift();
			return refusal ? Promise.reject(refusal) : propose.call(this, command);
		};
		await waitUntil("the session to be written down", 4_000, async () => {
			clock.advance(2_000);
			expect(await me(secret)).toBe(200);
			return sessions() === recorded + 1;
		});
		expect(attempts).toBe(3);
	});

	test("that is just being written down ends in the state, too", async () => {
		const secret = await signIn();
		back();
		const { propose } = api.store;
		const [begun, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
		api.store.propose = async function (command) {
			if (command.body.kind === "sessionCreate") {
				begun.resolve();
				await gate.promise;
			}
			return propose.call(this, command);
		};
		clock.advance(2_000);
		await begun.promise;
		expect((await signOut(secret)).status).toBe(204);
		clock.advance(2_000);
		gate.resolve();
		await waitUntil("the session to be written down", 10_000, () => sessions() === recorded + 1);
		expect(await me(secret)).toBe(401);
		clock.advance(2_000);
		await waitUntil("the session to end", 10_000, () => sessions() === recorded);
	});

	test("that was written down without anybody being told so ends in the state, too", async () => {
		const { propose } = api.store;
		back();
		const { propose: real } = api.store;
		back = loseQuorum(api.store);
		api.store.propose = answersNothing(real);
		const secret = await signIn();
		expect(sessions()).toBe(recorded + 1);
		const { ended } = await open(secret);
		api.store.propose = propose;
		expect((await signOut(secret)).status).toBe(204);
		await ended;
		expect(await me(secret)).toBe(401);
		back();
		clock.advance(2_000);
		await waitUntil("the session to end", 10_000, () => sessions() === recorded);
	});
});

describe("a session that the cluster knows", () => {
	const signedOut = async (secret: string) => {
		const answer = await api.request("DELETE", "/v1/sessions/current", {
			as: { cookie: `lqx_session=${secret}` },
			headers: { origin, "x-lqx-csrf": "1" },
		});
		return [answer.status, answer.headers.get("set-cookie")?.startsWith("lqx_session=; Path=/; Max-Age=0")];
	};

	test("ends on this node with what it opened, and in the state when there is a quorum again", async () => {
		const { secret, sessionId, user } = api.accounts.operator;
		const { ended } = await open(secret);
		expect(await signedOut(secret)).toEqual([204, true]);
		await ended;
		expect([await me(secret), api.auth.figures().watched]).toEqual([401, 0]);
		clock.advance(10_000);
		expect(await me(api.accounts.admin.secret)).toBe(200);
		expect(api.store.get("session", sessionId)).not.toBeNull();
		back();
		clock.advance(2_000);
		await waitUntil("the session to end", 10_000, () => api.store.get("session", sessionId) === null);
		const records = api.store.all("audit").filter(({ operation }) => operation === "sessionDeleteCurrent");
		expect(records).toMatchObject([
			{ requester: { kind: "user", id: user.id }, remoteAddress: "192.0.2.1", outcome: "accepted" },
		]);
	});

	test("ends by its id as well; those of others do not, nor anything that is refused for another reason", async () => {
		const { admin, operator } = api.accounts;
		const end = async (as: "admin" | "operator", id: string) =>
			(await api.request("DELETE", `/v1/sessions/${id}`, { as })).status;
		expect(await end("admin", operator.sessionId)).toBe(503);
		expect(await me(operator.secret)).toBe(200);
		expect(await end("operator", operator.sessionId)).toBe(204);
		expect(await me(operator.secret)).toBe(401);
		back();
		api.store.propose = () => Promise.reject(unknownOutcome("The leader changed."));
		expect((await signOut(admin.secret)).status).toBe(503);
		expect(await me(admin.secret)).toBe(200);
	});

	test("ends on a node that was removed", async () => {
		api.store.propose = () => Promise.reject(removed());
		expect(await signedOut(api.accounts.viewer.secret)).toEqual([204, true]);
		expect(await me(api.accounts.viewer.secret)).toBe(401);
	});
});
