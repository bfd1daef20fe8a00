/** The storage lab VM: its tests inside, each as one here. */
import { join } from "node:path";
import { testInStorageVm } from "./inner-tests.ts";

const cacheDir = join(import.meta.dir, "../../../../.cache");

await testInStorageVm(["src/testing/lab/storage-vm/inside/lab-itself.vm.test.ts"], { cacheDir, limitMs: 120_000 });
