/** For tests: a file pool behind a worker process, on an ordinary folder. */
import { realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { systemClock } from "../../../lib/clock.ts";
import { silentLogger } from "../../../lib/log.ts";
import { newId } from "../../conformance.ts";
import { poolId } from "../../local/testing/local-pool.ts";
import { WorkerDriver } from "../driver.ts";
import type { WorkerLimits } from "../worker-process.ts";

export const workerCommand = {
	program: process.execPath,
	args: [join(import.meta.dir, "../../../main.ts"), "storage-worker"],
};
const nodeId = newId();

type More = {
	user?: { uid: number; gid: number };
	nodeId?: string;
	limits?: Partial<WorkerLimits>;
	mayInitialize?: boolean;
	command?: typeof workerCommand;
};

class TestedDriver extends WorkerDriver {
	runAs(user: { uid: number; gid: number }): void {
		this.worker.runAs(user);
	}

	leave(work: () => Promise<void>): Promise<void> {
		return this.worker.leave(work);
	}

	/** Of the worker that is there now. */
	async processId(): Promise<number> {
		return (await this.worker.get()).processId;
	}
}

/** The caller deactivates it: that ends the process. */
export async function openWorkerPool(path: string, more: More = {}): Promise<TestedDriver> {
	const driver = new TestedDriver("nfs", {
		command: more.command ?? workerCommand,
		...{ clock: systemClock, log: silentLogger, limits: more.limits ?? {} },
		notImported: [],
		pool: {
			...{ poolId, path: join(await realpath(dirname(path)), basename(path)), protectedPaths: [], otherPools: [] },
			...{ mayInitialize: more.mayInitialize ?? true, sharedBy: more.nodeId ?? nodeId, lockWaitMs: 4000 },
		},
	});
	if (more.user) driver.runAs(more.user);
	await driver.activate();
	return driver;
}
