/** The whole suite through a worker process, on an ordinary folder in place of a mount. */
import { rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { foreignFileNames, storageConformance } from "../conformance.ts";
import { mergeLayers, placeInFolder, temporaryFolder, writeDisk } from "../local/testing/local-pool.ts";
import { openWorkerPool } from "./testing/worker-pool.ts";

/** Known once a pool is active: what the file system can. */
const { capabilities } = await (async () => {
	await using folder = await temporaryFolder();
	const driver = await openWorkerPool(join(folder.path, "pool"));
	await driver.deactivate();
	return driver;
})();

storageConformance({
	name: "storage worker",
	capabilities,
	decodesQcow2: true,
	foreignNames: foreignFileNames,
	mergesLayers: true,
	adoptsFiles: "a file of one node is no volume of a pool that nodes share",
	async open() {
		const { path: folder } = await temporaryFolder();
		const driver = await openWorkerPool(join(folder, "pool"));
		const opened = [driver];
		return {
			driver,
			async reopen() {
				const again = await openWorkerPool(join(folder, "pool"));
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
