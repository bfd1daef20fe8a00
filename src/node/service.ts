/**
 * What the API and the console ask of a node directly, without going through the state: live figures, pictures, bytes.
 * `node/node.ts` implements it for this node; the peer link will for the others.
 */

import type { Static } from "@sinclair/typebox";
import type { SerialStream } from "../hypervisor/driver.ts";
import type { NetworkLease } from "../model/network.ts";
import type { NodeMetrics, VmMetrics } from "../model/node.ts";
import type { PoolContent } from "../model/pool-content.ts";
import type { PoolOrphan } from "../model/pool-orphan.ts";
import type { PoolDiscover, PoolDiscovered, Volume } from "../model/storage.ts";
import type { ForeignVm, Vm } from "../model/vm.ts";
import type { PoolUsage } from "../storage/driver.ts";
import type { FoundOrphan, OrphanSnapshots } from "./orphans.ts";
import type { PoolToProbe } from "./pools.ts";

export interface NodeService {
	readonly nodeId: string;
	nodeMetrics(): NodeMetrics | null;
	/** Null while there is no sample (stopped, or just started). */
	vmMetrics(vmId: string): VmMetrics | null;
	/** Figures of the last hour sampled later than `afterMs` (wall clock), oldest first. They end with the daemon. */
	nodeMetricsHistory(afterMs: number): NodeMetrics[];
	vmMetricsHistory(vmId: string, afterMs: number): VmMetrics[];
	/** PNG; `wrong-state` when it does not run. At most one capture a second for each VM; others get the last picture. */
	screenshot(vmId: string): Promise<Uint8Array>;
	/** The last `maxBytes` of the serial log. */
	serialLog(vmId: string, maxBytes: number): Promise<Uint8Array>;
	domainXml(vmId: string): Promise<string>;
	vncSocket(vmId: string): Promise<string>;
	openSerial(vmId: string): Promise<SerialStream>;
	/** As if its power was cut, without a task: for root on this host while the cluster takes no writes. */
	stopWithoutQuorum(vmId: string): Promise<void>;
	foreignVms(): Promise<ForeignVm[]>;
	/** What adopting would make: the records for the command vmAdopt. */
	planAdoption(domainId: string): Promise<{ vm: Vm; volumes: Volume[] }>;
	networkLeases(networkId: string): Promise<Static<typeof NetworkLease>[]>;
	/** Upload of an image: appends the body from `offset`; `wrong-state` (with receivedBytes in the message) when the offset is not what is there. */
	writeImageContent(
		imageId: string,
		offset: number,
		body: ReadableStream<Uint8Array>,
	): Promise<{ receivedBytes: number }>;
	imageUploadOffset(imageId: string): Promise<number>;
	openImage(imageId: string): Promise<{ sizeBytes: number; stream: ReadableStream<Uint8Array> }>;
	exportVolume(
		volumeId: string,
		format: "qcow2" | "raw",
		signal: AbortSignal,
	): Promise<{ sizeBytes: number; stream: ReadableStream<Uint8Array> }>;
	/** Null when there is no demo image, or its file is not on this node. */
	demoImagePath(): string | null;
	/** Nothing is kept, and whoever was not logged in before is not afterwards. */
	discoverStorage(query: PoolDiscover): Promise<PoolDiscovered>;
	/**
	 * Whether a pool would work on this node; leaves nothing behind, and what `overwrite` names where it is. Fails with what is wrong, as a
	 * sentence; `context.found` then names what is there and is in the way.
	 */
	probePool(pool: PoolToProbe): Promise<PoolUsage>;
	/** Of this node's part of the pool; `folder` "" is its top. */
	poolContent(poolId: string, folder: string): Promise<PoolContent>;
	/** Of this node's part of the pool; empty when it has none. */
	poolOrphans(poolId: string): Promise<PoolOrphan[]>;
	/** What the record of a volume would say that has none; fails for one that has, and for one with snapshots of which nothing is said. */
	orphanVolume(poolId: string, volumeId: string, snapshots?: OrphanSnapshots): Promise<FoundOrphan>;
	hypervisorState(): "connected" | "connecting" | "disconnected";
}
