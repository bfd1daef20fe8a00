/** A VM over the loss of its NFS server, in the storage lab VM. */
import { buildProbeGuest } from "../lab/probe-guest/probe-guest.ts";
import { testInStorageVm } from "../lab/storage-vm/inner-tests.ts";
import { cacheDir } from "./lab-system.ts";
import { probeFile } from "./nested-system.ts";

await testInStorageVm(["src/testing/system/storage-loss-nfs.vm.test.ts"], {
	...{ cacheDir, limitMs: 1_200_000, files: { [probeFile]: await buildProbeGuest({ cacheDir }) } },
});
