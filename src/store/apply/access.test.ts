/** Who may do what, checked where the command applies; users, sessions, tokens. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Role, Token } from "../../model/access.ts";
import {
	clusterIds,
	fixtureCluster,
	fixtureId,
	fixtureJoinToken,
	fixtureNode,
	fixtureSession,
	fixtureTask,
	fixtureToken,
	fixtureUser,
	fixtureVm,
} from "../../testing/fixtures.ts";
import { type MemoryStore, openMemoryStore } from "../../testing/memory-store.ts";
import type { Command, CommandBody } from "../command.ts";
import { maxSessionsOfUser } from "../limits.ts";
import { passwordFingerprint } from "../password-fingerprint.ts";

let store: MemoryStore;
let next = 1;
beforeEach(async () => {
	store = await openMemoryStore({ commands: [fixtureCluster()] });
	await signIn(clusterIds.admin, adminSession);
});
afterEach(() => store.close());

const adminSession = fixtureId(0x600);
const otherId = fixtureId(0x540);
const otherSession = fixtureId(0x601);
const freshId = () => fixtureId(0x30000000 + next++);
const secret = () => `sha256:${freshId()}`;
const system = (body: CommandBody) => store.proposer.proposeSystem(body);
const as = (userId: string, sessionId: string, operation: string, body: CommandBody, timeMs = Date.now()) =>
	store.propose({
		id: freshId(),
		timeMs,
		requester: { kind: "user", id: userId, name: "someone" },
		remoteAddress: "192.0.2.1",
		operation,
		idempotencyKey: null,
		credential: { kind: "session", id: sessionId },
		body,
	});
const signIn = (userId: string, id: string, expiresAt = "2126-01-01T00:00:00.000Z") =>
	system({ kind: "sessionCreate", session: fixtureSession({ id, userId, expiresAt }), secretHash: secret() });
const other = async (role: Role) => {
	const user = fixtureUser({ id: otherId, name: "other", role });
	await system({ kind: "userCreate", user, passwordHash: "$argon2id$other" });
	await signIn(otherId, otherSession);
};
const createVm = (): CommandBody => {
	const vm = fixtureVm({ id: freshId(), name: `vm-${next}` });
	return {
		kind: "vmCreate",
		vm,
		volumes: [],
		task: fixtureTask("vm.create", { kind: "vm", id: vm.id }, { id: freshId() }),
	};
};
const fails = (promise: Promise<unknown>, code: string) => expect(promise).rejects.toMatchObject({ code });

describe("the permission check at apply", () => {
	test("lets a role do what the table says, and records it", async () => {
		await other("operator");
		const { taskId } = await as(otherId, otherSession, "vmCreate", createVm());
		expect(store.get("task", taskId ?? "")?.requester).toEqual({ kind: "user", id: otherId, name: "someone" });
		expect(store.list("audit", { limit: 1 }).items[0]).toMatchObject({
			operation: "vmCreate",
			outcome: "accepted",
			requester: { id: otherId },
			remoteAddress: "192.0.2.1",
			targets: [{ kind: "vm" }],
		});
	});

	test("refuses a role that does not suffice, and a session that ended with a change of role", async () => {
		await other("operator");
		await system({ kind: "userUpdate", id: otherId, role: "viewer" });
		await fails(as(otherId, otherSession, "vmCreate", createVm()), "unauthenticated");
		await signIn(otherId, otherSession);
		await fails(as(otherId, otherSession, "vmCreate", createVm()), "forbidden");
		expect(store.list("audit", { limit: 1 }).items[0]).toMatchObject({ outcome: "denied", errorCode: "forbidden" });
	});

	test("refuses a session that ended, expired, or belongs to somebody else", async () => {
		await other("operator");
		await fails(as(otherId, adminSession, "vmCreate", createVm()), "unauthenticated");
		await fails(as(otherId, freshId(), "vmCreate", createVm()), "unauthenticated");
		await fails(as(otherId, otherSession, "vmCreate", createVm(), Date.UTC(2127, 0)), "unauthenticated");
		await system({ kind: "sessionDelete", id: otherSession });
		await fails(as(otherId, otherSession, "vmCreate", createVm()), "unauthenticated");
	});

	test("refuses a disabled user, whose sessions end", async () => {
		await other("operator");
		await system({ kind: "userUpdate", id: otherId, enabled: false });
		expect(store.get("session", otherSession)).toBeNull();
		await fails(as(otherId, otherSession, "vmCreate", createVm()), "unauthenticated");
		await fails(signIn(otherId, freshId()), "unauthenticated");
	});

	test("refuses an operation that does not exist, and one that carries another's command", async () => {
		await other("viewer");
		await fails(as(otherId, otherSession, "toString", createVm()), "forbidden");
		await fails(as(otherId, otherSession, "meGet", createVm()), "forbidden");
		const user = fixtureUser({ id: freshId(), name: "mallory" });
		await fails(as(otherId, otherSession, "meGet", { kind: "userCreate", user, passwordHash: "$x" }), "forbidden");
		await fails(
			as(clusterIds.admin, adminSession, "userUpdate", { kind: "vmGone", id: "x", nodeId: "x" }),
			"forbidden",
		);
	});

	test("who joins and who goes is for administrators, the rest of a cluster for itself, and moving VMs for operators", async () => {
		await other("operator");
		const node = fixtureNode({ id: fixtureId(0x998), name: "node-2" });
		const tokenId = fixtureId(0x780);
		const admit: CommandBody = {
			...{ kind: "nodeAdmit", tokenId, secretHash: secret(), keyFingerprint: "a".repeat(64), node },
		};
		const token = fixtureJoinToken({ expiresAt: new Date(Date.now() + 60_000).toISOString() });
		const create: CommandBody = { kind: "joinTokenCreate", token, secretHash: secret() };
		const remove: CommandBody = { kind: "nodeRemove", id: node.id, leaving: false, confirmName: "node-2" };
		await fails(as(otherId, otherSession, "joinTokenCreate", create), "forbidden");
		await fails(as(otherId, otherSession, "nodeRemove", remove), "forbidden");
		const systems: CommandBody[] = [
			admit,
			{ kind: "authoritySet", certificatePem: "-----BEGIN A", keyPem: "-----BEGIN B" },
			{ kind: "nodeLost", id: clusterIds.node, reason: "?" },
			{ kind: "nodeGone", id: clusterIds.node },
			{ kind: "nodeAddresses", id: clusterIds.node, peerAddresses: [] },
		];
		for (const body of systems) await fails(as(clusterIds.admin, adminSession, "nodeRemove", body), "forbidden");
		await as(clusterIds.admin, adminSession, "joinTokenCreate", create);
		await fails(as(clusterIds.admin, adminSession, "nodeRemove", remove), "not-found");
		const task = fixtureTask("vm.move", { kind: "vm", id: freshId() }, { id: freshId() });
		const move: CommandBody = { kind: "vmMove", id: freshId(), nodeId: node.id, task, confirmNodeOff: null };
		await fails(as(otherId, otherSession, "vmMove", move), "not-found");
		await fails(as(otherId, otherSession, "vmMove", { ...systems[3], kind: "nodeGone" } as never), "forbidden");
	});

	test("a token has the lower of its role and its user's", async () => {
		await other("admin");
		const token = fixtureToken({ userId: otherId, role: "operator" });
		await system({ kind: "tokenCreate", token, secretHash: secret() });
		const withToken = (operation: string, body: CommandBody): Promise<unknown> =>
			store.propose({ ...command(operation, body), credential: { kind: "token", id: token.id } });
		const command = (operation: string, body: CommandBody): Command => ({
			id: freshId(),
			timeMs: Date.now(),
			requester: { kind: "token", id: token.id, name: "automation" },
			remoteAddress: null,
			operation,
			idempotencyKey: null,
			credential: null,
			body,
		});
		await withToken("vmCreate", createVm());
		await fails(withToken("userDelete", { kind: "userDelete", id: clusterIds.admin }), "forbidden");
		await system({ kind: "userUpdate", id: otherId, role: "viewer" });
		await fails(withToken("vmCreate", createVm()), "forbidden");
	});

	test("a user without a credential can only sign in", async () => {
		const session = fixtureSession({ id: freshId() });
		const anonymous = (operation: string, body: CommandBody) =>
			store.propose({
				id: freshId(),
				timeMs: Date.now(),
				requester: { kind: "user", id: clusterIds.admin, name: "admin" },
				remoteAddress: null,
				operation,
				idempotencyKey: null,
				credential: null,
				body,
			});
		const signedIn: CommandBody = {
			...{ kind: "sessionCreate", session, secretHash: secret() },
			verifiedHash: passwordFingerprint("$argon2id$test"),
		};
		const { verifiedHash: _, ...unverified } = signedIn;
		await fails(anonymous("sessionCreate", unverified), "unauthenticated");
		await anonymous("sessionCreate", signedIn);
		await fails(anonymous("vmCreate", createVm()), "unauthenticated");
		await fails(anonymous("sessionCreate", createVm()), "unauthenticated");
	});

	test("the system leaves no audit record", async () => {
		const before = store.count("audit");
		await system(createVm());
		expect(store.count("audit")).toBe(before);
	});
});

describe("users", () => {
	test("the last enabled administrator stays", async () => {
		const id = clusterIds.admin;
		await fails(system({ kind: "userDelete", id }), "wrong-state");
		await fails(system({ kind: "userUpdate", id, role: "operator" }), "wrong-state");
		await fails(system({ kind: "userUpdate", id, enabled: false }), "wrong-state");
		await other("admin");
		await system({ kind: "userUpdate", id: otherId, enabled: false });
		await fails(system({ kind: "userDelete", id }), "wrong-state");
		await system({ kind: "userUpdate", id: otherId, enabled: true });
		await system({ kind: "userDelete", id });
		expect(store.userByName("admin")).toBeNull();
		expect(store.get("session", adminSession)).toBeNull();
	});

	test("a new password ends the sessions but the one that is kept", async () => {
		const second = freshId();
		await signIn(clusterIds.admin, second);
		await as(clusterIds.admin, adminSession, "mePasswordChange", {
			kind: "userPasswordSet",
			id: clusterIds.admin,
			passwordHash: "$argon2id$new",
			mustChangePassword: false,
			keepSessionId: adminSession,
			verifiedHash: passwordFingerprint("$argon2id$test"),
		});
		expect(store.userSecret(clusterIds.admin)).toEqual({ passwordHash: "$argon2id$new" });
		expect([store.get("session", second), store.get("session", adminSession)?.id]).toEqual([null, adminSession]);
	});

	test("a password that was verified against a hash that is gone signs nobody in and changes nothing", async () => {
		const [before, now] = ["$argon2id$test", "$argon2id$second"].map(passwordFingerprint);
		const reset = { kind: "userPasswordSet", id: clusterIds.admin, mustChangePassword: true } as const;
		await system({ ...reset, passwordHash: "$argon2id$second" });
		const attempt = (id: string, verifiedHash?: string) =>
			store.propose({
				...{ id: freshId(), timeMs: Date.now(), operation: "sessionCreate", remoteAddress: null },
				...{ requester: { kind: "user", id: clusterIds.admin, name: "admin" }, idempotencyKey: null, credential: null },
				body: {
					...{ kind: "sessionCreate", session: fixtureSession({ id }), secretHash: secret() },
					...(verifiedHash === undefined ? {} : { verifiedHash }),
				},
			});
		for (const old of [before, undefined]) await fails(attempt(freshId(), old), "unauthenticated");
		expect(store.count("session")).toBe(0);
		await attempt(adminSession, now);
		const change = (verifiedHash?: string) =>
			as(clusterIds.admin, adminSession, "mePasswordChange", {
				...{
					kind: "userPasswordSet",
					id: clusterIds.admin,
					passwordHash: "$argon2id$third",
					mustChangePassword: false,
				},
				...{ keepSessionId: adminSession, ...(verifiedHash === undefined ? {} : { verifiedHash }) },
			});
		for (const old of [before, undefined]) await fails(change(old), "invalid");
		await change(now);
		await fails(change(now), "invalid");
		expect(store.userSecret(clusterIds.admin)).toEqual({ passwordHash: "$argon2id$third" });
	});

	test("no session but the one that changes the password is kept", async () => {
		const second = freshId();
		await signIn(clusterIds.admin, second);
		await as(clusterIds.admin, adminSession, "userPasswordReset", {
			...{ kind: "userPasswordSet", id: clusterIds.admin, passwordHash: "$argon2id$new" },
			...{ mustChangePassword: false, keepSessionId: second },
		});
		expect([store.get("session", second), store.get("session", adminSession)]).toEqual([null, null]);
	});

	test("a new password ends API tokens when that is asked for, and only the user's own", async () => {
		const tokens = [fixtureToken({ id: freshId() }), fixtureToken({ id: freshId(), name: "other" })];
		await other("operator");
		const [mine, others] = [
			{ ...tokens[0], userId: clusterIds.admin },
			{ ...tokens[1], userId: otherId },
		] as [Token, Token];
		for (const token of [mine, others]) await system({ kind: "tokenCreate", token, secretHash: secret() });
		const set = (endTokens?: boolean) =>
			as(clusterIds.admin, adminSession, "userPasswordReset", {
				...{ kind: "userPasswordSet", id: clusterIds.admin, passwordHash: "$argon2id$new" },
				...{
					mustChangePassword: false,
					keepSessionId: adminSession,
					...(endTokens === undefined ? {} : { endTokens }),
				},
			});
		await set();
		await set(false);
		expect(store.get("token", mine.id)).not.toBeNull();
		await set(true);
		expect(store.get("token", mine.id)).toBeNull();
		expect(store.get("token", others.id)).not.toBeNull();
	});

	test("nobody but an administrator sets the password of somebody else", async () => {
		await other("operator");
		const body: CommandBody = {
			kind: "userPasswordSet",
			id: clusterIds.admin,
			passwordHash: "$argon2id$stolen",
			mustChangePassword: false,
		};
		await fails(as(otherId, otherSession, "mePasswordChange", body), "forbidden");
		await fails(as(otherId, otherSession, "userPasswordReset", body), "forbidden");
		expect(store.userSecret(clusterIds.admin)).toEqual({ passwordHash: "$argon2id$test" });
	});

	test("a password is never kept as it is", async () => {
		const user = fixtureUser({ id: freshId(), name: "x" });
		await fails(system({ kind: "userCreate", user, passwordHash: "correct horse" }), "invalid");
	});
});

describe("sessions and tokens", () => {
	test("others' do not exist for those who are no administrators", async () => {
		await other("operator");
		await fails(as(otherId, otherSession, "sessionDelete", { kind: "sessionDelete", id: adminSession }), "not-found");
		await as(clusterIds.admin, adminSession, "sessionDelete", { kind: "sessionDelete", id: otherSession });
		expect(store.get("session", otherSession)).toBeNull();
	});

	test("a token cannot have more rights than its user or its maker", async () => {
		await other("operator");
		const create = (role: Role, userId: string): CommandBody => ({
			kind: "tokenCreate",
			token: fixtureToken({ id: freshId(), role, userId }),
			secretHash: secret(),
		});
		await fails(as(otherId, otherSession, "tokenCreate", create("admin", otherId)), "forbidden");
		await fails(as(otherId, otherSession, "tokenCreate", create("viewer", clusterIds.admin)), "forbidden");
		await fails(as(clusterIds.admin, adminSession, "tokenCreate", create("admin", otherId)), "forbidden");
		await as(otherId, otherSession, "tokenCreate", create("operator", otherId));
	});

	test("a token ends nothing that can do more than it, and makes none that outlives it", async () => {
		const expiresAt = "2100-01-01T00:00:00.000Z";
		const made = (role: Role, changes: Partial<Token> = {}) => ({
			kind: "tokenCreate" as const,
			token: fixtureToken({ id: freshId(), role, userId: clusterIds.admin, ...changes }),
			secretHash: secret(),
		});
		const [admin, viewer, asker] = [made("admin"), made("viewer"), made("viewer", { expiresAt })];
		for (const body of [admin, viewer, asker]) await system(body);
		const ask = (operation: string, body: CommandBody) =>
			store.propose({
				...{ id: freshId(), timeMs: Date.now(), operation, remoteAddress: null, idempotencyKey: null, body },
				requester: { kind: "token", id: asker.token.id, name: "automation" },
				credential: { kind: "token", id: asker.token.id },
			});
		await fails(ask("tokenDelete", { kind: "tokenDelete", id: admin.token.id }), "forbidden");
		await fails(ask("sessionDelete", { kind: "sessionDelete", id: adminSession }), "forbidden");
		await fails(ask("tokenCreate", made("viewer")), "invalid");
		await fails(ask("tokenCreate", made("viewer", { expiresAt: "2100-01-01T00:00:01Z" })), "invalid");
		await ask("tokenCreate", made("viewer", { expiresAt }));
		const own = {
			kind: "userPasswordSet",
			id: clusterIds.admin,
			passwordHash: "$new",
			mustChangePassword: false,
		} as const;
		const verifiedHash = passwordFingerprint("$argon2id$test");
		await fails(ask("mePasswordChange", { ...own, verifiedHash }), "forbidden");
		await ask("tokenDelete", { kind: "tokenDelete", id: viewer.token.id });
		await ask("tokenDelete", { kind: "tokenDelete", id: asker.token.id });
		expect(store.get("token", admin.token.id)).not.toBeNull();
	});

	test("the oldest session ends when a user has too many", async () => {
		for (let made = 1; made <= maxSessionsOfUser; made++) await signIn(clusterIds.admin, freshId());
		expect(store.count("session", { userId: clusterIds.admin })).toBe(maxSessionsOfUser);
		expect(store.get("session", adminSession)).toBeNull();
	});

	test("are found by the hash of their secret, which no event and no list shows", async () => {
		const hash = secret();
		const id = freshId();
		await system({ kind: "sessionCreate", session: fixtureSession({ id }), secretHash: hash });
		expect(store.sessionBySecretHash(hash)).toMatchObject({ session: { id }, user: { name: "admin" } });
		expect(store.sessionBySecretHash("sha256:nothing")).toBeNull();
		const shown = JSON.stringify([store.eventsAfter("0.0", 1000), store.all("session"), store.all("user")]);
		expect(shown).not.toContain(hash);
		expect(shown).not.toContain("argon2id");
	});
});
