/** Live moves of a disk between files, NFS and a LUN, in the storage lab VM. */
import { buildProbeGuest } from "../lab/probe-guest/probe-guest.ts";
import { testInStorageVm } from "../lab/storage-vm/inner-tests.ts";
import { cacheDir } from "./lab-system.ts";
import { probeFile } from "./nested-system.ts";

await testInStorageVm(["src/testing/system/storage-move.vm.test.ts"], {
	...{ cacheDir, limitMs: 1_500_000, files: { [probeFile]: await buildProbeGuest({ cacheDir }) } },
});
