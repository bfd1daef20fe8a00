/**
 * HypervisorDriver on libvirt's RPC client. The client belongs to the caller: who makes it opens and closes it, and may
 * share it with the network driver. Domains are named `lqx-<VM id>` (see domain/machine.ts) and carry the VM's name
 * and generation in an element of our own namespace.
 *
 * What the caller must do: keep one operation a domain at a time; make `folderOf` give the folder that it puts into
 * DomainSpec; let QEMU's user pass through the folders above it, and above disks.
 */
import { availableParallelism, totalmem } from "node:os";
import type { Clock } from "../../lib/clock.ts";
import { AppError, isAppError } from "../../lib/errors.ts";
import { HangingPaths } from "../../lib/hanging-paths.ts";
import type { Logger } from "../../lib/log.ts";
import { type DiskSource, type HostSecret, sourceName } from "../../model/disk-source.ts";
import { compareAutostart, compareFacts, withMatchedIds } from "../compare.ts";
import type {
	BlockJobOptions,
	DomainDifference,
	DomainDisk,
	DomainEvent,
	DomainSpec,
	DomainState,
	DomainStats,
	ForeignDomain,
	HypervisorDriver,
	HypervisorInfo,
	LayersToMerge,
	LiveChange,
	SerialStream,
} from "../driver.ts";
import { wantedFacts } from "../facts.ts";
import { decodePpm, encodePng, isPng } from "../png.ts";
import { guestAddresses } from "./addresses.ts";
import { DiskWork } from "./disk-work.ts";
import { placementsOf } from "./domain/domain-reader.ts";
import { domainXml } from "./domain/domain-xml.ts";
import { foreignDomain } from "./domain/foreign.ts";
import { planMachine } from "./domain/plan-machine.ts";
import { describeAll, describeDomain } from "./domain-listing.ts";
import { DomainLookup, firstAccepted, notRunning } from "./domain-lookup.ts";
import { checkFirmware, prepareFolder, takeVariables } from "./folder.ts";
import { type HostFacts, readHost } from "./host.ts";
import { applyToLive, changeLiveMedia, type LiveContext, mediaXml } from "./live-apply.ts";
import type { LibvirtClient } from "./rpc/client.ts";
import { isLibvirtError, libvirtErrors } from "./rpc/errors.ts";
import { consoleFlags, deviceFlags, shutdownFlags, startFlags, undefineFlags, xmlFlags } from "./rpc/flags.ts";
import { putSecret, removeSecret, withKeys } from "./secrets.ts";
import { serialStream } from "./serial.ts";
import { giveClipboardBack, takeClipboardAway } from "./state-move.ts";
import { domainEventOf, powerStateOf } from "./states.ts";
import { Statistics } from "./statistics.ts";
import { checkVncSocket } from "./vnc-socket.ts";

export type LibvirtDriverOptions = {
	client: LibvirtClient;
	clock: Clock;
	logger: Logger;
	/** Folder of the VM with that id: what DomainSpec.folder is. */
	folderOf(id: string): string;
	/** How long a guest may take to let go of a device or of memory (default 15 s). */
	guestLimitMs?: number;
	/** For tests whose libvirtd has a network namespace of its own (default /proc/net/arp). */
	neighbourFile?: string;
};

const defaultGuestLimitMs = 15_000;
const agentShutdownLimitMs = 10_000;
const maxPictureBytes = 64 * 1024 * 1024;

export function createLibvirtDriver(options: LibvirtDriverOptions): HypervisorDriver {
	return new LibvirtDriver(options);
}

class LibvirtDriver implements HypervisorDriver {
	readonly #client: LibvirtClient;
	readonly #options: LibvirtDriverOptions;
	readonly #listeners = new Set<(event: DomainEvent) => void>();
	readonly #stops: (() => void)[];
	readonly #statistics: Statistics;
	readonly #domains: DomainLookup;
	readonly #diskWork: DiskWork;
	#host: HostFacts | null = null;
	#hostReading: Promise<HostFacts> | null = null;

