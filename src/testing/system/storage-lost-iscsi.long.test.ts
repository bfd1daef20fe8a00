/** A LUN goes away under a running VM, and comes back; a thin pool of one node, in the storage lab VM. */
import { buildProbeGuest } from "../lab/probe-guest/probe-guest.ts";
import { testInStorageVm } from "../lab/storage-vm/inner-tests.ts";
import { cacheDir } from "./lab-system.ts";
import { probeFile } from "./nested-system.ts";

await testInStorageVm(["src/testing/system/storage-lost-iscsi.vm.test.ts"], {
	...{ cacheDir, limitMs: 2_000_000, files: { [probeFile]: await buildProbeGuest({ cacheDir }) } },
	environment: { LAB_LAYOUT: "thin" },
});
