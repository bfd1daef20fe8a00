/** The whole suite on a local pool as the daemon has it: in a worker process, files taken over included. */
import { rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import { silentLogger } from "../../lib/log.ts";
import { foreignFileNames, storageConformance } from "../conformance.ts";
import { mergeLayers, placeInFolder, poolId, temporaryFolder, writeDisk } from "../local/testing/local-pool.ts";
import { LocalPoolDriver } from "./local-pool.ts";
import { workerCommand } from "./testing/worker-pool.ts";

async function openPool(path: string): Promise<LocalPoolDriver> {
	const driver = new LocalPoolDriver({
		...{ poolId, path, mayInitialize: true, protectedPaths: [], otherPools: () => [] },
		...{ clock: systemClock, log: silentLogger, worker: workerCommand },
	});
	await driver.activate();
	return driver;
}

/** Known once a pool is active: what the file system can. */
const { capabilities } = await (async () => {
	await using folder = await temporaryFolder();
	const driver = await openPool(join(folder.path, "pool"));
	await driver.deactivate();
	return driver;
})();

storageConformance({
	name: "local pool in its worker",
	capabilities,
	decodesQcow2: true,
	foreignNames: foreignFileNames,
	mergesLayers: true,
	async open() {
		const { path: folder } = await temporaryFolder();
		const driver = await openPool(join(folder, "pool"));
		const opened = [driver];
		return {
			driver,
			async reopen() {
				const again = await openPool(join(folder, "pool"));
				opened.push(again);
				return again;
			},
			writeDisk,
			mergeLayers,
			async hostFile(name, bytes) {
				const path = join(folder, name);
				await writeFile(path, bytes);
				return path;
			},
			hostFileExists: (path) =>
				stat(path).then(
					() => true,
					() => false,
				),
			removeHostFile: (path) => rm(path),
			placeForeign: (name, what) => placeInFolder(join(folder, "pool"), name, what),
			async close() {
				for (const one of opened) await one.deactivate();
				await rm(folder, { recursive: true, force: true });
			},
		};
	},
});
