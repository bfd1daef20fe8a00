/** A node's service for tests of the API: answers what a test puts in, does nothing. */

import { AppError } from "../../lib/errors.ts";
import { MiB } from "../../lib/units.ts";
import type { NodeMetrics, VmMetrics } from "../../model/node.ts";
import { folderParts, type PoolContent, type PoolContentEntry } from "../../model/pool-content.ts";
import type { PoolOrphan } from "../../model/pool-orphan.ts";
import type { PoolDiscover, PoolDiscovered, Volume } from "../../model/storage.ts";
import type { ForeignVm, Vm } from "../../model/vm.ts";
import type { FoundOrphan, OrphanVolume } from "../../node/orphans.ts";
import type { NodeService } from "../../node/service.ts";

const streamOf = (bytes: Uint8Array): ReadableStream<Uint8Array> =>
	new ReadableStream({
		start(controller) {
			controller.enqueue(bytes);
			controller.close();
		},
	});

const later = <T extends { sampledAt: string }>(sample: T | null, afterMs: number): T[] =>
	sample && Date.parse(sample.sampledAt) > afterMs ? [sample] : [];

export class FakeNode implements NodeService {
	readonly nodeId: string;
	metrics: NodeMetrics | null;
	vmFigures: VmMetrics | null = null;
	foreign: ForeignVm[] = [];
	adoption: { vm: Vm; volumes: Volume[] } | null = null;
	demoImage: string | null = null;
	hypervisor: "connected" | "connecting" | "disconnected" = "connected";
	/** Image id → bytes received. */
	readonly uploads = new Map<string, number>();
	/** Bytes of images and exports. */
	content: Uint8Array = new Uint8Array([1, 2, 3, 4]);
	/** Replaces `content` as the source of downloads. */
	contentStream: (() => ReadableStream<Uint8Array>) | null = null;

	constructor(nodeId: string) {
		this.nodeId = nodeId;
		this.metrics = {
			sampledAt: "2026-01-02T03:04:05.000Z",
			cpuUsedRatio: 0.25,
			memoryTotalBytes: 4e9,
			memoryUsedBytes: 1e9,
			load1: 0.5,
			vmsRunning: 0,
		};
	}

	nodeMetrics = () => this.metrics;
	vmMetrics = (_vmId: string) => this.vmFigures;
	nodeMetricsHistory = (afterMs: number) => later(this.metrics, afterMs);
	vmMetricsHistory = (_vmId: string, afterMs: number) => later(this.vmFigures, afterMs);
	screenshot = async (_vmId: string) => new Uint8Array([0x89, 0x50, 0x4e, 0x47]);
	serialLog = async (_vmId: string, maxBytes: number) => new TextEncoder().encode("login: ").slice(-maxBytes);
	domainXml = async (vmId: string) => `<domain><uuid>${vmId}</uuid></domain>`;
	vncSocket = async (_vmId: string) => "/nonexistent/vnc.sock";
	async openSerial(): Promise<never> {
		throw new AppError("wrong-state", "The VM does not run.");
	}
	/** VMs that were stopped without a task. */
	readonly stopped: string[] = [];
	stopWithoutQuorum = async (vmId: string) => void this.stopped.push(vmId);
	foreignVms = async () => this.foreign;
	async planAdoption(_domainId: string) {
		if (!this.adoption) throw new AppError("not-found", "There is no such domain.");
		return this.adoption;
	}
	networkLeases = async (_networkId: string) => [];

	async writeImageContent(imageId: string, offset: number, body: ReadableStream<Uint8Array>) {
		const received = this.uploads.get(imageId) ?? 0;
		if (offset !== received) throw new AppError("wrong-state", `The upload is at ${received}.`);
		let total = received;
		for await (const chunk of body) {
			total += chunk.length;
			this.uploads.set(imageId, total);
		}
		return { receivedBytes: total };
	}
	imageUploadOffset = async (imageId: string) => this.uploads.get(imageId) ?? 0;
	openImage = async (_imageId: string) => this.#download();
	exportVolume = async (_volumeId: string, _format: "qcow2" | "raw", _signal: AbortSignal) => this.#download();
	/** What trying a pool fails with; null: it works. */
	probeError: AppError | null = null;
	/** What happens while a pool is tried. */
	onProbe: () => Promise<void> = async () => {};
	readonly probed: unknown[] = [];
	async probePool(pool: unknown) {
		this.probed.push(pool);
		await this.onProbe();
		if (this.probeError) throw this.probeError;
		return { totalBytes: 100, usedBytes: 40, availableBytes: 60 };
	}
	async discoverStorage(query: PoolDiscover): Promise<PoolDiscovered> {
		const found = { exports: [], cephPools: [], targets: [], luns: [] };
		return query.type === "nfs" ? { ...found, exports: [{ path: "/srv/vms", clients: ["*"] }] } : found;
	}
	/** Of poolContent. */
	contentItems: PoolContentEntry[] = [];
	poolContent = async (_poolId: string, folder: string): Promise<PoolContent> => {
		folderParts(folder);
		return { nodeId: this.nodeId, folder, items: this.contentItems, truncated: false };
	};
	/** Of poolOrphans. */
	orphans: PoolOrphan[] = [];
	poolOrphans = async () => this.orphans;
	/** Of orphanVolume. */
	orphanSnapshotIds: string[] = [];
	/** What orphanVolume says beside the usual. */
	orphanAs: Partial<OrphanVolume> = {};
	async orphanVolume(_poolId: string, volumeId: string): Promise<FoundOrphan> {
		if (!this.orphans.some(({ id }) => id === volumeId)) throw new AppError("wrong-state", "It is no orphan.");
		const usual = { format: "raw", sizeBytes: 64 * MiB, allocatedBytes: 4096, source: { kind: "empty" } } as const;
		return { volume: { ...usual, ...this.orphanAs }, snapshotIds: this.orphanSnapshotIds };
	}
	demoImagePath = () => this.demoImage;
	hypervisorState = () => this.hypervisor;

	#download() {
		return { sizeBytes: this.content.length, stream: this.contentStream?.() ?? streamOf(this.content) };
	}
}
