/** NFS and iSCSI pointed at services that are none, in the storage lab VM; Ceph: ceph-rbd/bad-server.long.test.ts. */
import { join } from "node:path";
import { testInStorageVm } from "../testing/lab/storage-vm/inner-tests.ts";

const cacheDir = join(import.meta.dir, "../../.cache");

await testInStorageVm(["src/storage/bad-server.vm.test.ts"], { cacheDir, limitMs: 900_000 });
