/** The conformance suite over NFS, in the storage lab VM: both versions of the protocol that servers have, root squashed and not. */
import { join } from "node:path";
import { testInStorageVm } from "../../testing/lab/storage-vm/inner-tests.ts";

const cacheDir = join(import.meta.dir, "../../../.cache");

for (const version of ["4.2", "3"])
	for (const root of ["squashed", "root"])
		await testInStorageVm(["src/storage/nfs/conformance.vm.test.ts"], {
			...{ cacheDir, limitMs: 1_500_000, environment: { LAB_NFS_VERSION: version, LAB_NFS_ROOT: root } },
		});
