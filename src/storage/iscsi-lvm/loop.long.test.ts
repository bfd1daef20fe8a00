/** The iscsi-lvm driver on LVM's real metadata, without iSCSI and device-mapper; see testing/loop-pool.ts. */
import { GiB } from "../../lib/units.ts";
import { storageConformance } from "../conformance.ts";
import { hostFilesIn, writeDisk } from "../local/testing/local-pool.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { foreignLvNames, loopPool } from "./testing/loop-pool.ts";

storageConformance({
	name: "iscsi-lvm on a loop device",
	capabilities: capabilitiesOf("thick", false),
	decodesQcow2: true,
	adoptsFiles: "Logical volumes are no files.",
	preallocates: true,
	foreignNames: foreignLvNames,
	hasFolders: "a volume group has no folders",
	keepsUploads: "they grow in a folder of the node",
	async open() {
		const pool = await loopPool(32 * GiB);
		const open = async () => {
			const driver = pool.driver();
			await driver.activate();
			return driver;
		};
		return {
			driver: await open(),
			reopen: open,
			async writeDisk(driver, id, position, bytes) {
				await driver.openVolume(id);
				await writeDisk(driver, id, position, bytes);
				await driver.closeVolume(id);
			},
			...hostFilesIn(pool.folder),
			placeForeign: (name) => pool.placeForeign(String(name)),
			close: () => pool[Symbol.asyncDispose](),
		};
	},
});
