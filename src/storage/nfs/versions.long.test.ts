/** Pools in each version of NFS, in the storage lab VM. */
import { join } from "node:path";
import { testInStorageVm } from "../../testing/lab/storage-vm/inner-tests.ts";

const cacheDir = join(import.meta.dir, "../../../.cache");

await testInStorageVm(["src/storage/nfs/versions.vm.test.ts"], { cacheDir, limitMs: 600_000 });
