/** The local driver with real qemu-img, on a real file system. No root needed. */
import { rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { storageConformance } from "../conformance.ts";
import { localDriver, openLocal, temporaryFolder, writeDisk } from "./testing/local-pool.ts";

storageConformance({
	name: "local",
	capabilities: localDriver("/tmp/unused").capabilities,
	decodesQcow2: true,
	async open() {
		const { path: folder } = await temporaryFolder();
		const open = () => openLocal(join(folder, "pool"));
		return {
			driver: await open(),
			reopen: open,
			writeDisk,
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
			close: () => rm(folder, { recursive: true, force: true }),
		};
	},
});
