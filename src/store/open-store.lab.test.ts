/** A data folder on a disk that is really full: a small tmpfs. Needs root, to mount it. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import type { AppError } from "../lib/errors.ts";
import { idSource } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { run } from "../lib/run.ts";
import { KiB, MiB } from "../lib/units.ts";
import { fixtureCluster, fixtureId, fixtureUser } from "../testing/fixtures.ts";
import { loneNode } from "../testing/store-identity.ts";
import { openStore } from "./open-store.ts";
import { proposer } from "./proposer.ts";
import type { Store } from "./store.ts";

let folder: string;
let opened: Store | null = null;
beforeEach(async () => {
	folder = mkdtempSync(join(tmpdir(), "limiquantix-full-"));
	await run("mount", ["-t", "tmpfs", "-o", "size=16m,mode=0700", "tmpfs", folder], { timeoutMs: 10_000 });
});
afterEach(async () => {
	await opened?.close();
	await run("umount", ["--", folder], { timeoutMs: 10_000 });
	rmSync(folder, { recursive: true });
});

async function open(reserveBytes: number): Promise<Store> {
	opened = await openStore({
		...loneNode,
		dataDir: join(folder, "data"),
		clock: systemClock,
		logger: silentLogger,
		fsync: true,
		reserveBytes,
		onFatal: (error) => {
			throw error;
		},
	});
	return opened;
}
const ids = idSource(systemClock, systemRandom);
const ballast = () => join(folder, "ballast");
/** Leaves about so much free space. */
async function leaveFree(bytes: number): Promise<void> {
	rmSync(ballast(), { force: true });
	const { stdout } = await run("df", ["--output=avail", "-B1", "--", folder], { timeoutMs: 10_000 });
	writeFileSync(ballast(), new Uint8Array(Math.max(0, Number(stdout.trim().split("\n").at(-1)) - bytes)));
}
const addUser = (store: Store, name: string) =>
	proposer(store, systemClock, ids).proposeSystem({
		kind: "userCreate",
		user: fixtureUser({ id: ids.newId(), name, displayName: "x".repeat(128) }),
		passwordHash: `$${"y".repeat(1000)}`,
	});

/** Adds users until the disk is full; their names, and the error. */
async function fill(store: Store, prefix: string): Promise<{ added: string[]; error: AppError }> {
	const added: string[] = [];
	for (let number = 0; ; number++) {
		const name = `${prefix}${number}`;
		const error = await addUser(store, name).then(
			() => null,
			(failure: AppError) => failure,
		);
		if (error !== null) return { added, error };
		added.push(name);
	}
}

test("the log stops before the disk is full, and goes on when there is space again", async () => {
	const store = await open(2 * MiB);
	await proposer(store, systemClock, ids).proposeSystem(fixtureCluster());
	await leaveFree(3 * MiB);
	const { added, error } = await fill(store, "a");
	expect(error.code).toBe("no-space");
	expect(added.length).toBeGreaterThan(5);
	// Deleting still works: it is what makes space.
	const last = store.userByName(added.at(-1) ?? "");
	await proposer(store, systemClock, ids).proposeSystem({ kind: "userDelete", id: last?.user.id ?? "" });
	rmSync(ballast());
	await addUser(store, "afterwards");
	await store.close();
	const again = await open(2 * MiB);
	expect(again.count("user")).toBe(added.length + 1);
	expect(again.userByName("afterwards")).not.toBeNull();
	await again.close();
});

test("without any reserve, when every byte is taken: nothing acknowledged is lost, and it starts again", async () => {
	let store = await open(0);
	await proposer(store, systemClock, ids).proposeSystem(fixtureCluster());
	const acknowledged: string[] = [];
	for (let round = 0; round < 5; round++) {
		await leaveFree(round * 37 * KiB);
		const { added, error } = await fill(store, `r${round}-`);
		acknowledged.push(...added);
		expect(error.code).toBe("no-space");
		rmSync(ballast());
		await store.close();
		store = await open(0);
		for (const name of acknowledged) expect(store.userByName(name)).not.toBeNull();
		await addUser(store, `between-${round}`);
	}
	expect(store.get("user", fixtureId(5))?.name).toBe("admin");
	await store.close();
});
