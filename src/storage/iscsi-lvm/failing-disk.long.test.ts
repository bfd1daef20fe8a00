/** A pool on a LUN whose disk fails, in the storage lab VM. */
import { join } from "node:path";
import { testInStorageVm } from "../../testing/lab/storage-vm/inner-tests.ts";

const cacheDir = join(import.meta.dir, "../../../.cache");

await testInStorageVm(["src/storage/iscsi-lvm/failing-disk.vm.test.ts"], { cacheDir, limitMs: 900_000 });
