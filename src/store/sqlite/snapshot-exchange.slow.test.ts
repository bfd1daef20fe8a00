/** Snapshots between nodes, on real files: what is sent, what arrives, and a crash after each step. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { AppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import { emptyConfiguration } from "../../raft/configuration.ts";
import type { Offer } from "../../raft/snapshot-stream.ts";
import { afterStarts, type StateCopy } from "../../testing/dump-state.ts";
import { clusterIds, fixtureCluster } from "../../testing/fixtures.ts";
import { flipText, StoreFolder } from "../../testing/store-folder.ts";
import { crc32c } from "../log/crc32c.ts";
import { openDiskFiles } from "../log/disk-files.ts";
import { writeHardState } from "../log/hard-state.ts";
import { SegmentLog } from "../log/segment-log.ts";
import { pathsOf } from "../open-store.ts";
import type { RaftConsensus } from "../raft/raft-consensus.ts";
import type { StoredSnapshot } from "../raft/snapshot-store.ts";
import { openStateFile } from "./database.ts";
import { metaOf, SnapshotExchange } from "./snapshot-exchange.ts";
import { listSnapshots, snapshotName } from "./snapshot-files.ts";
import type { StateDatabase } from "./state-database.ts";

const founders = { index: 0, configuration: { ...emptyConfiguration, voters: [clusterIds.node] } };

let folder: StoreFolder;
const opened: StateDatabase[] = [];
beforeEach(() => {
	folder = new StoreFolder();
});
afterEach(async () => {
	for (const state of opened.splice(0)) state.close();
	await folder.remove();
});

/** On a data folder that no store has open. */
function exchangeOn(
	dataDir: string,
	parts: { make?: () => Promise<unknown>; onReplaced?: () => void; keptEveryBytes?: number } = {},
) {
	const paths = pathsOf(dataDir);
	const state = openStateFile(paths.state);
	opened.push(state);
	const exchange = new SnapshotExchange({
		...{ directory: paths.snapshots, statePath: paths.state, state, founders },
		make: parts.make ?? (() => Promise.reject(new Error("none is to be made"))),
		exclusively: async (work) => work(),
		onReplaced: parts.onReplaced ?? (() => {}),
		...(parts.keptEveryBytes === undefined ? {} : { keptEveryBytes: parts.keptEveryBytes }),
	});
	return { exchange, state, paths };
}
function close(state: StateDatabase): void {
	opened.splice(opened.indexOf(state), 1);
	state.close();
}

async function bytesOf(stored: StoredSnapshot): Promise<Uint8Array> {
	const parts: Uint8Array[] = [];
	for (let offset = 0; offset < stored.sizeBytes; offset += 10_000) parts.push(await stored.read(offset, 10_000));
	return Buffer.concat(parts);
}
const offerOf = ({ name, meta, sizeBytes, crc }: StoredSnapshot): Offer => ({
	...{ type: "offer", clusterId: clusterIds.cluster, from: "other", to: clusterIds.node, term: meta.term },
	...{ snapshot: name, meta, sizeBytes, crc },
});

