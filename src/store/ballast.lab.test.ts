/**
 * The ballast of a data folder whose disk others fill to the last byte: on a file system in memory, and on ext4. Needs root, to
 * mount them.
 */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import { idSource } from "../lib/ids.ts";
import { silentLogger } from "../lib/log.ts";
import { systemRandom } from "../lib/random.ts";
import { run } from "../lib/run.ts";
import { MiB } from "../lib/units.ts";
import { fixtureCluster, fixtureId, fixtureUser } from "../testing/fixtures.ts";
import { waitUntil } from "../testing/lab/wait-until.ts";
import { loneNode } from "../testing/store-identity.ts";
import { openStore, pathsOf } from "./open-store.ts";
import { proposer } from "./proposer.ts";
import type { Store } from "./store.ts";

const reserveBytes = 8 * MiB;
const limitMs = 120_000;
const stepMs = 40_000;
const ids = idSource(systemClock, systemRandom);
let folder: string;
let disk: string;
let opened: Store | null = null;
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "limiquantix-ballast-"));
	disk = join(folder, "disk");
});
afterEach(async () => {
	await close();
	await host("umount", "--", disk);
	rmSync(folder, { recursive: true });
});

const host = async (program: string, ...args: string[]) =>
	(await run(program, args, { timeoutMs: 20_000, okExitCodes: [0, 1] })).stdout;
const mounts: Record<string, () => Promise<void>> = {
	async memory() {
		await host("mkdir", disk);
		await host("mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "tmpfs", disk);
	},
	async ext4() {
		const image = join(folder, "image");
		await host("mkdir", disk);
		await host("truncate", "--size=64M", image);
		// As ext4 is made by default: a part is root's.
		await host("mkfs.ext4", "-q", "-F", "-m", "5", image);
		await host("mount", "-o", "loop", image, disk);
	},
};

const dataDir = () => join(disk, "data");
const filler = () => join(disk, "filler");
const heldBytes = () => {
	const found = statSync(pathsOf(dataDir()).ballast, { throwIfNoEntry: false });
	return found === undefined ? 0 : found.blocks * 512;
};
const untilWhole = () => waitUntil("the ballast", stepMs, () => heldBytes() >= reserveBytes);
/** Root's dd takes root's part, too. */
const fill = () =>
	host("dd", "if=/dev/zero", `of=${filler()}`, "oflag=append", "conv=notrunc,fsync", "bs=64K", "status=none");
const empty = () => rmSync(filler(), { force: true });

async function open(): Promise<Store> {
	opened = await openStore({
		...loneNode,
		...{ dataDir: dataDir(), clock: systemClock, logger: silentLogger, fsync: true },
		...{ reserveBytes, ballast: true },
		onFatal: (error) => {
			throw error;
		},
	});
	return opened;
}
async function close(): Promise<void> {
	await opened?.close();
	opened = null;
}
const grow = (store: Store, name: string) =>
	proposer(store, systemClock, ids).proposeSystem({
		kind: "userCreate",
		user: fixtureUser({ id: ids.newId(), name, displayName: "x".repeat(128) }),
		passwordHash: `$${"y".repeat(1000)}`,
	});
const rename = (store: Store, name: string) =>
	proposer(store, systemClock, ids).proposeSystem({ kind: "clusterUpdate", id: fixtureId(1), name });
const outcomeOf = (proposed: Promise<unknown>): Promise<string> =>
	proposed.then(
		() => "done",
		(error: { code: string }) => error.code,
	);

for (const [kind, mount] of Object.entries(mounts))
	describe(kind, () => {
		test(
			"what makes room works on a disk without a free byte, through a start, and the ballast comes back",
			async () => {
				await mount();
				let store = await open();
				await proposer(store, systemClock, ids).proposeSystem(fixtureCluster());
				await grow(store, "before");
				await untilWhole();
				await fill();
				expect(await outcomeOf(grow(store, "refused"))).toBe("no-space");
				for (let number = 0; number < 100; number++) await rename(store, `full-${number}`);
				const left = heldBytes();
				expect(left).toBeLessThan(reserveBytes);
				expect(left).toBeGreaterThan(0);

				await close();
				await fill();
				store = await open();
				expect(store.all("cluster")[0]?.name).toBe("full-99");
				await rename(store, "started");
				expect(await outcomeOf(grow(store, "refused"))).toBe("no-space");

				empty();
				await waitUntil(
					"something new to be taken",
					stepMs,
					async () => (await outcomeOf(grow(store, "new"))) === "done",
				);
				await untilWhole();
				expect(store.userByName("refused")).toBeNull();
				expect(store.userByName("before")).not.toBeNull();
			},
			limitMs,
		);

		test(
			"when even the ballast is used up nothing that was acknowledged is lost",
			async () => {
				await mount();
				let store = await open();
				await proposer(store, systemClock, ids).proposeSystem(fixtureCluster());
				await untilWhole();
				await fill();
				let last = "";
				for (let number = 0; ; number++) {
					const outcome = await outcomeOf(rename(store, `full-${number}`));
					if (outcome !== "done") {
						expect(outcome).toBe("no-space");
						break;
					}
					last = `full-${number}`;
					// What was given up is not all used: others take it at once.
					if (number % 100 === 0) await fill();
				}
				expect(store.all("cluster")[0]?.name).toBe(last);
				await close();
				empty();
				store = await open();
				expect(store.all("cluster")[0]?.name).toBe(last);
				await rename(store, "afterwards");
				await untilWhole();
			},
			limitMs,
		);
	});
