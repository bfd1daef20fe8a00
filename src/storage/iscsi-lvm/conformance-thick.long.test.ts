/** The suite of all drivers on a thick pool on a real iSCSI target, in the storage lab VM: half an hour on a machine with nothing else to do. */
import { join } from "node:path";
import { testInStorageVm } from "../../testing/lab/storage-vm/inner-tests.ts";

await testInStorageVm(["src/storage/iscsi-lvm/conformance.vm.test.ts"], {
	...{ cacheDir: join(import.meta.dir, "../../../.cache"), limitMs: 3_400_000, eachLimitMs: 300_000 },
	environment: { LAB_LAYOUT: "thick" },
});
