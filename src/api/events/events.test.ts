import { afterEach, beforeEach, describe, expect, spyOn, test } from "bun:test";
import type { Event } from "../../model/event.ts";
import { type ApiHarness, createApiHarness, password, type Sender } from "../../testing/api/api-harness.ts";
import { EventReader, type SentEvent } from "../../testing/api/event-reader.ts";
import { fixtureId } from "../../testing/fixtures.ts";
import { ManualClock } from "../../testing/manual-clock.ts";
import { heartbeatMs } from "./hub.ts";

let harness: ApiHarness;
let clock: ManualClock;
let readers: EventReader[];
beforeEach(async () => {
	clock = new ManualClock();
	harness = await createApiHarness({ clock });
	readers = [];
});
afterEach(async () => {
	for (const reader of readers) reader.close();
	await harness.close();
});

async function open(as: Sender, options: { after?: string; lastEventId?: string } = {}): Promise<EventReader> {
	const response = await harness.request("GET", `/v1/events${options.after ? `?after=${options.after}` : ""}`, {
		as,
		headers: options.lastEventId ? { "last-event-id": options.lastEventId } : {},
	});
	expect(response.status).toBe(200);
	expect(response.headers.get("content-type")).toBe("text/event-stream");
	const reader = new EventReader(response);
	readers.push(reader);
	return reader;
}

const parsed = (sent: SentEvent | null): Event => JSON.parse(sent?.data ?? "null") as Event;
const rename = (name: string) => harness.client("admin").call("clusterUpdate", { body: { name } });
const isRename = (name: string) => (sent: SentEvent) =>
	sent.event === "change" && (parsed(sent).object as { name?: string } | null)?.name === name;
const kinds = (events: SentEvent[]) => events.map((sent) => `${parsed(sent).target.kind} ${parsed(sent).type}`);

describe("a stream", () => {
	test("says where it starts, then what changes, in order", async () => {
		const reader = await open("viewer");
		const ready = await reader.next();
		expect(ready).toEqual({ id: harness.store.lastEventId(), event: "ready", data: "{}" });
		await harness.client("operator").call("vmCreate", { body: { name: "a" } });
		await rename("end");
		const events = await reader.until(isRename("end"));
		expect(kinds(events)).toContain("vm created");
		expect(kinds(events)).toContain("task created");
		const ids = events.map((sent) => (sent.id ?? "").split(".").map(Number));
		expect(ids).toEqual([...ids].sort((a, b) => (a[0] ?? 0) - (b[0] ?? 0) || (a[1] ?? 0) - (b[1] ?? 0)));
		expect(events.every((sent) => sent.id === parsed(sent).id)).toBe(true);
	});

	test("goes on behind the id that it is given, with nothing lost and nothing twice", async () => {
		const first = await open("viewer");
		await first.next();
		await rename("one");
		const [seen] = await first.until(isRename("one"));
		first.close();
		for (const name of ["two", "three", "four"]) await rename(name);
		const resumed = await open("viewer", { lastEventId: seen?.id ?? "" });
		expect(await resumed.next()).toMatchObject({ event: "ready", id: seen?.id });
		await rename("five");
		const names = (await resumed.until(isRename("five"))).map((sent) => (parsed(sent).object as { name: string }).name);
		expect(names).toEqual(["two", "three", "four", "five"]);
		const other = await open("viewer", { after: seen?.id ?? "" });
		await other.next();
		expect(await other.until(isRename("five"))).toHaveLength(4);
	});

	test("says when that id is too old, and goes on from now", async () => {
		const eventsAfter = spyOn(harness.store, "eventsAfter").mockImplementation(() => null);
		const reader = await open("viewer", { lastEventId: "1.0" });
		eventsAfter.mockRestore();
		expect(await reader.next()).toMatchObject({ event: "reset", id: harness.store.lastEventId() });
		expect(await reader.next()).toMatchObject({ event: "ready" });
		await rename("now");
		expect(await reader.until(isRename("now"))).toHaveLength(1);
	});

	test("refuses an id that is none", async () => {
		for (const id of ["x", "1", "1.", "-1.0", "1.0;drop"]) {
			const response = await harness.request("GET", "/v1/events", { as: "viewer", headers: { "last-event-id": id } });
			expect(response.status).toBe(422);
		}
	});

	test("lives on comments when nothing happens", async () => {
		const reader = await open("viewer");
		await reader.next();
		clock.advance(heartbeatMs);
		await rename("end");
		await reader.until(isRename("end"));
		expect(reader.comments).toEqual(["still here"]);
	});
});

