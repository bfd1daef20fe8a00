/** The local driver beside qemu-img: verbs on volumes of 10 GB, the import of an image of 2 GB, a pool of 10,000 volumes. */
import { mkdtempSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../../lib/clock.ts";
import { idSource } from "../../../lib/ids.ts";
import { silentLogger } from "../../../lib/log.ts";
import { systemRandom as random } from "../../../lib/random.ts";
import { run } from "../../../lib/run.ts";
import { GiB, MiB } from "../../../lib/units.ts";
import { LocalPoolDriver } from "../../../storage/worker/local-pool.ts";
import { type Bench, type Figures, median, round, timed } from "../bench.ts";
import { driverRounds } from "./driver-rounds.ts";
import { qemuImgIn } from "./qemu-img-tool.ts";

const ids = idSource(systemClock, random);
const newId = () => ids.newId();
const imports = 3;
const manyVolumes = 10_000;
const limit = { timeoutMs: 600_000 };

export const storageLocal: Bench = {
	name: "storage-local",
	what: "local pool: create, clone, snapshot, delete of 10 GB against qemu-img; import of 2 GB; 10,000 volumes",
	async run({ runs = 15 }) {
		const folder = mkdtempSync("/var/tmp/lqx-bench-storage-");
		const opened: LocalPoolDriver[] = [];
		try {
			const driver = await openPool(join(folder, "pool"));
			opened.push(driver);
			const verbs = await driverRounds({
				...{ prefix: "storageLocal", driver, bare: qemuImgIn(folder), newId, rounds: runs },
			});
			const imported = await importFigures(driver, folder);
			const many = await openPool(join(folder, "many"));
			opened.push(many);
			return { ...verbs, ...imported, ...(await listFigures(many)) };
		} finally {
			for (const driver of opened) await driver.deactivate();
			rmSync(folder, { recursive: true, force: true });
		}
	},
};

/** As the daemon has it, in a process of its own. The caller deactivates it. */
async function openPool(path: string): Promise<LocalPoolDriver> {
	const parts = { clock: systemClock, log: silentLogger, protectedPaths: [], otherPools: () => [] };
	const driver = new LocalPoolDriver({ poolId: newId(), path, mayInitialize: true, ...parts });
	await driver.activate();
	return driver;
}

/** A raw file of 2 GB, half of it data, comes into the pool as an image; beside it the conversion alone. */
async function importFigures(driver: LocalPoolDriver, folder: string): Promise<Figures> {
	const source = join(folder, "source.raw");
	await writeHalfFull(source, 2 * GiB);
	const [ours, bare]: [number[], number[]] = [[], []];
	for (let number = 0; number < imports; number++) {
		const id = newId();
		const format = { format: "raw", sha256: null } as const;
		ours.push(await timed(() => driver.importFile(id, source, {}).then(() => driver.finishImage(id, format))));
		await driver.deleteImage(id);
		const target = join(folder, "converted.raw");
		const args = ["convert", "-f", "raw", "-O", "raw", "--", source, target];
		bare.push(await timed(() => run("qemu-img", args, limit).then(() => run("sync", [target], limit))));
		await rm(target);
	}
	await rm(source);
	return {
		storageLocalImport2GbMedianMs: round(median(ours), 0),
		storageLocalImport2GbBareMedianMs: round(median(bare), 0),
		storageLocalImport2GbRatio: round(median(ours) / median(bare)),
	};
}

async function writeHalfFull(path: string, bytes: number): Promise<void> {
	const file = Bun.file(path).writer();
	const data = Buffer.concat(Array.from({ length: 16 }, () => random.bytes(64 * 1024)));
	const empty = new Uint8Array(MiB);
	for (let written = 0; written < bytes; written += MiB) {
		file.write((written / MiB) % 2 === 0 ? data : empty);
		await file.flush();
	}
	await file.end();
}

async function listFigures(driver: LocalPoolDriver): Promise<Figures> {
	const empty = { format: "raw", sizeBytes: MiB, source: { kind: "empty" } } as const;
	for (let made = 0; made < manyVolumes; made += 50)
		await Promise.all(Array.from({ length: 50 }, () => driver.createVolume(newId(), empty)));
	const all: number[] = [];
	const slices: number[] = [];
	const known = (await driver.listVolumes()).map(({ id }) => id);
	for (let number = 0; number < 5; number++) {
		all.push(await timed(() => driver.listVolumes()));
		slices.push(await timed(() => driver.damagedVolumes(known.slice(0, 500))));
	}
	return {
		storageLocalList10000MedianMs: round(median(all), 0),
		storageLocalCheck500MedianMs: round(median(slices), 0),
	};
}
