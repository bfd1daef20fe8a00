/** NodeService for this node: checks the record, then asks the driver. See service.ts for what each promises. */

import { existsSync } from "node:fs";
import type { Static } from "@sinclair/typebox";
import type { SerialStream } from "../hypervisor/driver.ts";
import { toRfc3339 } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import type { NetworkLease } from "../model/network.ts";
import type { NodeMetrics, VmMetrics } from "../model/node.ts";
import type { PoolDiscover, PoolDiscovered, Volume } from "../model/storage.ts";
import type { ForeignVm, Vm } from "../model/vm.ts";
import { isVmOff } from "../model/vm-rules.ts";
import type { Adoption } from "./adoption.ts";
import { limited, type NodeContext } from "./context.ts";
import { keptCredentials } from "./kept-credentials.ts";
import { limits } from "./limits.ts";
import type { Metrics } from "./metrics.ts";
import { findOrphans, orphanVolume } from "./orphans.ts";
import { poolContent } from "./pool-content.ts";
import type { Pools } from "./pools.ts";
import type { Screenshots } from "./screenshots.ts";
import type { NodeService } from "./service.ts";
import type { Uploads } from "./uploads.ts";
import { readTail, serialLogPath, vmFolder } from "./vm-folder.ts";

export type ServiceParts = {
	context: NodeContext;
	pools: Pools;
	uploads: Uploads;
	adoption: Adoption;
	metrics: Metrics;
	screenshots: Screenshots;
};

type Content = { sizeBytes: number; stream: ReadableStream<Uint8Array> };

export class LocalNodeService implements NodeService {
	readonly nodeId: string;
	readonly #parts: ServiceParts;
	readonly #context: NodeContext;

	constructor(parts: ServiceParts) {
		this.#parts = parts;
		this.#context = parts.context;
		this.nodeId = parts.context.nodeId;
	}

	nodeMetrics(): NodeMetrics | null {
		return this.#parts.metrics.node();
	}

	vmMetrics(vmId: string): VmMetrics | null {
		return this.#parts.metrics.vm(vmId);
	}

	nodeMetricsHistory(afterMs: number): NodeMetrics[] {
		return this.#parts.metrics.nodeHistory(afterMs);
	}

	vmMetricsHistory(vmId: string, afterMs: number): VmMetrics[] {
		return this.#parts.metrics.vmHistory(vmId, afterMs);
	}

	async screenshot(vmId: string): Promise<Uint8Array> {
		this.#alive(vmId);
		return this.#parts.screenshots.take(vmId);
	}

