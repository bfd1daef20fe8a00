/**
 * The whole suite over a real mount. LAB_NFS_VERSION says which version (default 4.2), LAB_NFS_ROOT whether root is `squashed` (the
 * default, as most servers have it) or `root` there too.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { newExport, nfsDriver } from "../../testing/lab/nfs/nfs-pool.ts";
import { foreignFileNames, newId, storageConformance } from "../conformance.ts";
import { hostFilesIn, placeInFolder, writeDisk } from "../local/testing/local-pool.ts";
import { qemuUser } from "./qemu-user.ts";

const version = process.env.LAB_NFS_VERSION === "3" ? "3" : "4.2";
const squash = process.env.LAB_NFS_ROOT !== "root";
const { path, folder: root } = await newExport(squash);

async function openPool(poolId: string, folder: string) {
	const driver = nfsDriver(path, { version, poolId, folder });
	await driver.activate();
	return driver;
}

const { capabilities } = await (async () => {
	const driver = await openPool(newId(), "first");
	await driver.deactivate();
	return driver;
})();

storageConformance({
	name: `NFS ${version}, root ${squash ? "squashed" : "as it is"}`,
	capabilities,
	decodesQcow2: true,
	foreignNames: foreignFileNames,
	adoptsFiles: "a file of one node is no volume of a pool that nodes share",
	async open() {
		const [poolId, folder] = [newId(), newId()];
		const opened = [await openPool(poolId, folder)];
		const [driver] = opened as [(typeof opened)[number]];
		const files = `/data/files/${folder}`;
		await mkdir(files, { recursive: true });
		return {
			driver,
			async reopen() {
				const again = await openPool(poolId, folder);
				opened.push(again);
				return again;
			},
			// As the guest would: where root may not write, by QEMU's user.
			async writeDisk(through, id, position, bytes) {
				await writeDisk(through, id, position, bytes, squash ? await qemuUser() : null);
			},
			...hostFilesIn(files),
			placeForeign: (name, what) => placeInFolder(join(root, folder), name, what),
			async close() {
				for (const one of opened) await one.deactivate();
				await rm(join(root, folder), { recursive: true, force: true });
				await rm(files, { recursive: true, force: true });
			},
		};
	},
});
