/** What can go wrong with pools on NFS, in the storage lab VM: its tests inside, each as one here. */
import { join } from "node:path";
import { testInStorageVm } from "../../testing/lab/storage-vm/inner-tests.ts";

const cacheDir = join(import.meta.dir, "../../../.cache");

await testInStorageVm(["src/storage/nfs/nfs.vm.test.ts"], { cacheDir, limitMs: 900_000 });
