/** A node that is too far behind gets the whole state from the leader, while its store is open: real stores, files and logs. */
import { afterEach, expect, test } from "bun:test";
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import { idSource } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import type { Event } from "../model/event.ts";
import { copyOfState, type StateCopy } from "../testing/dump-state.ts";
import { clusterIds, fixtureUser } from "../testing/fixtures.ts";
import { StoreCluster, type StoreMember, until } from "../testing/store-cluster.ts";
import { openStore, pathsOf } from "./open-store.ts";
import { openStateFile } from "./sqlite/database.ts";
import { stateDigest } from "./sqlite/state-digest.ts";

let cluster: StoreCluster;
afterEach(() => cluster.remove());

const ids = idSource(systemClock, systemRandom);
const small = { policy: { snapshotEntries: 40 }, segmentBytes: 4_000 };
const logBegin = ({ dataDir }: StoreMember): number =>
	Math.min(
		...readdirSync(pathsOf(dataDir).log)
			.filter((name) => name.endsWith(".log"))
			.map((name) => Number(name.slice(0, 16))),
	);
const newestSnapshot = ({ dataDir }: StoreMember): number =>
	Math.max(
		0,
		...readdirSync(pathsOf(dataDir).snapshots)
			.filter((name) => /^\d{16}\.db$/.test(name))
			.map((name) => Number(name.slice(0, 16))),
	);

/** Three nodes, the third of which is away for so long that the others' logs begin after what it has. */
async function farBehind(): Promise<StoreMember> {
	cluster = await StoreCluster.start(3, small);
	await cluster.addUsers(cluster.leader, 0, 5);
	await cluster.converge();
	const third = cluster.member(3);
	cluster.cutOff.add(third.name);
	await until(() => cluster.leader !== third);
	for (let round = 0; [1, 2].some((number) => logBegin(cluster.member(number)) <= third.up.appliedIndex + 1); round++)
		await cluster.addUsers(cluster.leader, 10 + round * 20, 20);
	return third;
}

/** One after the other, to the end of the one during which it came about; each is checked. */
async function backupsUntil({ up, name }: StoreMember, done: () => boolean): Promise<StateCopy[]> {
	const made: StateCopy[] = [];
	for (let last = false; !last; ) {
		last = done();
		const path = join(cluster.folder, `${name}-${made.length}.db`);
		await up.snapshot(path);
		const state = openStateFile(path);
		made.push(copyOfState(state.database));
		state.close();
	}
	return made;
}

/** Digest, rows, how far they are, of all: after they have the same, and while nothing is proposed. */
async function copies() {
	await cluster.converge();
	return Promise.all(
		cluster.members.map(async ({ up, name }) => {
			const path = join(cluster.folder, `${name}-copy.db`);
			await up.snapshot(path);
			const state = openStateFile(path);
			try {
				return { digest: stateDigest.storedDigest(state.database), ...copyOfState(state.database) };
			} finally {
				state.close();
			}
		}),
	);
}

test("it takes it over: the same digest, the same rows, right reads, and it goes on from there", async () => {
	const third = await farBehind();
	const users = cluster.leader.up.count("user");
	expect(third.up.count("user")).toBeLessThan(users);
	const backups = backupsUntil(third, () => third.replaced > 0);
	cluster.cutOff.clear();
	await until(() => third.replaced > 0);
	// Whatever was copied meanwhile is whole: of before, or of after.
	for (const copy of await backups) expect(copy.index).toBeLessThanOrEqual(third.up.appliedIndex);
	const index = await third.up.readIndex();
	expect(third.up.appliedIndex).toBeGreaterThanOrEqual(index);
	expect(third.up.count("user")).toBe(users);
	expect(third.up.userByName(`user-${users - 2 + 4}`)?.user.name).toBe(`user-${users - 2 + 4}`);
	await cluster.addUsers(third, 9000, 3);
	const [first, ...others] = await copies();
	for (const other of others) expect(other).toEqual(first as typeof other);
	expect(third.replaced).toBe(1);
	// Nothing of what was received is left, and a start finds it all.
	const kept = third.up.appliedIndex;
	await cluster.close(third);
	expect(readdirSync(pathsOf(third.dataDir).snapshots).filter((name) => !/^\d{16}\.db$/.test(name))).toEqual([]);
	expect(readdirSync(third.dataDir).filter((name) => name.includes("received"))).toEqual([]);
	await cluster.open(third, small);
	expect(third.up.count("user")).toBe(users + 3);
	expect(third.up.appliedIndex).toBeGreaterThanOrEqual(kept);
});

