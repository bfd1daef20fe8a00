/** Sessions that were signed out while nothing could be written down. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { fixtureSession } from "../testing/fixtures.ts";
import { waitUntil } from "../testing/lab/wait-until.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { EndedSessions, maxEnded } from "./ended-sessions.ts";

function setUp() {
	const clock = new ManualClock();
	const cluster = { quorum: true, known: new Set<string>(), fails: null as AppError | null, attempts: 0 };
	const ended: string[] = [];
	const sessions = new EndedSessions({
		clock,
		logger: silentLogger,
		onEnded: (id) => ended.push(id),
		store: {
			get: ((_table: string, id: string) => (cluster.known.has(id) ? fixtureSession({ id }) : null)) as never,
			readIndex: async () => 1,
			status: () => ({ leader: null, quorum: cluster.quorum, commitIndex: 0, appliedIndex: 0, term: 1 }),
		},
	});
	const remove = async (id: string) => {
		cluster.attempts += 1;
		if (cluster.fails) throw cluster.fails;
		cluster.known.delete(id);
	};
	const add = (id: string, lastsMs = 3_600_000) =>
		sessions.add({ id, expiresAtMs: clock.nowMs() + lastsMs, remove: () => remove(id) });
	/** Two seconds at a time, with all that follows from them. */
	const turns = async (until: () => boolean) =>
		waitUntil("the turn", 5_000, () => {
			clock.advance(2_000);
			return until();
		});
	return { clock, cluster, sessions, ended, add, turns };
}

test("one that turns up in the state later is deleted then", async () => {
	const { cluster, sessions, ended, add, turns } = setUp();
	expect([add("a"), ended]).toEqual([true, ["a"]]);
	for (let times = 0; times < 2; times++) {
		cluster.known.add("a");
		await turns(() => cluster.known.size === 0);
	}
	expect(sessions.has("a")).toBe(true);
	await sessions.close();
});

test("what is refused for now is tried again; what is refused for good is not, and has ended here all the same", async () => {
	const { cluster, sessions, add, turns } = setUp();
	cluster.known.add("a");
	cluster.fails = new AppError("unavailable", "No leader.");
	add("a");
	await turns(() => cluster.attempts >= 3);
	cluster.fails = new AppError("unauthenticated", "Your session or token has ended.");
	let attempts = 0;
	await turns(() => {
		const same = attempts === cluster.attempts;
		attempts = cluster.attempts;
		return same;
	});
	expect(sessions.has("a")).toBe(true);
	await sessions.close();
});

test("they are forgotten when they would have expired", async () => {
	const { clock, sessions, add, turns } = setUp();
	add("a", 60_000);
	await turns(() => !sessions.has("a"));
	await turns(() => clock.waiting === 0);
});

test("a limited number: those that the state has are not given up for others", async () => {
	const { cluster, sessions, add } = setUp();
	cluster.quorum = false;
	for (let index = 0; index < maxEnded; index++) {
		if (index > 0) cluster.known.add(`${index}`);
		add(`${index}`);
	}
	expect([add("one more"), sessions.has("0"), sessions.has("1")]).toEqual([true, false, true]);
	cluster.known.add("one more");
	expect([add("too many"), sessions.has("too many"), sessions.has("1")]).toEqual([false, false, true]);
	await sessions.close();
});