describe("who sees what", () => {
	test("users, sessions and tokens go to administrators and to whom they belong", async () => {
		const streams = { viewer: await open("viewer"), operator: await open("operator"), admin: await open("admin") };
		for (const reader of Object.values(streams)) await reader.next();
		const { body } = await harness.client("operator").call("tokenCreate", { body: { name: "t", role: "viewer" } });
		await harness.client("operator").call("tokenDelete", { path: { id: body.token.id } });
		await harness.auth.signIn("operator", password, { remoteAddress: null, userAgent: null });
		const path = { id: harness.accounts.viewer.user.id };
		await harness.client("admin").call("userUpdate", { path, body: { displayName: "V" } });
		await rename("end");
		const seen = async (reader: EventReader) => kinds(await reader.until(isRename("end"))).slice(0, -1);
		expect(await seen(streams.operator)).toEqual(["token created", "token deleted", "session created"]);
		expect(await seen(streams.viewer)).toEqual(["user updated"]);
		expect(await seen(streams.admin)).toEqual(["token created", "token deleted", "session created", "user updated"]);
	});

	test("no event holds a secret", async () => {
		const reader = await open("admin");
		await reader.next();
		const { body } = await harness.client("admin").call("tokenCreate", { body: { name: "t", role: "viewer" } });
		const signedIn = await harness.auth.signIn("viewer", password, { remoteAddress: null, userAgent: null });
		await rename("end");
		const text = JSON.stringify(await reader.until(isRename("end")));
		for (const secret of [body.secret, signedIn.secret, "argon2"]) expect(text).not.toContain(secret);
	});

	test("a viewer sees a VM without the secrets in its cloud-init data, in events, lists and by id", async () => {
		const streams = { viewer: await open("viewer"), operator: await open("operator") };
		const user = { name: "u", sshKeys: ["ssh-ed25519 AAAA"], passwordHash: "$6$salt$hash", sudo: true };
		const cloudInit = { kind: "form", hostname: null, users: [user], packages: [], network: null } as const;
		const { body: vm } = await harness
			.client("operator")
			.call("vmCreate", { body: { name: "form", cloudInit: { ...cloudInit, users: [user], packages: [] } } });
		const userData = "#cloud-config\npassword: swordfish";
		await harness.client("operator").call("vmCreate", {
			body: { name: "raw", cloudInit: { kind: "raw", userData, metaData: null, networkConfig: null } },
		});
		await rename("end");
		const textOf = async (reader: EventReader) => JSON.stringify(await reader.until(isRename("end")));
		const read = async (as: Sender) =>
			(await (await harness.request("GET", "/v1/vms", { as })).text()) +
			(await (await harness.request("GET", `/v1/vms/${vm.id}`, { as })).text());
		for (const text of [await textOf(streams.viewer), await read("viewer")]) {
			expect(text).toContain("ssh-ed25519");
			expect(text).not.toContain("$6$salt$hash");
			expect(text).not.toContain("swordfish");
		}
		for (const text of [await textOf(streams.operator), await read("operator")]) {
			expect(text).toContain("$6$salt$hash");
			expect(text).toContain("swordfish");
		}
	});
});

describe("a stream ends with its credential", () => {
	const path = () => ({ id: harness.accounts.viewer.user.id });
	const ends: Record<string, () => Promise<unknown>> = {
		"signed out": () => harness.request("DELETE", "/v1/sessions/current", { as: "viewer" }),
		"ended by an administrator": () =>
			harness.client("admin").call("sessionDelete", { path: { id: harness.accounts.viewer.sessionId } }),
		"password reset": () =>
			harness.client("admin").call("userPasswordReset", { path: path(), body: { newPassword: "something else" } }),
		"another role": () => harness.client("admin").call("userUpdate", { path: path(), body: { role: "operator" } }),
		disabled: () => harness.client("admin").call("userUpdate", { path: path(), body: { enabled: false } }),
		deleted: () => harness.client("admin").call("userDelete", { path: path() }),
		expired: async () => clock.advance(12 * 3_600_000 + 10),
	};
	for (const [name, end] of Object.entries(ends))
		test(name, async () => {
			const reader = await open("viewer");
			const other = await open("operator");
			await reader.next();
			await end();
			let last = await reader.next();
			while (last) last = await reader.next();
			expect(last).toBeNull();
			if (name === "expired") return;
			await rename("end");
			expect((await other.until(isRename("end"))).length).toBeGreaterThan(0);
		});

	test("a token's too", async () => {
		const { body } = await harness.client("operator").call("tokenCreate", { body: { name: "t", role: "viewer" } });
		const reader = await open({ secret: body.secret });
		await reader.next();
		await harness.client("operator").call("tokenDelete", { path: { id: body.token.id } });
		let last = await reader.next();
		while (last) last = await reader.next();
		expect(harness.auth.figures().watched).toBe(0);
	});
});

