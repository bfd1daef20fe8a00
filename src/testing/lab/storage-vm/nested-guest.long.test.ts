/** A guest in the storage lab VM. */
import { join } from "node:path";
import { buildGuestImage } from "../guest-image.ts";
import { buildProbeGuest } from "../probe-guest/probe-guest.ts";
import { testInStorageVm } from "./inner-tests.ts";

const cacheDir = join(import.meta.dir, "../../../../.cache");
const probe = await buildProbeGuest({ cacheDir });
const { qcow2Path } = await buildGuestImage({ cacheDir });

await testInStorageVm(["src/testing/lab/storage-vm/inside/nested-guest.vm.test.ts"], {
	...{ cacheDir, limitMs: 1_500_000, lifetimeMs: 1_600_000 },
	files: { "guest.qcow2": qcow2Path, "probe.raw": probe },
	environment: { LAB_WHOLE_GUEST: "1" },
});
