/** The store on simulated files: acknowledged means kept, in any crash; full, failing and busy disks. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { AppError } from "../lib/errors.ts";
import type { Event } from "../model/event.ts";
import { commandArbitrary } from "../testing/command-arbitrary.ts";
import { afterStarts, copyOfState } from "../testing/dump-state.ts";
import { fixtureCluster, fixtureId, fixtureNode } from "../testing/fixtures.ts";
import { ManualClock } from "../testing/manual-clock.ts";
import { type FileOperation, MemoryFiles } from "../testing/memory-files.ts";
import { openSimulatedStore } from "../testing/simulated-store.ts";
import type { Command, CommandBody } from "./command.ts";
import { maxPendingProposals } from "./limits.ts";
import { proposalTimeoutMs } from "./waiters.ts";

let next = 1;
const command = (body: CommandBody): Command => ({
	id: fixtureId(0x50000000 + next++),
	timeMs: Date.UTC(2026, 0, 1),
	requester: { kind: "system", id: null, name: "system" },
	remoteAddress: null,
	operation: "system",
	idempotencyKey: null,
	credential: null,
	body,
});
const status = (reason: string): Command => {
	const node = fixtureNode();
	return command({ kind: "nodeStatus", id: node.id, status: { ...node.status, reason } });
};
const seeded = (seed: number) => {
	let state = seed;
	return () => {
		state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
		return state / 2 ** 32;
	};
};

const open = openSimulatedStore;
/** The first start begins with an entry that is no command. */
const first = 1;

test("a power cut at any point loses no acknowledged command, and the state is that of the log", async () => {
	await fc.assert(
		fc.asyncProperty(
			fc.array(commandArbitrary, { minLength: 5, maxLength: 40 }),
			fc.integer({ min: 4, max: 60 }),
			fc.nat(),
			async (commands, crashAt, seed) => {
				const files = new MemoryFiles();
				files.onOperation = (_, count) => (count === crashAt ? "crash" : undefined);
				const acknowledged = new Map<string, string>();
				const refused = new Set<string>();
				try {
					const store = await open(files);
					await store.propose(command(fixtureCluster()));
					// In groups, so that one fdatasync covers several.
					for (let at = 0; at < commands.length; at += 3)
						await Promise.all(
							commands.slice(at, at + 3).map((one) =>
								store.propose(one).then(
									(applied) => acknowledged.set(one.id, JSON.stringify({ ...applied, replayed: false })),
									(error: AppError) => error.code !== "storage" && refused.add(one.id),
								),
							),
						);
				} catch (error) {
					if (!files.crashed) throw error;
				}
				const survived = files.afterCrash(seeded(seed));
				const again = await open(survived);
				for (const [id, applied] of acknowledged) {
					const kept = again.database.commandResult(id);
					expect(JSON.stringify({ ...JSON.parse(kept?.result ?? "null")?.applied, replayed: false })).toBe(applied);
				}
				const third = await open(survived.afterCrash(seeded(seed), "process-end"));
				expect(copyOfState(third.database.database)).toEqual(afterStarts(copyOfState(again.database.database), 1));
				await again.close();
				await third.close();
			},
		),
		{ numRuns: 60 },
	);
}, 60_000);

test("proposals that come while a sync runs share the next one", async () => {
	const files = new MemoryFiles();
	const store = await open(files);
	await store.propose(command(fixtureCluster()));
	let syncs = 0;
	files.onOperation = (operation: FileOperation) => {
		if (operation === "sync") syncs += 1;
		return undefined;
	};
	const indices = await Promise.all(Array.from({ length: 64 }, (_, number) => store.propose(status(`r${number}`))));
	expect(indices.map(({ index }) => index)).toEqual(Array.from({ length: 64 }, (_, number) => number + first + 2));
	expect(syncs).toBeLessThanOrEqual(2);
	await store.close();
});

test("a result comes after its events, and reads see it", async () => {
	const store = await open(new MemoryFiles());
	const heard: Event[] = [];
	store.subscribe((events) => heard.push(...events));
	store.subscribe(() => {
		throw new Error("a listener that throws is its own problem");
	});
	const proposed = store.propose(command(fixtureCluster())).then(() => heard.length);
	expect(await store.readIndex()).toBeLessThanOrEqual(store.appliedIndex);
	expect(await proposed).toBe(5);
	expect(await store.readIndex()).toBe(first + 1);
	expect(store.status()).toEqual({
		leader: "node",
		quorum: true,
		appliedIndex: first + 1,
		commitIndex: first + 1,
		term: 1,
	});
	await store.close();
});

