/** How this very program is started as a storage worker. */
import { join } from "node:path";
import type { WorkerCommand } from "./worker-process.ts";

const verb = "storage-worker";

/** The executable has its code inside; run from the sources, it is Bun with main.ts, or the executable as Bun. */
export const workerCommand = (): WorkerCommand =>
	import.meta.dir.startsWith("/$bunfs/")
		? { program: process.execPath, args: [verb] }
		: {
				program: process.execPath,
				args: [join(import.meta.dir, "../../main.ts"), verb],
				environment: { BUN_BE_BUN: "1" },
			};
