/** The conformance suite over NFS 4.2, in the storage lab VM, root squashed and not. */
import { nfsConformance } from "../../testing/lab/storage-vm/conformance-part.ts";
import { testInStorageVm } from "../../testing/lab/storage-vm/inner-tests.ts";

for (const root of ["squashed", "root"] as const) await testInStorageVm(...nfsConformance("4.2", root));