test("each start is a term of its own", async () => {
	const files = new MemoryFiles();
	for (const term of [1, 2, 3]) {
		const store = await open(files);
		expect(store.status().term).toBe(term);
		await store.propose(command(fixtureCluster())).catch(() => {});
		await store.close();
	}
});

describe("a full disk", () => {
	test("refuses with no-space and works again when there is space", async () => {
		const files = new MemoryFiles();
		const clock = new ManualClock();
		const store = await open(files, { clock });
		await store.propose(command(fixtureCluster()));
		files.capacityBytes = files.usedBytes() + 10;
		clock.advance(200);
		await expect(store.propose(status("a"))).rejects.toMatchObject({ code: "no-space" });
		expect(store.get("node", fixtureNode().id)?.status.reason).toBeNull();
		files.capacityBytes = Number.POSITIVE_INFINITY;
		await store.propose(status("b"));
		expect(store.get("node", fixtureNode().id)?.status.reason).toBe("b");
		await store.close();
	});

	test("that fills up refuses what grows first, so that space can still be made", async () => {
		const files = new MemoryFiles();
		const clock = new ManualClock();
		const store = await open(files, { reserveBytes: 100_000, clock });
		await store.propose(command(fixtureCluster()));
		const admin = fixtureCluster().admin;
		const grow = () =>
			store.propose(
				command({
					kind: "userCreate",
					user: { ...admin, id: fixtureId(next++), name: `u${next}` },
					passwordHash: "$x",
				}),
			);
		files.capacityBytes = files.usedBytes() + 50_000;
		clock.advance(200);
		const [growing, essential] = await Promise.allSettled([grow(), store.propose(status("essential"))]);
		expect(growing).toMatchObject({ status: "rejected", reason: { code: "no-space" } });
		expect(essential).toMatchObject({ status: "fulfilled" });
		files.capacityBytes = files.usedBytes() + 20_000;
		clock.advance(200);
		await expect(store.propose(status("refused"))).rejects.toMatchObject({ code: "no-space" });
		files.capacityBytes = files.usedBytes() + 200_000;
		clock.advance(200);
		await grow();
		await store.close();
	});

	test("of the database holds back what is committed, and applies it once there is space", async () => {
		let retry: (() => void) | null = null;
		const clock = {
			nowMs: () => 0,
			monotonicMs: () => 0,
			schedule: (delayMs: number, callback: () => void) => {
				if (delayMs === 1000) retry = callback;
				return { cancel() {} };
			},
		};
		const store = await open(new MemoryFiles(), { clock });
		await store.propose(command(fixtureCluster()));
		const pages = store.database.row<{ page_count: number }>("PRAGMA page_count")?.page_count ?? 0;
		store.database.database.run(`PRAGMA max_page_count = ${pages}`);
		const create = (number: number): Command =>
			command({
				kind: "userCreate",
				user: {
					...fixtureCluster().admin,
					id: fixtureId(0x700 + number),
					name: `user-${number}`,
					displayName: "x".repeat(128),
				},
				passwordHash: `$${"y".repeat(1000)}`,
			});
		let full: unknown;
		let made = 0;
		while (full === undefined)
			await store.propose(create(made)).then(
				() => made++,
				(error) => (full = error),
			);
		expect(full).toMatchObject({ code: "no-space" });
		await expect(store.propose(status("refused"))).rejects.toMatchObject({ code: "no-space" });
		expect(store.get("user", fixtureId(0x700 + made))).toBeNull();
		// Reads do not wait for somebody to make space.
		await expect(store.readIndex()).rejects.toMatchObject({ code: "unavailable" });
		store.database.database.run("PRAGMA max_page_count = 1000000");
		(retry as (() => void) | null)?.();
		expect(store.get("user", fixtureId(0x700 + made))?.name).toBe(`user-${made}`);
		expect(await store.readIndex()).toBe(store.appliedIndex);
		await store.propose(status("works again"));
		await store.close();
	});
});

test("a node that was removed refuses at once: on a clock that stands still", async () => {
	const store = await open(new MemoryFiles(), { clock: new ManualClock() });
	await store.propose(command(fixtureCluster()));
	store.consensus.noteRemoved();
	await expect(store.propose(status("refused"))).rejects.toMatchObject({
		code: "wrong-state",
		message: expect.stringContaining("This node was removed from the cluster"),
	});
	await store.close();
});

