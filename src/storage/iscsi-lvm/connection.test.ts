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
let says: (portal: Portal) => AppError | null;
let tried: Portal[];
let number = 0;

beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "lqx-connection-"));
	sessions = [];
	says = () => null;
	tried = [];
	number += 1;
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function connection(): IscsiConnection {
	const lun = { device: "/dev/sdx", sizeBytes: 1024, paths: [], map: null };
	const iscsi: ConnectionParts["iscsi"] = {
		async login({ portals: asked }, begin = async () => {}) {
			const made = asked.filter((portal) => !sessions.includes(portal));
			if (made.length > 0) await begin(made);
			sessions.push(...made);
			return { made, reused: asked.filter((portal) => !made.includes(portal)), failed: [] };
		},
		async logout(_target, ended) {
			sessions = sessions.filter(({ host }) => !ended.some((one) => one.host === host));
		},
		sessions: async () =>
			sessions.map(({ host, port }) => ({ name: host, target: "", host, port, state: "LOGGED_IN" })),
		rescan: async () => {},
		async tryLogin(_target, portal) {
			tried.push(portal);
			const error = says(portal);
			if (error) throw error;
		},
	};
	const luns: ConnectionParts["luns"] = {
		...{ find: async () => lun, joined: async () => lun, disks: async () => [], isUsed: async () => false },
		trouble: async () => ({ dead: null, weak: null }),
	};
	const chap = { user: "node", password: "initiator-secret", mutual: null };
	const target: IscsiTarget = { target: `iqn.2026-11.test.limiquantix:c${number}`, portals, chap };
	const multipath = { remove: async () => {}, resize: async () => {} };
	return new IscsiConnection(`pool-${number}`, target, "naa.6", {
		...{ iscsi, luns, multipath, log: silentLogger, runFolder: folder },
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