describe("many, and slow", () => {
	const task = (number: number) =>
		harness.store.proposer.proposeSystem({ kind: "clusterUpdate", id: fixtureId(1), name: `n${number}` });

	test("one that reads slowly loses nothing", async () => {
		const slow = await open("viewer");
		const quick = await open("viewer");
		await slow.next();
		await quick.next();
		const description = "x".repeat(4000);
		for (let i = 0; i < 300; i++) {
			const body = { name: `vm-${i}`, description, disks: [], nics: [] };
			await harness.client("operator").call("vmCreate", { body });
		}
		await rename("end");
		const names = (events: SentEvent[]) =>
			events.filter((sent) => parsed(sent).target.kind === "vm").map((sent) => parsed(sent).target.name);
		const expected = Array.from({ length: 300 }, (_, i) => `vm-${i}`);
		expect(names(await slow.until(isRename("end")))).toEqual(expected);
		expect(names(await quick.until(isRename("end")))).toEqual(expected);
	});

	test("one that does not read at all is cut after a minute", async () => {
		const stalled = await open("viewer");
		await stalled.next();
		const description = "x".repeat(4000);
		for (let i = 0; i < 200; i++)
			await harness
				.client("operator")
				.call("vmCreate", { body: { name: `vm-${i}`, description, disks: [], nics: [] } });
		expect(harness.api.services.events.size).toBe(1);
		clock.advance(60_000 + 2 * heartbeatMs);
		expect(harness.api.services.events.size).toBe(0);
	});

	test("an event is serialized once for a hundred clients", async () => {
		const streams: EventReader[] = [];
		for (let i = 0; i < 100; i++)
			streams.push(await open(i % 2 ? "operator" : { secret: harness.accounts.viewer.secret }));
		await Promise.all(streams.map((reader) => reader.next()));
		const stringify = spyOn(JSON, "stringify");
		await task(1);
		const frames = stringify.mock.calls.filter(([value]) => (value as Event | null)?.target?.kind === "cluster");
		stringify.mockRestore();
		const got = await Promise.all(streams.map((reader) => reader.next()));
		expect(new Set(got.map((sent) => sent?.data)).size).toBe(1);
		expect(parsed(got[0] ?? null).object).toMatchObject({ name: "n1" });
		// Once by the store for its table of events, once here.
		expect(frames.length).toBeLessThanOrEqual(2);
	});

	test("there is a limit for each credential", async () => {
		for (let i = 0; i < 64; i++) await open("viewer");
		const response = await harness.request("GET", "/v1/events", { as: "viewer" });
		expect(response.status).toBe(429);
		await open("operator");
	});

	test("eight tabs of one browser each get everything, over real connections", async () => {
		const { url } = harness.listen();
		const headers = { authorization: `Bearer ${harness.accounts.viewer.secret}` };
		const tabs = await Promise.all(
			Array.from({ length: 8 }, async () => new EventReader(await fetch(`${url}/v1/events`, { headers }))),
		);
		readers.push(...tabs);
		await Promise.all(tabs.map((tab) => tab.next()));
		expect(harness.api.services.events.size).toBe(8);
		for (let i = 0; i < 20; i++) await task(i);
		expect((await fetch(`${url}/v1/vms`, { headers })).status).toBe(200);
		for (const tab of tabs) {
			const names = (await tab.until(isRename("n19"))).map((sent) => (parsed(sent).object as { name: string }).name);
			expect(names).toEqual(Array.from({ length: 20 }, (_, i) => `n${i}`));
		}
	});
});
