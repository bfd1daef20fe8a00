/** The local driver with real qemu-img, on a real file system. No root needed. */
import { folderConformance } from "./testing/folder-conformance.ts";
import { openLocal } from "./testing/local-pool.ts";

await folderConformance({ name: "local", open: openLocal });
