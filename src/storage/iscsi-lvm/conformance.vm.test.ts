/** The suite of all storage drivers on pools of both layouts, on a real iSCSI target in the storage lab VM. */
import { afterAll, beforeAll } from "bun:test";
import { GiB } from "../../lib/units.ts";
import { type LabLuns, labLuns, nodeId } from "../../testing/lab/storage-vm/inside/iscsi-pool.ts";
import { newId, storageConformance } from "../conformance.ts";
import { hostFilesIn, writeDisk } from "../local/testing/local-pool.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { extentBytes } from "./group.ts";
import { thinPoolName } from "./names.ts";
import { foreignLvNames } from "./testing/loop-pool.ts";

let lab: LabLuns;
/** Of a pool that could not be taken away: it is tried again, or the next test would find the LUN in use. */
let left: string | null = null;
const clear = async (poolId: string) => {
	left = poolId;
	await lab.clear(poolId);
	left = null;
};
beforeAll(async () => {
	lab = await labLuns({ portals: ["10.88.0.2"], sizes: [32 * GiB] });
}, 60_000);
afterAll(() => lab.close(), 60_000);

for (const layout of (["thick", "thin"] as const).filter((one) => (process.env.LAB_LAYOUT ?? one) === one))
	storageConformance({
		name: `iscsi-lvm, ${layout}`,
		capabilities: capabilitiesOf(layout, false),
		decodesQcow2: true,
		adoptsFiles: "Logical volumes are no files.",
		foreignNames: foreignLvNames.filter((name) => layout === "thick" || name !== thinPoolName),
		hasFolders: "a volume group has no folders",
		keepsUploads: "they grow in a folder of the node",
		// LVM says only of an active thin volume what it takes.
		...(layout === "thick"
			? { preallocates: true }
			: { copiesStandAlone: true, countsWhole: true, sizeStepBytes: extentBytes }),
		async open() {
			if (left !== null) await clear(left);
			const poolId = newId();
			const hostIds: Record<string, number> = layout === "thin" ? { [nodeId]: 1 } : {};
			const open = async () => {
				const driver = lab.driver(poolId, { layout, hostIds });
				await driver.activate();
				return driver;
			};
			let current = await open();
			return {
				driver: current,
				async reopen() {
					current = await open();
					return current;
				},
				async writeDisk(driver, id, position, bytes) {
					await driver.openVolume(id);
					await writeDisk(driver, id, position, bytes);
					await driver.closeVolume(id);
				},
				...hostFilesIn(lab.folder),
				placeForeign: (name) => lab.placeForeign(poolId, String(name)),
				close: () => clear(poolId),
			};
		},
	});
