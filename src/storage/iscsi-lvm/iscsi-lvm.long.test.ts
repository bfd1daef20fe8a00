/** Pools on iSCSI on the real thing, in the storage lab VM; each of its tests is one here. */
import { join } from "node:path";
import { testInStorageVm } from "../../testing/lab/storage-vm/inner-tests.ts";

await testInStorageVm(["src/storage/iscsi-lvm/iscsi-lvm.vm.test.ts"], {
	cacheDir: join(import.meta.dir, "../../../.cache"),
	limitMs: 1_200_000,
});
