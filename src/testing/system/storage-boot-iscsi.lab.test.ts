/** A VM boots from a pool on a LUN of an iSCSI target, in the storage lab VM; a thin one, since the locks of others take minutes. */
import { buildProbeGuest } from "../lab/probe-guest/probe-guest.ts";
import { testInStorageVm } from "../lab/storage-vm/inner-tests.ts";
import { cacheDir } from "./lab-system.ts";
import { probeFile } from "./nested-system.ts";

await testInStorageVm(["src/testing/system/storage-boot-iscsi.vm.test.ts"], {
	...{ cacheDir, limitMs: 1_500_000, files: { [probeFile]: await buildProbeGuest({ cacheDir }) } },
	environment: { LAB_LAYOUT: "thin" },
});
