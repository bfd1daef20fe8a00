/** A VM over the loss of its disk, in the storage lab VM. */
import { buildProbeGuest } from "../lab/probe-guest/probe-guest.ts";
import { testInStorageVm } from "../lab/storage-vm/inner-tests.ts";
import { cacheDir } from "./lab-system.ts";
import { probeFile } from "./nested-system.ts";

await testInStorageVm(["src/testing/system/storage-loss-disk.vm.test.ts"], {
	...{ cacheDir, limitMs: 400_000, files: { [probeFile]: await buildProbeGuest({ cacheDir }) } },
});
