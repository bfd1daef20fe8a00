/** A thin pool runs full under a running VM, in the storage lab VM. */
import { buildProbeGuest } from "../lab/probe-guest/probe-guest.ts";
import { testInStorageVm } from "../lab/storage-vm/inner-tests.ts";
import { cacheDir } from "./lab-system.ts";
import { probeFile } from "./nested-system.ts";

await testInStorageVm(["src/testing/system/storage-full-thin.vm.test.ts"], {
	...{ cacheDir, limitMs: 1_100_000, files: { [probeFile]: await buildProbeGuest({ cacheDir }) } },
});
