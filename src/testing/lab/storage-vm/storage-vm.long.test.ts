/** What is inside the storage lab VM for tests of drivers: the tests of that, each as one here. */
import { join } from "node:path";
import { testInStorageVm } from "./inner-tests.ts";

const cacheDir = join(import.meta.dir, "../../../../.cache");

await testInStorageVm(
	["nfs-server", "iscsi-target", "flaky-disk"].map((name) => `src/testing/lab/storage-vm/inside/${name}.vm.test.ts`),
	{ cacheDir, limitMs: 400_000 },
);
