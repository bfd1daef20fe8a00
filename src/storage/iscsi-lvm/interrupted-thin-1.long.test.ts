/** Operations in a thin pool that were cut short, in the storage lab VM: the pool, its volumes and images. */
import { join } from "node:path";
import { testInStorageVm } from "../../testing/lab/storage-vm/inner-tests.ts";

await testInStorageVm(["src/storage/iscsi-lvm/interrupted-thin.vm.test.ts"], {
	cacheDir: join(import.meta.dir, "../../../.cache"),
	limitMs: 1_800_000,
	named: /volumes are|images are|the pool is/,
});
