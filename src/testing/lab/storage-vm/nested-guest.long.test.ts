/** A guest in the storage lab VM. */
import { join } from "node:path";
import { buildGuestImage } from "../guest-image.ts";
import { testInStorageVm } from "./inner-tests.ts";

const cacheDir = join(import.meta.dir, "../../../../.cache");
const { qcow2Path } = await buildGuestImage({ cacheDir });

await testInStorageVm(["src/testing/lab/storage-vm/inside/nested-guest.vm.test.ts"], {
	...{ cacheDir, limitMs: 900_000, lifetimeMs: 1_000_000 },
	files: { "guest.qcow2": qcow2Path },
});
