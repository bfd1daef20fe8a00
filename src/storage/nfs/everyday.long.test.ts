/** A pool on NFS in the storage lab VM, as short as it shows that it works; nfs.long.test.ts and conformance.long.test.ts have all. */
import { join } from "node:path";
import { testInStorageVm } from "../../testing/lab/storage-vm/inner-tests.ts";

const cacheDir = join(import.meta.dir, "../../../.cache");

await testInStorageVm(["src/storage/nfs/everyday.vm.test.ts"], { cacheDir, limitMs: 270_000 });