test("a failing disk ends it: fatal once, and nothing is acknowledged", async () => {
	const files = new MemoryFiles();
	const fatal: AppError[] = [];
	const store = await open(files, { onFatal: (error) => fatal.push(error) });
	await store.propose(command(fixtureCluster()));
	files.onOperation = (operation) => (operation === "sync" ? "io-error" : undefined);
	const results = await Promise.allSettled([store.propose(status("a")), store.propose(status("b"))]);
	expect(results.map(({ status: outcome }) => outcome)).toEqual(["rejected", "rejected"]);
	await expect(store.propose(status("c"))).rejects.toMatchObject({ code: "storage" });
	expect(fatal).toMatchObject([{ code: "storage" }]);
	expect(store.get("node", fixtureNode().id)?.status.reason).toBeNull();
	await store.close();
});

describe("a disk that does not answer", () => {
	/** Files whose sync waits until it is let go. */
	class StuckFiles extends MemoryFiles {
		gate: Promise<void> = Promise.resolve();
		release = () => {};
		stick() {
			const { promise, resolve } = Promise.withResolvers<void>();
			this.gate = promise;
			this.release = resolve;
		}
		override async open(name: string, mode: "existing" | "create") {
			const file = await super.open(name, mode);
			const sync = file.sync.bind(file);
			return Object.assign(file, {
				sync: async () => {
					await this.gate;
					await sync();
				},
			});
		}
	}

	test("fills a queue that has an end, and every wait in it has one", async () => {
		let nowMs = 0;
		const timers: (() => void)[] = [];
		const clock = {
			nowMs: () => nowMs,
			monotonicMs: () => nowMs,
			schedule: (_: number, callback: () => void) => {
				timers.push(callback);
				return { cancel() {} };
			},
		};
		const files = new StuckFiles();
		const store = await open(files, { clock });
		await store.propose(command(fixtureCluster()));
		files.stick();
		const settled = Array.from({ length: maxPendingProposals }, (_, number) =>
			store.propose(status(String(number))).then(
				() => "applied",
				(error: AppError) => error.code,
			),
		);
		await expect(store.propose(status("one more"))).rejects.toMatchObject({
			code: "too-many-requests",
			retryAfterMs: 1000,
		});
		nowMs = proposalTimeoutMs;
		for (const timer of timers.splice(0)) timer();
		expect(new Set(await Promise.all(settled))).toEqual(new Set(["timeout"]));
		files.release();
		await store.close();
		const again = await open(files.afterCrash(seeded(1)));
		expect(again.get("node", fixtureNode().id)?.status.reason).toBe(String(maxPendingProposals - 1));
		await again.close();
	});

	test("close writes and answers what was under way", async () => {
		const files = new StuckFiles();
		const store = await open(files);
		await store.propose(command(fixtureCluster()));
		files.stick();
		const proposed = store.propose(status("last"));
		const closing = store.close();
		files.release();
		await closing;
		expect((await proposed).index).toBe(first + 2);
		await expect(store.propose(status("late"))).rejects.toMatchObject({ code: "unavailable" });
	});
});

test("a command that is too large is refused before the log", async () => {
	const files = new MemoryFiles();
	const store = await open(files);
	const used = files.usedBytes();
	await expect(store.propose(status("x".repeat(5 * 1024 * 1024)))).rejects.toMatchObject({ code: "too-large" });
	expect(files.usedBytes()).toBe(used);
	await store.close();
});

test("a log that a newer version wrote stops an older one", async () => {
	const files = new MemoryFiles();
	const store = await open(files);
	await store.propose(command(fixtureCluster()));
	await store.close();
	const name = "0000000000000001.log";
	const { encodeRecords } = await import("./log/record.ts");
	// id, requester and an unknown field 500.
	const bytes = Buffer.from([0x0a, 1, 65, 0x1a, 2, 0x0a, 0, 0xa2, 0x1f, 0]);
	const file = await files.open(name, "existing");
	await file.append(encodeRecords([{ index: first + 2, term: 1, data: bytes }], first + 1).data);
	const fatal: AppError[] = [];
	await expect(open(files, { onFatal: (error) => fatal.push(error) })).rejects.toMatchObject({
		code: "unsupported",
	});
	expect(fatal).toHaveLength(1);
});
