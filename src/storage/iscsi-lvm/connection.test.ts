/** A session that is there already proves nothing about the credentials of a pool: the target is asked, beside it. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/log.ts";
import { waitUntil } from "../../testing/lab/wait-until.ts";
import { type ConnectionParts, IscsiConnection } from "./connection.ts";
import type { IscsiTarget } from "./iscsi.ts";
import type { Portal } from "./names.ts";
import type { IscsiDisk } from "./sysfs.ts";

const portals = [
	{ host: "10.0.0.1", port: 3260 },
	{ host: "10.0.0.2", port: 3260 },
];
const refusal = new AppError("storage", "The target refused the name or the password (CHAP).", {
	context: { refused: true },
});
const silence = new AppError("timeout", "There was no answer in time.");
let folder: string;
let sessions: Portal[];
/** What a try says at each portal. */
let says: (portal: Portal) => AppError | null | Promise<null>;
let tried: Portal[];
/** Where a login fails. */
let silent: Portal[];
/** LVM works on a map; what was done with it. */
let hasMap: boolean;
let joined: number;
let removed: number;
let flushed: number;
/** Something is stacked on the LUN. */
let isUsed: boolean;
/** Hosts whose sessions have lost their connections. */
let dead: string[];
let number = 0;

beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "lqx-connection-"));
	sessions = [];
	says = () => null;
	tried = [];
	silent = [];
	[hasMap, joined, removed, flushed, isUsed] = [false, 0, 0, 0, false];
	dead = [];
	number += 1;
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function connection(more: Partial<ConnectionParts> = {}, at = portals): IscsiConnection {
	const map = { device: "dm-2", name: "mpatha", uuid: "mpath-36" };
	const lun = () => ({ device: "/dev/sdx", sizeBytes: 1024, paths: [], good: [], map: hasMap ? map : null });
	const iscsi: ConnectionParts["iscsi"] = {
		async login({ portals: asked }, begin = async () => {}) {
			const missing = asked.filter((portal) => !sessions.includes(portal));
			const made = missing.filter((portal) => !silent.includes(portal));
			if (missing.length > 0) await begin(missing);
			sessions.push(...made);
			const failed = missing.filter((portal) => silent.includes(portal)).map((portal) => ({ portal, error: silence }));
			return { made, reused: asked.filter((portal) => !missing.includes(portal)), failed };
		},
		async logout(_target, ended) {
			sessions = sessions.filter(({ host }) => !ended.some((one) => one.host === host));
		},
		sessions: async () =>
			sessions.map(({ host, port }) => ({
				...{ name: host, target: "", host, port },
				state: dead.includes(host) ? "FAILED" : "LOGGED_IN",
			})),
		rescan: async () => {},
		async tryLogin(_target, portal) {
			tried.push(portal);
			const error = await says(portal);
			if (error) throw error;
		},
	};
	const luns: ConnectionParts["luns"] = {
		...{
			find: async () => lun(),
			seenBy: async () => {},
			disks: async () => sessions.map(({ host }) => ({ wwid: "naa.6", session: host }) as IscsiDisk),
			isUsed: async () => isUsed,
		},
		trouble: async () => ({ dead: null, weak: null }),
		async joined() {
			hasMap = true;
			joined += 1;
			return lun();
		},
	};
	const chap = { user: "node", password: "initiator-secret", mutual: null };
	const target: IscsiTarget = { target: `iqn.2026-11.test.limiquantix:c${number}`, portals: at, chap };
	const multipath = {
		resize: async () => {},
		async remove(_poolId: string, map: object | null) {
			if (map === null) return;
			hasMap = false;
			removed += 1;
		},
		async flush() {
			hasMap = false;
			flushed += 1;
		},
	};
	return new IscsiConnection(`pool-${number}`, target, "naa.6", {
		...{ iscsi, luns, multipath, log: silentLogger, runFolder: folder, ...more },
	});
}

test("a try fails when the target refuses these credentials, and leaves the session that is in use alone", async () => {
	sessions = [...portals];
	says = () => refusal;
	await expect(connection().connect({ trial: true })).rejects.toBe(refusal);
	expect(sessions).toEqual(portals);
	// One portal that refuses is enough: it will at the next login.
	says = ({ host }) => (host === "10.0.0.2" ? refusal : null);
	await expect(connection().connect({ trial: true })).rejects.toBe(refusal);
	says = () => null;
	await (await connection().connect({ trial: true })).undo();
	expect(sessions).toEqual(portals);
});

test("what was logged in for the try has been proved by that", async () => {
	const { undo } = await connection().connect({ trial: true });
	expect(tried).toEqual([]);
	await undo();
	expect(sessions).toEqual([]);
});

test("a try fails when no portal answers, and is content with one of two", async () => {
	sessions = [...portals];
	says = () => silence;
	await expect(connection().connect({ trial: true })).rejects.toBe(silence);
	says = ({ host }) => (host === "10.0.0.1" ? silence : null);
	await (await connection().connect({ trial: true })).undo();
});

