/** Snapshots of a VM that runs, with disks in pools of all kinds that the storage lab VM has. */
import { buildProbeGuest } from "../lab/probe-guest/probe-guest.ts";
import { testInStorageVm } from "../lab/storage-vm/inner-tests.ts";
import { cacheDir } from "./lab-system.ts";
import { probeFile } from "./nested-system.ts";

await testInStorageVm(["src/testing/system/storage-snapshot.vm.test.ts"], {
	...{ cacheDir, limitMs: 3_000_000, files: { [probeFile]: await buildProbeGuest({ cacheDir }) } },
});
