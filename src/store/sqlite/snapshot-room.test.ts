/** Room for a snapshot that arrives: asked for before, lent until it is the state or is thrown away. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { emptyConfiguration } from "../../raft/configuration.ts";
import type { Offer } from "../../raft/snapshot-stream.ts";
import { clusterIds } from "../../testing/fixtures.ts";
import { StoreFolder } from "../../testing/store-folder.ts";
import { crc32c } from "../log/crc32c.ts";
import { openStateFile } from "./database.ts";
import { SnapshotExchange } from "./snapshot-exchange.ts";
import { snapshotName } from "./snapshot-files.ts";
import type { StateDatabase } from "./state-database.ts";

const founders = { index: 0, configuration: { ...emptyConfiguration, voters: [clusterIds.node] } };
let folder: StoreFolder;
let offer: Offer;
let bytes: Uint8Array;
/** What was asked for, and "back". */
let room: (number | "back")[];
let isThere: boolean;
let opened: StateDatabase | null;

beforeEach(async () => {
	folder = new StoreFolder();
	[room, isThere, opened] = [[], true, null];
	await folder.fill(2);
	const { store } = await folder.open();
	const index = store.appliedIndex;
	const made = join(folder.folder, snapshotName(index));
	await store.snapshot(made);
	await folder.close(store);
	bytes = readFileSync(made);
	const meta = { index, term: 2, configuration: founders };
	offer = {
		...{ type: "offer", clusterId: clusterIds.cluster, from: "other", to: clusterIds.node, term: 2 },
		...{ snapshot: "theirs", meta, sizeBytes: bytes.length, crc: crc32c(bytes) },
	};
});
afterEach(async () => {
	opened?.close();
	await folder.remove();
});

const lender = {
	async takeRoom(wanted: number) {
		room.push(wanted);
		return isThere;
	},
	giveRoomBack: () => void room.push("back"),
};
function exchangeOn(parts: { room?: typeof lender } = { room: lender }): SnapshotExchange {
	opened?.close();
	opened = openStateFile(folder.paths.state);
	return new SnapshotExchange({
		...{ directory: folder.paths.snapshots, statePath: folder.paths.state, state: opened, founders },
		make: () => Promise.reject(new Error("none is to be made")),
		exclusively: async (work) => work(),
		onReplaced: () => {},
		keptEveryBytes: 1,
		...parts,
	});
}
const part = (length: number): [Uint8Array, number] => [bytes.slice(0, length), crc32c(bytes.slice(0, length))];

test("it is lent for what arrives and its copy, until it is the state", async () => {
	const exchange = exchangeOn();
	await exchange.begin(offer);
	room.splice(0, room.indexOf(2 * bytes.length));
	await exchange.write(0, ...part(bytes.length));
	await exchange.finish(offer);
	expect(room).toEqual([2 * bytes.length]);
	await exchange.install(offer.meta);
	expect(room).toEqual([2 * bytes.length, "back"]);
});

test("it is given back when what arrived is thrown away, or another one comes", async () => {
	const exchange = exchangeOn();
	await exchange.begin(offer);
	await exchange.begin({ ...offer, sizeBytes: 7 });
	await exchange.discard();
	expect(room.slice(room.indexOf(2 * bytes.length))).toEqual([2 * bytes.length, "back", 14, "back"]);
});

test("without it nothing begins", async () => {
	const exchange = exchangeOn();
	isThere = false;
	await expect(exchange.begin(offer)).rejects.toMatchObject({ code: "no-space" });
	expect(readdirSync(folder.paths.snapshots)).toEqual([]);
	// What is free says it where nobody lends anything.
	const alone = exchangeOn({});
	await expect(alone.begin({ ...offer, sizeBytes: 2 ** 50 })).rejects.toMatchObject({ code: "no-space" });
	await alone.begin(offer);
	await alone.discard();
});

test("where there is none, this node's own snapshots but the newest go first", async () => {
	const own = [3, 5, 4].map(snapshotName);
	for (const name of own) writeFileSync(join(folder.paths.snapshots, name), "one of before");
	const asked: number[] = [];
	const until = (names: number) => ({
		...lender,
		async takeRoom(wanted: number) {
			asked.push(wanted);
			return readdirSync(folder.paths.snapshots).length <= names;
		},
	});
	const exchange = exchangeOn({ room: until(1) });
	await exchange.begin(offer);
	expect(asked).toEqual([2 * bytes.length, 2 * bytes.length]);
	expect(readdirSync(folder.paths.snapshots).sort()).toEqual([snapshotName(5), "received.part"]);
	await exchange.discard();
	// One that is left stays, also when that does not help.
	await expect(exchangeOn({ room: until(0) }).begin(offer)).rejects.toMatchObject({ code: "no-space" });
	expect(readdirSync(folder.paths.snapshots)).toEqual([snapshotName(5)]);
});

test("after a restart it is lent for what is still to come; without it what was there goes", async () => {
	const before = exchangeOn();
	await before.begin(offer);
	await before.write(0, ...part(1000));
	await before.close();
	room = [];
	const after = exchangeOn();
	expect(await after.resume(0)).toMatchObject({ offset: 1000 });
	expect(room).toEqual([2 * bytes.length - 1000]);
	await after.close();
	isThere = false;
	expect(await exchangeOn().resume(0)).toBeNull();
	expect([room.at(-1), readdirSync(folder.paths.snapshots)]).toEqual(["back", []]);
});

test("a start that has to install one asks for what the copy takes, and goes on without an answer", async () => {
	const { index } = offer.meta;
	for (const there of [true, false]) {
		const exchange = exchangeOn();
		await exchange.begin(offer);
		await exchange.write(0, ...part(bytes.length));
		await exchange.finish(offer);
		room = [];
		isThere = there;
		const started = exchangeOn();
		expect(await started.completeInstall(index)).toEqual(offer.meta);
		expect(room).toEqual([bytes.length, "back"]);
		isThere = true;
	}
	// From one of this node's own, too.
	const own = join(folder.paths.snapshots, snapshotName(index));
	expect(existsSync(own)).toBe(true);
	room = [];
	expect(await exchangeOn().completeInstall(index)).toEqual(offer.meta);
	expect(room).toEqual([bytes.length, "back"]);
});
