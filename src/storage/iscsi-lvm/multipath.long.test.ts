/** Several portals, on the real thing, in the storage lab VM; each of its tests is one here. */
import { join } from "node:path";
import { testInStorageVm } from "../../testing/lab/storage-vm/inner-tests.ts";

await testInStorageVm(["src/storage/iscsi-lvm/multipath.vm.test.ts"], {
	cacheDir: join(import.meta.dir, "../../../.cache"),
	limitMs: 2_400_000,
});
