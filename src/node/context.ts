/**
 * What every part of the node is given: identity, the state, the drivers, time. Built once by node.ts; nothing in
 * src/node reaches for a global. `stopping` is aborted by stop(): from then on nothing new begins, and what was not
 * finished stays in the state for the next start.
 */
import type { HypervisorDriver } from "../hypervisor/driver.ts";
import type { Clock } from "../lib/clock.ts";
import { isAppError } from "../lib/errors.ts";
import type { IdSource } from "../lib/ids.ts";
import type { Logger } from "../lib/log.ts";
import type { PoolCredentials } from "../model/pool-config.ts";
import type { Pool, PoolDiscover, PoolDiscovered } from "../model/storage.ts";
import type { Vm } from "../model/vm.ts";
import type { NetworkDriver } from "../network/driver.ts";
import type { PoolPlace, Progress, StorageDriver } from "../storage/driver.ts";
import type { CommandBody } from "../store/command.ts";
import type { Feature } from "../store/command-features.ts";
import type { Applied, Proposer, Store } from "../store/store.ts";
import { Connection } from "./connection.ts";
import { KeyedMutex, KeyedSemaphore, Semaphore } from "./gates.ts";
import type { HostFacts } from "./host.ts";
import { bounds, limits } from "./limits.ts";
import type { RemoteNodes } from "./remote.ts";
import { vmFilesInOrder } from "./vm-files.ts";
import type { VmFolders } from "./vm-folder.ts";
import type { VmStateFiles } from "./vm-state.ts";
import { Bell, withLimit } from "./wait.ts";

/**
 * Makes the driver of a pool on this node; called once for each pool. `wasReady`: the pool has held data here before, so
 * that an empty folder is an error (its disk is not mounted), not a new pool. `otherPools`: those with a folder on this
 * node, as they are when it is called.
 */
export type StorageRegistry = {
	open(
		pool: Pick<Pool, "id" | "name" | "type" | "config"> & {
			credentials: PoolCredentials | null;
			wasReady: boolean;
			otherPools: () => PoolPlace[];
		},
	): StorageDriver;
	/** What a server offers; see PoolDiscover. */
	discover(query: PoolDiscover): Promise<PoolDiscovered>;
	/** What tries and questions that were cut short have left on this host, which no pool of this node (`pools`) needs. */
	tidy?(pools: readonly Pick<Pool, "id" | "config">[]): Promise<void>;
};

/** Writes the NoCloud seed of a VM to `path`, whole or not at all. Only called for a VM with cloud-init settings. */
export type SeedWriter = (options: { path: string; vm: Vm; signal: AbortSignal }) => Promise<void>;

/** Gets what `url` serves into the upload area of the image; see storage/fetch-url.ts for what is refused. */
export type UrlFetcher = (options: {
	url: string;
	imageId: string;
	driver: StorageDriver;
	signal: AbortSignal;
	progress: Progress;
}) => Promise<void>;

export type NodeDeps = {
	nodeId: string;
	version: string;
	dataDir: string;
	demoImage: string | null;
	store: Store;
	proposer: Proposer;
	/** Do all members know it? A new field of a command is sent only then. */
	everybodyHas(feature: Feature): boolean;
	hypervisor: HypervisorDriver;
	storage: StorageRegistry;
	/**
	 * Of a pool, opened; null when it has none. `unavailable` while this node has not got the key. `sealed`: as the state had them, of one
	 * that is gone from it.
	 */
	credentials(poolId: string, sealed?: string): Promise<PoolCredentials | null>;
	network: NetworkDriver;
	seeds: SeedWriter;
	/** vmFolders of vm-folder.ts, but for tests. */
	folders: VmFolders;
	/** vmStateFiles of vm-state.ts, but for tests. */
	vmState: VmStateFiles;
	/** The other nodes of the cluster; noRemoteNodes of remote.ts when there are none. */
	remote: RemoteNodes;
	fetchUrl: UrlFetcher;
	host: HostFacts;
	/** As probed, and why. */
	accelerator: { kind: "kvm" | "tcg"; reason: string };
	clock: Clock;
	ids: IdSource;
	logger: Logger;
};

export type NodeContext = NodeDeps & {
	stopping: AbortSignal;
	vmSteps: Semaphore;
	heavyCopies: Semaphore;
	/** By pool id: questions about what VMs are to open. Those about a pool that hangs keep none about another one waiting. */
	poolLooks: KeyedSemaphore;
	/** "volume:<id>", "image:<id>": one at a time changes what is behind it. */
	locks: KeyedMutex;
	connection: Connection;
	/** proposeSystem, repeated with back-off while the cluster cannot take writes. */
	propose(body: CommandBody): Promise<Applied>;
	/** Resolves when this copy of the state has all that was decided before; tried again in the same way. */
	upToDate(): Promise<void>;
};

export function createContext(deps: NodeDeps, stopping: AbortSignal): NodeContext {
	return {
		...deps,
		...vmFilesInOrder(deps),
		stopping,
		vmSteps: new Semaphore(bounds.vmSteps),
		heavyCopies: new Semaphore(bounds.heavyCopies),
		poolLooks: new KeyedSemaphore(bounds.poolLooks),
		locks: new KeyedMutex(),
		connection: new Connection(deps.hypervisor, deps.clock),
		propose: (body) =>
			withRetry(deps, stopping, `the cluster does not take ${body.kind}`, () => deps.proposer.proposeSystem(body)),
		upToDate: () =>
			withRetry(deps, stopping, "the state may be old", async () => {
				await deps.store.readIndex();
			}),
	};
}

const isTransient = (error: unknown): boolean =>
	isAppError(error, "unavailable") || isAppError(error, "too-many-requests") || isAppError(error, "timeout");

async function withRetry<T>(deps: NodeDeps, stopping: AbortSignal, why: string, work: () => Promise<T>): Promise<T> {
	const giveUpAtMs = deps.clock.monotonicMs() + limits.proposeRetryMs;
	for (let delayMs = 250; ; delayMs = Math.min(delayMs * 2, 10_000)) {
		stopping.throwIfAborted();
		try {
			return await work();
		} catch (error) {
			if (!isTransient(error) || deps.clock.monotonicMs() + delayMs > giveUpAtMs) throw error;
			deps.logger.warn(`${why}; trying again`, { error });
			await new Bell().wait(deps.clock, delayMs, stopping);
		}
	}
}

/** A call of a driver with its limit. `what` begins the sentence of the time-out. */
export const limited = <T>(
	context: NodeContext,
	what: string,
	limitMs: number,
	call: (signal: AbortSignal) => Promise<T>,
	signal?: AbortSignal,
): Promise<T> => withLimit(context.clock, { what, limitMs, signal }, call);
