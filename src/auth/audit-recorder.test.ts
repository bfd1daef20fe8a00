/** How many audit records somebody can cause, and what is left of the rest. */
import { expect, test } from "bun:test";
import { AppError } from "../lib/errors.ts";
import { idSource } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import type { AuditRecord } from "../model/access.ts";
import { unknownOutcome } from "../store/raft/refusals.ts";
import { fixtureCluster, fixtureId } from "../testing/fixtures.ts";
import { waitUntil } from "../testing/lab/wait-until.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { openMemoryStore } from "../testing/memory-store.ts";
import { type AuditEntry, AuditRecorder, recordedOneByOne } from "./audit-recorder.ts";
import { type Identity, localIdentity } from "./identity.ts";

const identityOf = (number: number): Identity => ({
	...localIdentity,
	role: "viewer",
	credential: { kind: "session", id: fixtureId(number) },
});

function setUp() {
	const clock = new ManualClock();
	const records: AuditRecord[] = [];
	const cluster = { quorum: true, fails: false };
	let held: Promise<void> | null = null;
	const recorder = new AuditRecorder({
		clock,
		store: { status: () => ({ leader: null, quorum: cluster.quorum, commitIndex: 0, appliedIndex: 0, term: 1 }) },
		ids: idSource(clock, systemRandom),
		logger: silentLogger,
		proposer: {
			propose: () => Promise.reject(new Error("not a system command")),
			async proposeSystem(body) {
				await held;
				if (cluster.fails) throw new AppError("unavailable", "No leader.");
				if (body.kind === "auditAppend") records.push(body.record);
				return { index: 1, targets: [], taskId: null, replayed: false };
			},
		},
	});
	const denial = (number: number, changes: Partial<AuditEntry> = {}) =>
		recorder.record({
			...{ identity: identityOf(number), operation: "userList", remoteAddress: "192.0.2.1" },
			...{ outcome: "denied", errorCode: "forbidden", targets: [], ...changes },
		});
	/** Records are not written before what is returned is called. */
	const hold = () => {
		const { promise, resolve } = Promise.withResolvers<void>();
		held = promise;
		return resolve;
	};
	return { clock, records, recorder, denial, cluster, hold };
}

test("the first in a minute one by one, the rest as one of each operation", async () => {
	const { clock, records, recorder, denial } = setUp();
	await Promise.all(Array.from({ length: 1000 }, () => denial(1)));
	await denial(1, { operation: "auditList" });
	expect(records).toHaveLength(recordedOneByOne);
	expect(records.every((record) => !("count" in record))).toBe(true);
	// Others are not hidden behind somebody's noise, nor is anything else that the same person does.
	await denial(2);
	await denial(1, { outcome: "accepted", errorCode: null, operation: "vmConsoleTicketCreate" });
	expect(records).toHaveLength(recordedOneByOne + 2);
	clock.advance(60_000);
	await recorder.close();
	expect(records.slice(recordedOneByOne + 2)).toEqual([
		expect.objectContaining({ operation: "userList", outcome: "denied", count: 1000 - recordedOneByOne }),
		expect.not.objectContaining({ count: expect.anything() }),
	]);
	expect(records.at(-1)).toMatchObject({ operation: "auditList", outcome: "denied" });
	await denial(1);
	expect(records).toHaveLength(recordedOneByOne + 5);
});

test("gathered records name all that was touched, up to a bound", async () => {
	const { clock, records, recorder, denial } = setUp();
	for (let number = 0; number < 500; number++)
		await denial(1, { targets: [{ kind: "vm", id: fixtureId(number), name: `vm-${number}` }] });
	clock.advance(60_000);
	await recorder.close();
	expect(records.at(-1)?.targets).toHaveLength(100);
	expect(records.at(-1)?.count).toBe(500 - recordedOneByOne);
});

