/** Operations in a thin pool that were cut short, in the storage lab VM: copies, snapshots, disks that grow. */
import { join } from "node:path";
import { testInStorageVm } from "../../testing/lab/storage-vm/inner-tests.ts";

await testInStorageVm(["src/storage/iscsi-lvm/interrupted-thin.vm.test.ts"], {
	cacheDir: join(import.meta.dir, "../../../.cache"),
	limitMs: 1_800_000,
	named: /copies are|snapshots|grows/,
});