test("a pool goes on with the session that is there, says what will be when that is lost, and takes it back", async () => {
	sessions = [...portals];
	says = () => refusal;
	const pool = connection();
	await pool.connect();
	const { dead, weak } = await waitUntil("the warning", 5000, async () => {
		const found = await pool.trouble();
		return found.weak === null ? undefined : found;
	});
	expect(dead).toBeNull();
	expect(weak).toContain(refusal.message);
	// Nothing new is known then.
	says = () => silence;
	await pool.rescan();
	expect((await pool.trouble()).weak).toBe(weak);
	says = () => null;
	await pool.rescan();
	expect((await pool.trouble()).weak).toBeNull();
});

test("a login that the target took clears what it had refused before", async () => {
	sessions = [...portals];
	says = () => refusal;
	const pool = connection();
	await pool.connect();
	await waitUntil("the warning", 5000, async () => (await pool.trouble()).weak !== null);
	sessions = [];
	await pool.connect();
	expect((await pool.trouble()).weak).toBeNull();
});

test("a portal that was down when the pool was connected is used once it answers, and asked before", async () => {
	const [first, second] = portals as [Portal, Portal];
	silent = [second];
	says = ({ host }) => (host === second.host ? silence : null);
	const pool = connection();
	await pool.connect();
	await pool.rescan();
	expect([sessions, tried, joined]).toEqual([[first], [second], 1]);
	silent = [];
	says = () => null;
	await pool.rescan();
	expect([sessions, joined]).toEqual([[first, second], 2]);
	// The one that it has begun by itself is its own.
	await pool.disconnect();
	expect(sessions).toEqual([]);
});

test("another process of the daemon goes on with the sessions that are there, and logs in at the others", async () => {
	const [first, second] = portals as [Portal, Portal];
	silent = [second];
	await connection().connect();
	const next = connection();
	await next.connect();
	silent = [];
	await next.rescan();
	expect(sessions).toEqual([first, second]);
});

test("a map is begun when the pool is connected, and not under a pool that works without one", async () => {
	silent = [portals[1] as Portal];
	const pool = connection();
	await pool.connect();
	hasMap = false;
	silent = [];
	await pool.rescan();
	expect([sessions, joined]).toEqual([[...portals], 1]);
});

test("a pool that is let go of while a portal is asked is not logged in again", async () => {
	silent = [portals[1] as Portal];
	const pool = connection();
	await pool.connect();
	const asked = Promise.withResolvers<void>();
	const answer = Promise.withResolvers<null>();
	says = () => {
		asked.resolve();
		return answer.promise;
	};
	silent = [];
	const look = pool.rescan();
	await asked.promise;
	await pool.disconnect();
	answer.resolve(null);
	await look;
	expect(sessions).toEqual([]);
});

test("without the passwords of a pool that is gone, nothing is logged in at", async () => {
	silent = [portals[1] as Portal];
	const pool = connection({ isFormer: true });
	await pool.connect();
	silent = [];
	await pool.rescan();
	expect([sessions, tried]).toEqual([[portals[0] as Portal], []]);
});

test("a try takes the map away that it began, and leaves the one of the pool, also when it finds one more portal", async () => {
	await (await connection().connect({ trial: true })).undo();
	expect([sessions, removed]).toEqual([[], 1]);

	silent = [portals[1] as Portal];
	const pool = connection();
	await pool.connect();
	silent = [];
	await (await connection().connect({ trial: true })).undo();
	// The pool goes on with the session that the try began.
	expect([sessions, removed, hasMap]).toEqual([[...portals], 1, true]);

	// Sessions that are there for another LUN: the map is the try's all the same.
	await pool.disconnect();
	[sessions, hasMap, removed] = [[...portals], false, 0];
	await (await connection().connect({ trial: true })).undo();
	expect([sessions, removed]).toEqual([[...portals], 1]);
});

test("a LUN that somebody else has by now keeps its map, and its sessions, while it is used", async () => {
	const pool = connection();
	await pool.connect();
	isUsed = true;
	await pool.disconnect({ isOthers: true });
	expect([sessions, hasMap, removed, flushed]).toEqual([[...portals], true, 0, 0]);
	isUsed = false;
	await pool.disconnect({ isOthers: true });
	expect([sessions, hasMap, removed, flushed]).toEqual([[], false, 0, 1]);
});

test("what is stacked on the LUN keeps the sessions: the pool has not left then", async () => {
	const pool = connection();
	await pool.connect();
	isUsed = true;
	await expect(pool.disconnect()).rejects.toMatchObject({ code: "in-use" });
	// Another pool that leaves does not take them along.
	const other = connection();
	await (await other.connect({ trial: true })).undo();
	expect(sessions).toEqual(portals);
	isUsed = false;
	await pool.disconnect();
	expect(sessions).toEqual([]);
});

test("where a target has left a place, its dead session is ended, unless something is stacked on its disk", async () => {
	const [before, now] = portals as [Portal, Portal];
	await connection({}, [before]).connect();
	// It is where it was, and does not answer for a moment.
	dead = [before.host];
	await connection({}, [before]).connect();
	expect(sessions).toEqual([before]);
	isUsed = true;
	await connection({}, [now]).connect();
	expect(sessions).toEqual([before, now]);
	isUsed = false;
	// A try ends nothing that is the pool's.
	await (await connection({}, [now]).connect({ trial: true })).undo();
	expect(sessions).toEqual([before, now]);
	const pool = connection({}, [now]);
	await pool.connect();
	expect(sessions).toEqual([now]);
	await pool.disconnect();
	expect(sessions).toEqual([]);
});