test("one that was offered before its answers got lost, and that the log does not follow any more, is not sent", async () => {
	const third = await farBehind();
	const offered: number[] = [];
	let lost = true;
	cluster.filter = (from, message) => {
		if (message.type === "offer") offered.push(message.meta.index);
		return !(lost && from === third && message.type === "want");
	};
	cluster.cutOff.clear();
	await until(() => offered.length > 0);
	const [first = 0] = offered;
	for (let round = 0; logBegin(cluster.leader) <= first + 1; round++)
		await cluster.addUsers(cluster.leader, 5000 + round * 20, 20);
	// It is still the one that is on offer.
	expect(new Set(offered)).toEqual(new Set([first]));
	lost = false;
	await until(() => third.replaced > 0);
	await cluster.converge();
	expect(third.replaced).toBe(1);
});

test("who waits there meanwhile is answered: a proposal that is in the snapshot, reads, listeners", async () => {
	const third = await farBehind();
	const heard: Event[] = [];
	third.up.subscribe((events) => heard.push(...events));
	// Its proposal goes to the leader, and only a snapshot that has it comes through.
	let needed = Number.POSITIVE_INFINITY;
	cluster.filter = (_, message) => message.type !== "offer" || message.meta.index >= needed;
	cluster.cutOff.clear();
	await until(() => third.up.status().leader === cluster.leader.id);
	const user = fixtureUser({ id: ids.newId(), name: "in-flight" });
	const proposed = third.system({ kind: "userCreate", user, passwordHash: "$x" });
	await until(() => cluster.leader.up.userByName("in-flight") !== null);
	const reading = third.up.readIndex();
	const at = cluster.leader.up.appliedIndex;
	expect(third.up.userByName("in-flight")).toBeNull();
	for (let round = 0; newestSnapshot(cluster.leader) < at || logBegin(cluster.leader) <= at; round++)
		await cluster.addUsers(cluster.leader, 5000 + round * 20, 20);
	expect([third.replaced, third.up.userByName("in-flight")]).toEqual([0, null]);
	needed = at;
	const { index, replayed } = await proposed;
	expect([index <= at, replayed]).toEqual([true, false]);
	expect(third.replaced).toBe(1);
	// It may have waited for too long; then whoever reads is told so, and not something older.
	await reading.then(
		(read) => expect(third.up.appliedIndex).toBeGreaterThanOrEqual(read),
		(error) => expect(error).toMatchObject({ code: "unavailable" }),
	);
	expect(third.up.userByName("in-flight")?.user.id).toBe(user.id);
	await cluster.converge();
	heard.length = 0;
	await cluster.addUsers(third, 8000, 1);
	expect(heard.map(({ target }) => target.kind)).toEqual(["user"]);
	const [first, ...others] = await copies();
	for (const other of others) expect(other.digest).toBe(first?.digest ?? null);
}, 60_000);

test("the leader makes a snapshot when it has none that goes far enough, for several at once", async () => {
	cluster = await StoreCluster.start(1);
	const leader = cluster.member(1);
	await cluster.addUsers(leader, 0, 30);
	// As after a crash between a snapshot and its retention: the log begins later than any snapshot.
	await leader.raft.compact(20);
	expect(newestSnapshot(leader)).toBe(0);
	const [second, third] = [await cluster.admit(), await cluster.admit()];
	for (const member of [second, third]) await cluster.promote(member);
	expect(newestSnapshot(leader)).toBeGreaterThanOrEqual(20);
	expect([second.replaced, third.replaced]).toEqual([1, 1]);
	const all = await copies();
	expect(new Set(all.map(({ digest }) => digest)).size).toBe(1);
});

test("a member whose log is damaged makes its state durable, says so for good, and goes on as a member", async () => {
	cluster = await StoreCluster.start(3);
	await cluster.addUsers(cluster.leader, 0, 30);
	await cluster.converge();
	const { id, dataDir, up } = cluster.member(2);
	const applied = up.appliedIndex;
	// As a power cut leaves it: the state is in SQLite's own log yet.
	const crashed = join(cluster.folder, "crashed");
	cpSync(dataDir, crashed, { recursive: true });
	const segment = join(pathsOf(crashed).log, "0000000000000001.log");
	const bytes = readFileSync(segment);
	const at = bytes.indexOf("user-20");
	bytes[at] = (bytes[at] ?? 0) ^ 1;
	writeFileSync(segment, bytes);
	const fatal: unknown[] = [];
	const identity = { clusterId: clusterIds.cluster, nodeId: id, founder: false };
	const store = await openStore({
		...{ dataDir: crashed, identity, clock: systemClock, logger: silentLogger, random: () => 0, fsync: true },
		onFatal: (error) => fatal.push(error),
	});
	// Without what is beside it: nothing of the state hangs on a file that is not synced.
	const alone = join(cluster.folder, "alone.db");
	cpSync(pathsOf(crashed).state, alone);
	const state = openStateFile(alone);
	expect(copyOfState(state.database).index).toBe(applied);
	state.close();
	expect(readFileSync(join(pathsOf(crashed).log, "hard-state"), "utf8")).toContain('"recoveries":1,"recovering":true');
	expect([store.appliedIndex, store.status().quorum, fatal]).toEqual([applied, false, []]);
	await store.close();
});
