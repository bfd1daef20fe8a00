/** The local driver with real qemu-img, on a real file system. No root needed. */
import { rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { foreignFileNames, storageConformance } from "../conformance.ts";
import { mergeLayers, openLocal, placeInFolder, temporaryFolder, writeDisk } from "./testing/local-pool.ts";

/** Known once a pool is active: what the file system can. */
const { capabilities } = await (async () => {
	await using folder = await temporaryFolder();
	return await openLocal(join(folder.path, "pool"));
})();

storageConformance({
	name: "local",
	capabilities,
	decodesQcow2: true,
	foreignNames: foreignFileNames,
	mergesLayers: true,
	async open() {
		const { path: folder } = await temporaryFolder();
		const open = () => openLocal(join(folder, "pool"));
		return {
			driver: await open(),
			reopen: open,
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
			close: () => rm(folder, { recursive: true, force: true }),
		};
	},
});
