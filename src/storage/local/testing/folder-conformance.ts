/** The suite of all drivers on pools in an ordinary folder, whoever looks after it: the driver itself, or a worker with it. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { foreignFileNames, storageConformance } from "../../conformance.ts";
import type { StorageDriver } from "../../driver.ts";
import { hostFilesIn, mergeLayers, placeInFolder, temporaryFolder, writeDisk } from "./local-pool.ts";

export type FolderPool = {
	name: string;
	/** An active pool in this folder, which is made or is there already. */
	open: (path: string) => Promise<StorageDriver>;
	/** Why it takes over no files, if it does not. */
	adoptsFiles?: string;
};

export async function folderConformance({ open, ...under }: FolderPool): Promise<void> {
	storageConformance({
		...under,
		capabilities: await capabilitiesOf(open),
		decodesQcow2: true,
		foreignNames: foreignFileNames,
		mergesLayers: true,
		async open() {
			const { path: folder } = await temporaryFolder();
			const place = join(folder, "pool");
			const opened: StorageDriver[] = [];
			const openOne = async () => {
				const driver = await open(place);
				opened.push(driver);
				return driver;
			};
			return {
				driver: await openOne(),
				reopen: openOne,
				writeDisk,
				mergeLayers,
				...hostFilesIn(folder),
				placeForeign: (name, what) => placeInFolder(place, name, what),
				async close() {
					for (const one of opened) await one.deactivate();
					await rm(folder, { recursive: true, force: true });
				},
			};
		},
	});
}

/** Known once a pool is active: what the file system can. */
async function capabilitiesOf(open: FolderPool["open"]): Promise<StorageDriver["capabilities"]> {
	await using folder = await temporaryFolder();
	const driver = await open(join(folder.path, "pool"));
	await driver.deactivate();
	return driver.capabilities;
}