	async serialLog(vmId: string, maxBytes: number): Promise<Uint8Array> {
		const vm = this.#mine(vmId);
		return readTail(serialLogPath(vmFolder(this.#context.dataDir, vm.id)), maxBytes);
	}

	async domainXml(vmId: string): Promise<string> {
		const vm = this.#mine(vmId);
		return this.#read("Reading the VM's definition", () => this.#context.hypervisor.domainXml(vm.id));
	}

	async vncSocket(vmId: string): Promise<string> {
		this.#alive(vmId);
		return this.#read("Finding the VM's screen", () => this.#context.hypervisor.vncSocket(vmId));
	}

	async openSerial(vmId: string): Promise<SerialStream> {
		this.#alive(vmId);
		return this.#read("Opening the serial console", () => this.#context.hypervisor.openSerial(vmId));
	}

	async stopWithoutQuorum(vmId: string): Promise<void> {
		const vm = this.#mine(vmId);
		this.#context.logger.warn("a VM is stopped by root on this host, without a quorum", { vmId, name: vm.name });
		await limited(this.#context, "Stopping the VM", limits.destroyMs, () => this.#context.hypervisor.destroy(vmId));
	}

	foreignVms(): Promise<ForeignVm[]> {
		return this.#parts.adoption.foreignVms();
	}

	planAdoption(domainId: string): Promise<{ vm: Vm; volumes: Volume[] }> {
		return this.#parts.adoption.plan(domainId);
	}

	async networkLeases(networkId: string): Promise<Static<typeof NetworkLease>[]> {
		const { store } = this.#context;
		const network = store.get("network", networkId);
		if (!network) throw new AppError("not-found", "There is no such network.");
		const leases = await this.#read("Reading leases", () => this.#context.network.leases(network));
		return leases.map((lease) => ({
			mac: lease.mac,
			address: lease.address,
			hostname: lease.hostname,
			expiresAt: lease.expiresAtMs === null ? null : toRfc3339(lease.expiresAtMs),
			vmId: store.all("vm", { mac: lease.mac.toLowerCase() })[0]?.id ?? null,
		}));
	}

	writeImageContent(imageId: string, offset: number, body: ReadableStream<Uint8Array>) {
		return this.#parts.uploads.write(imageId, offset, body);
	}

	imageUploadOffset(imageId: string): Promise<number> {
		return this.#parts.uploads.offset(imageId);
	}

	async openImage(imageId: string): Promise<Content> {
		const image = this.#context.store.get("image", imageId);
		if (!image) throw new AppError("not-found", "There is no such image.");
		if (image.phase !== "ready") throw new AppError("wrong-state", `The image is ${image.phase}.`);
		const driver = await this.#parts.pools.driver(image.poolId);
		return driver.openImage(imageId);
	}

	async exportVolume(volumeId: string, format: "qcow2" | "raw", signal: AbortSignal): Promise<Content> {
		const { store } = this.#context;
		const volume = store.get("volume", volumeId);
		if (!volume) throw new AppError("not-found", "There is no such volume.");
		if (volume.phase !== "ready") throw new AppError("wrong-state", `The volume is ${volume.phase}.`);
		const vm = volume.vmId === null ? null : store.get("vm", volume.vmId);
		if (vm && !isVmOff(vm.status.powerState))
			throw new AppError("wrong-state", `The volume belongs to VM "${vm.name}", which runs: stop it first.`);
		const driver = await this.#parts.pools.driver(volume.poolId);
		return driver.exportVolume(volumeId, format, { signal });
	}

	async discoverStorage(query: PoolDiscover): Promise<PoolDiscovered> {
		const asked = await this.#withCredentials(query);
		return limited(this.#context, "Looking for storage", limits.poolProbeMs, () =>
			this.#context.storage.discover(asked),
		);
	}

	async #withCredentials(query: PoolDiscover): Promise<PoolDiscover> {
		if (query.type === "nfs" || query.poolId === undefined) return query;
		const { poolId, ...asked } = query;
		const pool = this.#context.store.get("pool", poolId);
		if (!pool) throw new AppError("not-found", "There is no such storage pool.");
		if (pool.type !== query.type) {
			const message = `The storage pool ${pool.name} is of another type.`;
			throw new AppError("invalid", message, { fields: [{ path: "/poolId", message }] });
		}
		if (query.credentials !== undefined) return asked;
		const credentials = await keptCredentials(this.#context, pool, asked);
		return credentials === null ? asked : { ...asked, credentials };
	}

	probePool: NodeService["probePool"] = (pool) => this.#parts.pools.probe(pool);

	poolContent: NodeService["poolContent"] = (poolId, folder) => poolContent(this.#parts, poolId, folder);

	poolOrphans: NodeService["poolOrphans"] = (poolId) => findOrphans(this.#parts, poolId);

	orphanVolume: NodeService["orphanVolume"] = (...asked) => orphanVolume(this.#parts, ...asked);

	demoImagePath(): string | null {
		const path = this.#context.demoImage;
		return path !== null && existsSync(path) ? path : null;
	}

	hypervisorState(): "connected" | "connecting" | "disconnected" {
		return this.#context.hypervisor.info().state;
	}

	#read<T>(what: string, work: () => Promise<T>): Promise<T> {
		return limited(this.#context, what, limits.readMs, work);
	}

	#mine(vmId: string): Vm {
		const vm = this.#context.store.get("vm", vmId);
		if (!vm) throw new AppError("not-found", "There is no such VM.");
		if (vm.nodeId !== this.nodeId) throw new AppError("wrong-state", "The VM is on another node.");
		return vm;
	}

	/** It must run, as far as is known. While libvirt is away the driver says so. */
	#alive(vmId: string): Vm {
		const vm = this.#mine(vmId);
		const { powerState } = vm.status;
		if (isVmOff(powerState)) throw new AppError("wrong-state", `The VM is ${powerState}: there is nothing to see.`);
		return vm;
	}
}