test("memory is bounded, and what is dropped from it is written first", async () => {
	const { clock, records, recorder, denial } = setUp();
	for (let times = 0; times <= recordedOneByOne; times++) await denial(0);
	for (let number = 1; number <= 10_000; number++) await denial(number);
	expect(recorder.size).toBe(10_000);
	expect(clock.waiting).toBe(10_000);
	expect(records).toHaveLength(recordedOneByOne + 1 + 10_000);
	await recorder.close();
	expect([recorder.size, clock.waiting]).toEqual([0, 0]);
});

test("the end writes what is gathered", async () => {
	const { records, recorder, denial } = setUp();
	for (let times = 0; times < recordedOneByOne + 3; times++) await denial(1);
	await recorder.close();
	expect(records.at(-1)).toMatchObject({ count: 3 });
});

test("without a quorum nobody waits for a record; it is written when there is one, with its own time", async () => {
	const { clock, records, recorder, denial, cluster } = setUp();
	cluster.quorum = false;
	const began = clock.nowMs();
	await denial(1);
	clock.advance(1_000);
	await denial(1, { outcome: "accepted", errorCode: null, operation: "vmConsoleTicketCreate" });
	clock.advance(60_000);
	await recorder.close().then(() => expect(records).toEqual([]));
	// Closed without one, they are lost; another recorder, whose cluster has one again, writes them.
	const other = setUp();
	other.cluster.quorum = false;
	await other.denial(1);
	other.clock.advance(1_000);
	await other.denial(1, { outcome: "accepted", errorCode: null, operation: "vmConsoleTicketCreate" });
	other.cluster.quorum = true;
	other.clock.advance(2_000);
	await other.recorder.close();
	expect(other.records.map(({ operation, time }) => [operation, Date.parse(time)])).toEqual([
		["userList", began],
		["vmConsoleTicketCreate", began + 1_000],
	]);
});

test("a record that fails for want of a leader is written later, once", async () => {
	const { clock, records, recorder, denial, cluster } = setUp();
	cluster.fails = true;
	await denial(1);
	expect(records).toEqual([]);
	clock.advance(2_000);
	cluster.fails = false;
	clock.advance(2_000);
	await recorder.close();
	expect(records).toHaveLength(1);
});

test("of what waits for a quorum, a thousand are kept", async () => {
	const { records, recorder, denial, cluster } = setUp();
	cluster.quorum = false;
	for (let number = 0; number < 1_200; number++) await denial(number);
	cluster.quorum = true;
	await recorder.close();
	expect(records).toHaveLength(1_000);
});

test("one that was written unknown to this node is not written again, and keeps its time", async () => {
	const clock = new ManualClock(Date.UTC(2026, 0, 2));
	const beganMs = clock.nowMs();
	const ids = idSource(clock, systemRandom);
	const store = await openMemoryStore({ clock, commands: [fixtureCluster()] });
	const before = store.count("audit");
	const { propose } = store;
	let attempts = 0;
	store.propose = async (command) => {
		attempts += 1;
		const applied = await propose.call(store, command);
		if (attempts === 1) throw unknownOutcome("The cluster has no quorum.");
		return applied;
	};
	const recorder = new AuditRecorder({ clock, store, ids, logger: silentLogger, proposer: store.proposer });
	await recorder.record({
		...{ identity: identityOf(1), operation: "userList", remoteAddress: null },
		...{ outcome: "denied", errorCode: "forbidden", targets: [] },
	});
	clock.advance(60_000);
	await recorder.close();
	expect([attempts, store.count("audit") - before]).toEqual([2, 1]);
	expect(store.all("audit").at(-1)).toMatchObject({ operation: "userList", time: new Date(beganMs).toISOString() });
	await store.close();
});

test("what comes while others are being written is written, too, however long that takes", async () => {
	const { clock, records, recorder, denial, cluster, hold } = setUp();
	cluster.quorum = false;
	await denial(1);
	cluster.quorum = true;
	const release = hold();
	clock.advance(2_000);
	cluster.quorum = false;
	await denial(2);
	clock.advance(2_000);
	cluster.quorum = true;
	release();
	await waitUntil("the second record", 5_000, () => {
		clock.advance(2_000);
		return records.length === 2;
	});
	await recorder.close();
});