describe("the newest", () => {
	const withSnapshot = async (users: number) => {
		await folder.fill(users);
		const { store } = await folder.open();
		await store.snapshot(join(folder.paths.snapshots, snapshotName(store.appliedIndex)));
		const index = store.appliedIndex;
		await folder.close(store);
		return index;
	};

	test("is the file that goes far enough, and says what it holds", async () => {
		const index = await withSnapshot(5);
		const { exchange } = exchangeOn(folder.dataDir);
		const stored = await exchange.newest(index);
		const file = readFileSync(join(folder.paths.snapshots, snapshotName(index)));
		expect(stored).toMatchObject({ sizeBytes: file.length, crc: crc32c(file) });
		expect(stored?.meta).toEqual({ index, term: 2, configuration: founders });
		expect(Buffer.compare(await bytesOf(stored as StoredSnapshot), file)).toBe(0);
		stored?.release();
		const again = await exchange.newest(1);
		expect(again?.name).toBe(stored?.name ?? "");
		again?.release();
		// Reading it leaves nothing beside it.
		expect(readdirSync(folder.paths.snapshots)).toEqual([snapshotName(index)]);
	});

	test("is made when there is none that goes far enough, once for all who ask meanwhile; null when none came of it", async () => {
		const index = await withSnapshot(5);
		let made = 0;
		const [begun, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
		const make = async () => {
			made += 1;
			begun.resolve();
			await gate.promise;
			cpSync(join(folder.paths.snapshots, snapshotName(index)), join(folder.paths.snapshots, snapshotName(index + 1)));
		};
		const { exchange } = exchangeOn(folder.dataDir, { make });
		const asking = [exchange.newest(index + 1)];
		await begun.promise;
		asking.push(exchange.newest(index + 1));
		gate.resolve();
		const both = await Promise.all(asking);
		expect([made, both[0]?.name]).toEqual([1, both[1]?.name as string]);
		for (const stored of both) stored?.release();
		expect(await exchangeOn(folder.dataDir, { make: async () => {} }).exchange.newest(index + 2)).toBeNull();
		await expect(exchangeOn(folder.dataDir).exchange.newest(index + 2)).rejects.toThrow("none is to be made");
	});

	test("can be read to its end when it was deleted meanwhile", async () => {
		const index = await withSnapshot(50);
		const path = join(folder.paths.snapshots, snapshotName(index));
		const file = readFileSync(path);
		const stored = await exchangeOn(folder.dataDir).exchange.newest(index);
		const first = await stored?.read(0, 4096);
		rmSync(path);
		expect(first?.length).toBe(4096);
		expect(Buffer.compare(await bytesOf(stored as StoredSnapshot), file)).toBe(0);
		expect((await stored?.read(file.length - 10, 100))?.length).toBe(10);
		stored?.release();
	});

	test("asking for it takes nothing away that somebody is making", async () => {
		const index = await withSnapshot(5);
		const names = ["new.tmp.db", "received.tmp", "backup-1.tmp.db"].map((name) => join(folder.paths.snapshots, name));
		for (const name of names) writeFileSync(name, "half");
		(await exchangeOn(folder.dataDir).exchange.newest(index))?.release();
		expect((await listSnapshots(folder.paths.snapshots)).map((snapshot) => snapshot.index)).toEqual([index]);
		expect(names.filter((name) => !existsSync(name))).toEqual([]);
	});
});

describe("one that arrives", () => {
	let old: StateCopy;
	let next: StateCopy;
	let offer: Offer;
	let bytes: Uint8Array;
	/** An earlier one, of before any change of the members. */
	let withoutMembers: [Offer, Uint8Array];
	/** The folder of a node that has the beginning, and what one that has more would send it. */
	beforeEach(async () => {
		const { store, system } = await folder.open();
		await system(fixtureCluster());
		await folder.addUsers(system, 0, 5);
		await folder.close(store);
		old = folder.dump();
		const behind = join(folder.folder, "behind");
		cpSync(folder.dataDir, behind, { recursive: true });
		let consensus: RaftConsensus | undefined;
		const onConsensus = (made: RaftConsensus) => {
			consensus = made;
		};
		const ahead = await folder.open({ onConsensus });
		await folder.addUsers(ahead.system, 5, 60);
		await ahead.store.snapshot(join(folder.paths.snapshots, snapshotName(ahead.store.appliedIndex)));
		const { exchange, state } = exchangeOn(folder.dataDir);
		withoutMembers = await sent(exchange);
		// The members have changed since the beginning.
		for (const kind of ["add-learner", "remove"] as const) await consensus?.changeMembers({ kind, node: "another" });
		await ahead.store.readIndex();
		await ahead.store.snapshot(join(folder.paths.snapshots, snapshotName(ahead.store.appliedIndex)));
		[offer, bytes] = await sent(exchange);
		close(state);
		await folder.close(ahead.store);
		next = folder.dump();
		folder.dataDir = behind;
	});

	const sent = async (exchange: SnapshotExchange): Promise<[Offer, Uint8Array]> => {
		const stored = (await exchange.newest(1)) as StoredSnapshot;
		const data = await bytesOf(stored);
		stored.release();
		return [offerOf(stored), data];
	};
	const receive = async (exchange: SnapshotExchange, data = bytes) => {
		await exchange.begin(offer);
		for (let at = 0; at < data.length; at += 30_000)
			await exchange.write(at, data.slice(at, at + 30_000), crc32c(data.slice(0, at + 30_000)));
	};
	/** From here on it is in force; the term of whoever sent it is known, and durable, by then. */
	const beginLogAnew = async (log: string) => {
		const files = await openDiskFiles({ directory: log, sync: true });
		await writeHardState(files, { term: offer.meta.term, vote: null });
		const options = { files, logger: silentLogger, onFatal: () => {}, knownIndex: old.index };
		const segments = await SegmentLog.open(options, null);
		await segments.resetTo(offer.meta.index, offer.meta.term);
		await segments.close();
		await files.close();
	};
	/** A node that starts on `dataDir`, and what it has then. */
	const started = async (dataDir: string): Promise<StateCopy> => {
		folder.dataDir = dataDir;
		await folder.close((await folder.open()).store);
		expect(readdirSync(dataDir).filter((name) => name.includes("received"))).toEqual([]);
		expect(readdirSync(folder.paths.snapshots).filter((name) => !/^\d{16}\.db$/.test(name))).toEqual([]);
		return folder.dump();
	};

	test("becomes the state: rows, digest, members; a crash after any step leaves the old one or the new one", async () => {
		const { exchange, state, paths } = exchangeOn(folder.dataDir);
		const crashes: [string, StateCopy][] = [];
		const crash = (step: string, expected: StateCopy) => {
			cpSync(folder.dataDir, join(folder.folder, `after ${step}`), { recursive: true });
			crashes.push([step, expected]);
		};
		await exchange.begin(offer);
		crash("begin", old);
		await exchange.write(0, bytes.slice(0, 40_000), crc32c(bytes.slice(0, 40_000)));
		crash("a part", old);
		await exchange.write(40_000, bytes.slice(40_000), crc32c(bytes));
		crash("all parts", old);
		await exchange.finish(offer);
		crash("finish", old);
		await beginLogAnew(paths.log);
		crash("the log begins anew", next);
		rmSync(`${paths.state}.seal`, { force: true });
		crash("the seal is gone", next);
		await exchange.install(offer.meta);
		crash("install", next);
		expect(metaOf(state, founders)).toEqual(offer.meta);
		close(state);
		for (const [step, expected] of crashes) {
			const found = await started(join(folder.folder, `after ${step}`));
			expect({ step, ...found }).toEqual({ step, ...afterStarts(expected, 1) });
		}
	}, 60_000);

	test("in the midst of the moves: the state is in its place and the snapshot is not, or neither is", async () => {
		const { exchange, state, paths } = exchangeOn(folder.dataDir);
		await receive(exchange);
		await exchange.finish(offer);
		close(state);
		await beginLogAnew(paths.log);
		for (const suffix of ["-wal", "-shm", ".seal"]) rmSync(paths.state + suffix, { force: true });
		const removed = join(folder.folder, "removed");
		cpSync(folder.dataDir, removed, { recursive: true });
		const moved = join(folder.folder, "moved");
		cpSync(folder.dataDir, moved, { recursive: true });
		cpSync(`${pathsOf(moved).state}.received`, pathsOf(moved).state);
		rmSync(`${pathsOf(moved).state}.received`);
		const damaged = join(folder.folder, "damaged");
		cpSync(folder.dataDir, damaged, { recursive: true });
		writeFileSync(`${pathsOf(damaged).state}.received`, "half a copy");
		for (const place of [removed, moved, damaged]) expect(await started(place)).toEqual(afterStarts(next, 1));
	}, 60_000);

	test("is refused when it was damaged on the way, cut short, or is another one than was said; the next one is not", async () => {
		const { exchange, state } = exchangeOn(folder.dataDir);
		const damaged = join(folder.folder, "damaged.db");
		writeFileSync(damaged, bytes);
		flipText(damaged, '"name":"user-7"');
		const wrong = { ...offer, meta: { ...offer.meta, index: offer.meta.index + 1 } };
		const members = { index: 0, configuration: { ...founders.configuration, voters: ["somebody"] } };
		for (const [what, data, said] of [
			["a flipped bit", readFileSync(damaged), offer],
			["a part only", bytes.slice(0, 20_000), offer],
			["no database", new TextEncoder().encode("no database".repeat(1000)), offer],
			["another index", bytes, wrong],
			["another term", bytes, { ...offer, meta: { ...offer.meta, term: 7 } }],
			["other members", bytes, { ...offer, meta: { ...offer.meta, configuration: members } }],
		] as const) {
			await receive(exchange, data);
			const error = await exchange.finish(said).then(
				() => new Error("it was taken"),
				(failure: unknown) => failure,
			);
			expect({ what, error }).toMatchObject({ what, error: { code: "corrupt" } });
			await exchange.discard();
		}
		// Of one that does not say who the members are, they are those that the leader names.
		const [plain, data] = withoutMembers;
		await receive(exchange, data);
		await exchange.finish({ ...plain, meta: { ...plain.meta, configuration: members } });
		await exchange.install(plain.meta);
		expect(state.configuration).toEqual(members);
	});

	test("given up at any time, it leaves nothing; a part that is missing is noticed", async () => {
		const before = folder.contents();
		const { exchange, state, paths } = exchangeOn(folder.dataDir);
		await receive(exchange, bytes.slice(0, 30_000));
		await expect(exchange.write(90_000, bytes.slice(90_000), 0)).rejects.toMatchObject({ code: "corrupt" });
		await exchange.discard();
		await receive(exchange);
		await exchange.finish(offer);
		await exchange.discard();
		await receive(exchange, bytes.slice(0, 100));
		// Another one takes its place.
		await receive(exchange);
		await exchange.discard();
		close(state);
		expect(folder.contents()).toEqual(before);
		expect(existsSync(paths.snapshots)).toBe(true);
	});

	test("for which there is no room is refused before its first byte", async () => {
		const { exchange, paths } = exchangeOn(folder.dataDir);
		const refused = exchange.begin({ ...offer, sizeBytes: 2 ** 50 });
		expect(await refused.catch((error: AppError) => error.code)).toBe("no-space");
		expect(readdirSync(paths.snapshots)).not.toContain("received.part");
		await exchange.begin(offer);
		await exchange.discard();
	});

	test("goes on after a restart: what was durable is there, checked; whatever is not what it was is thrown away", async () => {
		const before = folder.contents();
		const cut = 70_000;
		const half = async (): Promise<void> => {
			const { exchange, state } = exchangeOn(folder.dataDir, { keptEveryBytes: 20_000 });
			await exchange.begin(offer);
			for (let at = 0; at < cut; at += 10_000)
				await exchange.write(at, bytes.slice(at, at + 10_000), crc32c(bytes.slice(0, at + 10_000)));
			await exchange.close();
			close(state);
		};
		const { snapshots } = folder.paths;
		const [part, progress] = ["received.part", "received.progress"].map((name) => join(snapshots, name)) as [
			string,
			string,
		];
		const spoiled: [string, () => void, number?][] = [
			["a byte of it", () => writeFileSync(part, Buffer.from(readFileSync(part)).fill(1, 500, 501))],
			["its end", () => writeFileSync(part, readFileSync(part).subarray(0, 50_000))],
			["what is said of it", () => writeFileSync(progress, readFileSync(progress).fill(50, 60, 62))],
			["the file", () => rmSync(part)],
			["the file that says how far", () => rmSync(progress)],
			["the state reaches as far", () => {}, offer.meta.index],
		];
		for (const [what, spoil, index = 0] of spoiled) {
			await half();
			spoil();
			const { exchange, state } = exchangeOn(folder.dataDir);
			expect({ what, resume: await exchange.resume(index) }).toEqual({ what, resume: null });
			close(state);
			expect({ what, contents: folder.contents() }).toEqual({ what, contents: before });
		}
		await half();
		const { exchange, state } = exchangeOn(folder.dataDir);
		expect(await exchange.resume(0)).toEqual({ offer, offset: 60_000, crc: crc32c(bytes.slice(0, 60_000)) });
		exchange.clear();
		await exchange.write(60_000, bytes.slice(60_000), crc32c(bytes));
		await exchange.finish(offer);
		await exchange.install(offer.meta);
		expect(metaOf(state, founders)).toEqual(offer.meta);
		expect(readdirSync(snapshots)).toEqual([snapshotName(offer.meta.index)]);
		close(state);
	});

	test("of which a part is there: a start takes it for nothing else, and removes it when it is of no use", async () => {
		const { exchange, state } = exchangeOn(folder.dataDir, { keptEveryBytes: 20_000 });
		await exchange.begin(offer);
		await exchange.write(0, bytes.slice(0, 40_000), crc32c(bytes.slice(0, 40_000)));
		await exchange.close();
		close(state);
		const { store } = await folder.open();
		expect(readdirSync(folder.paths.snapshots).toSorted()).toEqual(["received.part", "received.progress"]);
		await folder.close(store);
		// Of another node's folder.
		const other = { ...offer, to: "somebody" };
		const again = exchangeOn(folder.dataDir, { keptEveryBytes: 20_000 });
		await again.exchange.begin(other);
		await again.exchange.write(0, bytes.slice(0, 40_000), crc32c(bytes.slice(0, 40_000)));
		await again.exchange.close();
		close(again.state);
		expect(await started(folder.dataDir)).toEqual(afterStarts(old, 2));
	});

	test("that is needed at a start and is nowhere is said, and nothing is changed", async () => {
		const { exchange, state, paths } = exchangeOn(folder.dataDir);
		await receive(exchange);
		await exchange.finish(offer);
		close(state);
		await beginLogAnew(paths.log);
		rmSync(join(paths.snapshots, `received-${snapshotName(offer.meta.index)}`));
		const before = folder.contents();
		await expect(folder.open()).rejects.toMatchObject({
			code: "corrupt",
			message: expect.stringMatching(/no intact snapshot reaches the log, which begins at \d+\. Nothing was changed/),
		});
		expect(folder.contents()).toEqual(before);
		// "Put a file of snapshots/ back."
		writeFileSync(join(paths.snapshots, snapshotName(offer.meta.index)), bytes, { mode: 0o600 });
		expect(await started(folder.dataDir)).toEqual(afterStarts(next, 1));
	});
});
