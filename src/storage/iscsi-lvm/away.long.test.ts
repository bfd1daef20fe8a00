/** LUNs that go away, or move, while settings of their pools are to be changed, in the storage lab VM. */
import { join } from "node:path";
import { testInStorageVm } from "../../testing/lab/storage-vm/inner-tests.ts";

await testInStorageVm(["src/storage/iscsi-lvm/away.vm.test.ts"], {
	cacheDir: join(import.meta.dir, "../../../.cache"),
	limitMs: 600_000,
});
