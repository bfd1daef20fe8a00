/** The whole suite through a worker process, on an ordinary folder in place of a mount. */
import { folderConformance } from "../local/testing/folder-conformance.ts";
import { openWorkerPool } from "./testing/worker-pool.ts";

await folderConformance({
	name: "storage worker",
	open: openWorkerPool,
	adoptsFiles: "a file of one node is no volume of a pool that nodes share",
});