	constructor(options: LibvirtDriverOptions) {
		this.#client = options.client;
		this.#options = options;
		this.#domains = new DomainLookup(options.client, new HangingPaths(options.clock));
		this.#diskWork = new DiskWork(options.client, options.clock, this.#domains);
		this.#statistics = new Statistics(options.client, options.clock);
		this.#stops = [
			options.client.onDomainEvent((event) => {
				const ours = domainEventOf(event);
				if (ours) this.#emit(ours);
			}),
			options.client.onState((state) => {
				this.#hostReading = null;
				if (state.state === "connected") this.#readHost().catch(() => {});
				this.#emit({ kind: "connection", ...state });
			}),
		];
		if (options.client.state.state === "connected") this.#readHost().catch(() => {});
	}

	info(): HypervisorInfo {
		const { state, reason } = this.#client.state;
		return {
			state,
			reason: reason === "" ? null : reason,
			version: this.#host?.version ?? null,
			cpuModel: this.#host?.cpuModel ?? null,
			cpuCount: this.#host?.cpuCount ?? availableParallelism(),
			memoryBytes: this.#host?.memoryBytes ?? totalmem(),
		};
	}

	listDomains(): Promise<DomainState[]> {
		return describeAll(this.#client);
	}

	getDomain(id: string): Promise<DomainState | null> {
		return describeDomain(this.#client, id);
	}

	async define(domain: DomainSpec): Promise<void> {
		const existing = await this.#domains.existing(domain.id);
		const wanted = wantedFacts(domain);
		const placements = new Map(
			[existing.defined, existing.live].flatMap((read) =>
				read ? [...placementsOf(read, withMatchedIds(wanted, read.facts))] : [],
			),
		);
		const known = existing.defined ?? existing.live;
		const machine = planMachine(domain, { libvirtName: known?.libvirtName ?? null, placements });
		checkFirmware(machine);
		const { qemuUser } = await this.#readHost();
		await prepareFolder(domain.folder, qemuUser);
		await takeVariables(this.#options.clock, machine, known?.nvramPath ?? null);
		await this.#client.domainDefineXMLFlags(domainXml(machine));
		// Each time: one that was adopted, or that somebody changed with virsh, would start with the host by itself. A
		// definition keeps this flag, so if the process ends right here, whoever looks next finds it and defines again.
		await this.#client.domainSetAutostart({ uuid: domain.id }, false);
	}

	async start(id: string, { paused }: { paused: boolean }): Promise<void> {
		if (await this.#domains.isActive(id)) return;
		const flags = paused ? startFlags.paused : 0;
		const create = () =>
			this.#domains.unlessAlready(id, true, () => withKeys(this.#client.domainCreateWithFlags({ uuid: id }, flags)));
		try {
			await create();
		} catch (error) {
			// libvirt may take the late end of a QEMU that failed just before for the end of this one.
			if (!isLibvirtError(error, libvirtErrors.operationFailed)) throw error;
			await create();
		}
	}

	async requestShutdown(id: string): Promise<void> {
		const power = await this.#domains.power(id);
		if (power !== "running")
			throw new AppError("wrong-state", `A VM that is ${power} cannot be shut down: it would not notice.`);
		await firstAccepted([shutdownFlags.acpiPowerButton, shutdownFlags.default], (flags) =>
			this.#client.domainShutdownFlags({ uuid: id }, flags),
		);
		// A guest that does not heed its power button may heed its agent; without one libvirt refuses at once.
		this.#client
			.domainShutdownFlags({ uuid: id }, shutdownFlags.guestAgent, { timeoutMs: agentShutdownLimitMs })
			.catch((error) => this.#options.logger.debug("no shutdown by the guest agent", { domain: id, error }));
	}

	async destroy(id: string): Promise<void> {
		if (!(await this.#domains.isActive(id))) return;
		await this.#domains.unlessAlready(id, false, () => this.#client.domainDestroyFlags({ uuid: id }));
	}

	async reset(id: string): Promise<void> {
		await this.#domains.active(id);
		await this.#client.domainReset({ uuid: id });
	}

	async pause(id: string): Promise<void> {
		if ((await this.#domains.active(id)).state !== "paused") await this.#client.domainSuspend({ uuid: id });
	}

	async resume(id: string): Promise<void> {
		if ((await this.#domains.active(id)).state !== "running") await this.#client.domainResume({ uuid: id });
	}

	async undefine(id: string): Promise<void> {
		try {
			if (await this.#domains.isActive(id)) throw new AppError("wrong-state", "A running VM cannot be removed.");
			const { managedSave, snapshotsMetadata, checkpointsMetadata, nvram, tpm } = undefineFlags;
			const basic = managedSave | snapshotsMetadata;
			await firstAccepted([basic | checkpointsMetadata | nvram | tpm, basic], (flags) =>
				this.#client.domainUndefineFlags({ uuid: id }, flags),
			);
		} catch (error) {
			if (!isAppError(error, "not-found")) throw error;
		}
	}

	async applyLive(domain: DomainSpec): Promise<LiveChange[]> {
		await this.#domains.active(domain.id);
		const { live, defined } = await this.#domains.existing(domain.id);
		if (!live) throw notRunning();
		const changes = await applyToLive(this.#liveContext, domain, live, defined);
		await this.define(domain);
		return changes;
	}

	async compare(domain: DomainSpec): Promise<DomainDifference[]> {
		const active = await this.#domains.isActive(domain.id);
		const [found, autostart] = await Promise.all([
			this.#domains.readReal(domain.id, active ? 0 : xmlFlags.inactive),
			this.#client.domainGetAutostart({ uuid: domain.id }),
		]);
		const differences = compareFacts(wantedFacts(domain), found.facts).map(({ step: _, ...difference }) =>
			active ? difference : { ...difference, repair: "automatic" as const },
		);
		return [...differences, ...compareAutostart(autostart)];
	}

	async changeMedia(id: string, cdromId: string, source: DiskSource | null): Promise<void> {
		const path = source && sourceName(source);
		const { live, defined } = await this.#domains.existing(id);
		const drive = (live ?? defined)?.facts.cdroms.find((cdrom) => cdrom.id === cdromId);
		if (!live && !defined) throw new AppError("not-found", "The hypervisor has no such VM.");
		if (!drive) throw new AppError("not-found", `The VM has no CD-ROM drive ${cdromId}.`);
		if (live && drive.path !== path) await changeLiveMedia(this.#client, live, drive.alias, source);
		const kept = defined?.facts.cdroms.find((cdrom) => cdrom.id === cdromId);
		if (defined && kept && kept.path !== path)
			await this.#client.domainUpdateDeviceFlags(
				{ uuid: id },
				mediaXml(defined, kept.alias, source),
				deviceFlags.config,
			);
	}

	resizeDisk = (id: string, diskId: string, sizeBytes: number) => this.#diskWork.resize(id, diskId, sizeBytes);
	diskLayers = (id: string) => this.#diskWork.layers(id);
	switchDisks = (id: string, disks: readonly { diskId: string; disk: DomainDisk }[]) =>
		this.#diskWork.switch(id, disks);
	copyDisk = (id: string, diskId: string, target: DomainDisk, options: BlockJobOptions = {}) =>
		this.#diskWork.copy(id, diskId, target, options);
	commitDisk = (id: string, diskId: string, layers: LayersToMerge, options: BlockJobOptions = {}) =>
		this.#diskWork.commit(id, diskId, layers, options);
	blockJobs = (id: string) => this.#diskWork.list(id);
	abortBlockJob = (id: string, diskId: string) => this.#diskWork.abort(id, diskId);

	putSecret = (secret: HostSecret): Promise<void> => putSecret(this.#client, secret);
	removeSecret = (id: string): Promise<void> => removeSecret(this.#client, id);

	async prepareStateMove(id: string): Promise<void> {
		await this.#domains.active(id);
		await takeClipboardAway(this.#liveContext, await this.#domains.read(id));
	}

	async finishStateMove(id: string): Promise<void> {
		await this.#domains.active(id);
		await giveClipboardBack(this.#client, await this.#domains.read(id));
	}

	async domainXml(id: string): Promise<string> {
		return this.#client.domainGetXMLDesc({ uuid: id });
	}

	async inspectForeign(id: string): Promise<ForeignDomain> {
		const { state, reason } = await this.#domains.state(id);
		const persistent = await this.#client.domainIsPersistent({ uuid: id });
		const read = await this.#domains.read(id, persistent ? xmlFlags.inactive : 0);
		if (read.ours) throw new AppError("wrong-state", "This domain is one of ours.");
		return foreignDomain(read, {
			powerState: powerStateOf(state, reason),
			persistent,
			autostart: await this.#client.domainGetAutostart({ uuid: id }),
			snapshots: await this.#client.domainSnapshotNum({ uuid: id }),
			managedSave: reason === "saved",
		});
	}

	stats(): Promise<DomainStats[]> {
		return this.#statistics.read();
	}

	async screenshot(id: string): Promise<Uint8Array> {
		await this.#domains.active(id);
		const { stream } = await this.#client.domainScreenshot({ uuid: id });
		const picture = await stream.collect(maxPictureBytes);
		return isPng(picture) ? picture : encodePng(decodePpm(picture));
	}

	async vncSocket(id: string): Promise<string> {
		await this.#domains.active(id);
		const [live, { qemuUser }] = await Promise.all([this.#domains.read(id), this.#readHost()]);
		return checkVncSocket(live.vncSocketPath, this.#options.folderOf(id), qemuUser);
	}

	/** Whoever opened it last has it: a connection that died unnoticed must not keep people out. */
	async openSerial(id: string): Promise<SerialStream> {
		await this.#domains.active(id);
		const stream = await this.#client.domainOpenConsole({ uuid: id }, null, consoleFlags.force);
		return serialStream(stream, async () => !(await this.#domains.isActive(id)));
	}

	async addresses(id: string): Promise<{ mac: string; address: string }[]> {
		if (!(await this.#domains.isActive(id))) return [];
		const macs = (await this.#domains.read(id)).facts.nics.map((nic) => nic.mac);
		return guestAddresses(this.#client, id, macs, this.#options.neighbourFile ?? "/proc/net/arp");
	}

	onEvent(listener: (event: DomainEvent) => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	async close(): Promise<void> {
		for (const stop of this.#stops) stop();
		this.#listeners.clear();
	}

	get #liveContext(): LiveContext {
		const { client, clock, guestLimitMs = defaultGuestLimitMs } = this.#options;
		return { client, clock, guestLimitMs };
	}

	#emit(event: DomainEvent): void {
		for (const listener of [...this.#listeners]) {
			try {
				listener(event);
			} catch (error) {
				this.#options.logger.error("a listener for domain events failed", { error });
			}
		}
	}

	/** Read once a connection; a failed reading is tried again when next needed. */
	#readHost(): Promise<HostFacts> {
		this.#hostReading ??= readHost(this.#client).then(
			(host) => {
				this.#host = host;
				return host;
			},
			(error) => {
				this.#hostReading = null;
				throw error;
			},
		);
		return this.#hostReading;
	}
}
