/** A data folder of its own for a test of the store: opens it, changes it, damages it, and removes it at the end. */

import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clusterPathsOf, readNodeFile } from "../cluster/node-file.ts";
import { type Restored, type RestoreOptions, restoreSnapshot } from "../cluster/restore.ts";
import { assert } from "../lib/assert.ts";
import { systemClock } from "../lib/clock.ts";
import { type IdSource, idSource } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { type OpenStoreOptions, openStore, pathsOf } from "../store/open-store.ts";
import { proposer } from "../store/proposer.ts";
import { openStateFile } from "../store/sqlite/database.ts";
import type { Proposer, Store } from "../store/store.ts";
import { copyOfState, type StateCopy } from "./dump-state.ts";
import { fixtureCluster, fixtureUser } from "./fixtures.ts";
import { loneNode } from "./store-identity.ts";

export type OpenedStore = { store: Store; system: Proposer["proposeSystem"] };

export class StoreFolder {
	readonly ids: IdSource = idSource(systemClock, systemRandom);
	/** Everything is in here. */
	readonly folder = mkdtempSync(join(tmpdir(), "limiquantix-store-"));
	dataDir = join(this.folder, "data");
	readonly #opened = new Set<Store>();

	get paths() {
		return pathsOf(this.dataDir);
	}

	/** As the node that the folder says it is of. */
	async open(options: Partial<OpenStoreOptions> = {}): Promise<OpenedStore> {
		const identity = (await readNodeFile(clusterPathsOf(this.dataDir).node)) ?? loneNode.identity;
		const store = await openStore({
			...loneNode,
			identity,
			dataDir: this.dataDir,
			clock: systemClock,
			logger: silentLogger,
			fsync: false,
			onFatal: (error) => {
				throw error;
			},
			...options,
		});
		this.#opened.add(store);
		return { store, system: proposer(store, systemClock, this.ids).proposeSystem };
	}

	async close(store: Store): Promise<void> {
		this.#opened.delete(store);
		await store.close();
	}

	/** A cluster with users, closed again. */
	async fill(users: number): Promise<void> {
		const { store, system } = await this.open();
		await system(fixtureCluster());
		await this.addUsers(system, 0, users);
		await this.close(store);
	}

	async addUsers(system: OpenedStore["system"], first: number, count: number): Promise<void> {
		for (let number = first; number < first + count; number++) {
			const user = fixtureUser({ id: this.ids.newId(), name: `user-${number}` });
			await system({ kind: "userCreate", user, passwordHash: "$x" });
		}
	}

	/** A backup into the folder. */
	restore(snapshotPath: string, options: Partial<RestoreOptions> = {}): Promise<Restored> {
		const newId = () => this.ids.newId();
		const tools = { newId, nowMs: systemClock.nowMs(), logger: silentLogger };
		return restoreSnapshot({ snapshotPath, dataDir: this.dataDir, ...tools, ...options });
	}

	/** The whole state; nothing may be open. */
	dump(): StateCopy {
		const state = openStateFile(this.paths.state);
		try {
			return copyOfState(state.database);
		} finally {
			state.close();
		}
	}

	/** Hashes of all files but the lock. */
	contents(): Record<string, bigint | number> {
		return Object.fromEntries(
			readdirSync(this.dataDir, { recursive: true, withFileTypes: true })
				.filter((file) => file.isFile() && file.name !== "lock" && !file.name.endsWith("-shm"))
				.map((file) => join(file.parentPath, file.name))
				.map((path) => [path, Bun.hash(readFileSync(path))]),
		);
	}

	/** Moves what begins with `name` out of the data folder; answers with where it is. */
	moveAway(...names: string[]): string {
		const elsewhere = mkdtempSync(join(this.folder, "elsewhere-"));
		for (const file of readdirSync(this.dataDir))
			if (names.some((name) => file.startsWith(name))) renameSync(join(this.dataDir, file), join(elsewhere, file));
		return elsewhere;
	}

	snapshotNames(): string[] {
		return readdirSync(this.paths.snapshots)
			.filter((name) => /^\d+\.db$/.test(name))
			.sort();
	}

	segments(): string[] {
		return readdirSync(this.paths.log)
			.filter((name) => name.endsWith(".log"))
			.sort();
	}

	async remove(): Promise<void> {
		for (const store of this.#opened) await store.close();
		rmSync(this.folder, { recursive: true });
	}
}

/** Flips one bit in each place of a file where `text` stands, in its last letter or digit: it is another one then. */
export function flipText(path: string, text: string): void {
	const bytes = readFileSync(path);
	const inside = text.search(/\w\W*$/);
	let places = 0;
	for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + text.length)) {
		bytes[at + inside] = (bytes[at + inside] ?? 0) ^ 1;
		places += 1;
	}
	assert(places > 0, `${text} stands in ${path}`);
	writeFileSync(path, bytes);
}

/** Waits for a condition that another thread brings about. */
export async function until(condition: () => boolean): Promise<void> {
	const deadline = performance.now() + 10_000;
	while (!condition()) {
		if (performance.now() > deadline) throw new Error("the condition did not come about");
		await new Promise((resolve) => setImmediate(resolve));
	}
}
