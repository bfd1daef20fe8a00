/** The whole suite on a local pool as the daemon has it: in a worker process, files taken over included. */
import { systemClock } from "../../lib/clock.ts";
import { silentLogger } from "../../lib/log.ts";
import { folderConformance } from "../local/testing/folder-conformance.ts";
import { poolId } from "../local/testing/local-pool.ts";
import { LocalPoolDriver } from "./local-pool.ts";
import { workerCommand } from "./testing/worker-pool.ts";

await folderConformance({
	name: "local pool in its worker",
	async open(path) {
		const driver = new LocalPoolDriver({
			...{ poolId, path, mayInitialize: true, protectedPaths: [], otherPools: () => [] },
			...{ clock: systemClock, log: silentLogger, worker: workerCommand },
		});
		await driver.activate();
		return driver;
	},
});
