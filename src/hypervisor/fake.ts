/**
 * A hypervisor in memory, for tests above the driver; it passes the same conformance suite as libvirt's. It has no
 * timers of its own: whatever takes time goes by the clock that it is given, and events are delivered before the call
 * that caused them returns. Its domains outlive `close()`, as libvirt's do: `reopen()` is the daemon's next start.
 */
import { AppError } from "../lib/errors.ts";
import { type DiskSource, type HostSecret, sourceName } from "../model/disk-source.ts";
import type {
	BlockJob,
	BlockJobOptions,
	DomainDifference,
	DomainDisk,
	DomainSpec,
	DomainState,
	DomainStats,
	ForeignDomain,
	HypervisorDriver,
	LayersToMerge,
	LiveChange,
	SerialStream,
} from "./driver.ts";
import { wantedFacts } from "./facts.ts";
import {
	endFakeJob,
	fakeCommit,
	fakeCopy,
	fakeDisk,
	fakeJobs,
	fakeLayers,
	noteFormats,
	runFakeJob,
	switchFakeDisks,
} from "./fake-disk-work.ts";
import {
	applyToRunning,
	differencesOf,
	isActive,
	newDomain,
	stateOf,
	statsOf,
	versionOf,
	xmlOf,
} from "./fake-domain.ts";
import { FakeWorld } from "./fake-world.ts";
import { encodePng } from "./png.ts";

export class FakeHypervisor extends FakeWorld implements HypervisorDriver {
	listDomains(): Promise<DomainState[]> {
		return this.call("listDomains", undefined, () => [...this.domains.values()].map(stateOf));
	}

	getDomain(id: string): Promise<DomainState | null> {
		return this.call("getDomain", id, () => {
			const domain = this.domains.get(id);
			return domain ? stateOf(domain) : null;
		});
	}

	define(domain: DomainSpec): Promise<void> {
		return this.call("define", domain.id, () => this.#define(domain));
	}

	start(id: string, options: { paused: boolean }): Promise<void> {
		return this.call("start", id, () => {
			const domain = this.get(id);
			if (isActive(domain)) return;
			if (domain.defined?.secretIds.some((secretId) => !this.secrets.has(secretId)))
				throw new AppError("unavailable", "The hypervisor does not have the key of one of the VM's disks yet.");
			domain.running = structuredClone(domain.defined);
			domain.startedAtMs = this.clock.monotonicMs();
			this.set(domain, "running", "booted");
			if (options.paused) this.set(domain, "paused", "user");
		});
	}

	requestShutdown(id: string): Promise<void> {
		return this.call("requestShutdown", id, () => {
			const domain = this.active(id);
			if (domain.powerState === "paused")
				throw new AppError("wrong-state", "A paused VM cannot be shut down: it would not notice.");
			if (domain.guest.shutdown === "ignore") return;
			const { startedAtMs } = domain;
			const obey = () => {
				if (domain.powerState === "running" && domain.startedAtMs === startedAtMs)
					this.stop(domain, "stopped", "shutdown");
			};
			if (domain.guest.shutdownDelayMs === 0) queueMicrotask(obey);
			else this.clock.schedule(domain.guest.shutdownDelayMs, obey);
		});
	}

	destroy(id: string): Promise<void> {
		return this.call("destroy", id, () => {
			const domain = this.get(id);
			if (isActive(domain)) this.stop(domain, "stopped", "destroyed");
		});
	}

	reset(id: string): Promise<void> {
		return this.call("reset", id, () => this.emit({ kind: "reboot", id: this.active(id).id }));
	}

	pause(id: string): Promise<void> {
		return this.call("pause", id, () => {
			const domain = this.active(id);
			if (domain.powerState !== "paused") this.set(domain, "paused", "user");
		});
	}

	resume(id: string): Promise<void> {
		return this.call("resume", id, () => {
			const domain = this.active(id);
			if (domain.powerState !== "running") this.set(domain, "running", "unpaused");
		});
	}

	undefine(id: string): Promise<void> {
		return this.call("undefine", id, () => {
			const domain = this.domains.get(id);
			if (!domain) return;
			if (isActive(domain)) throw new AppError("wrong-state", "A running VM cannot be removed.");
			this.domains.delete(id);
			this.emit({ kind: "lifecycle", id, powerState: null, detail: "undefined" });
		});
	}

	applyLive(wanted: DomainSpec): Promise<LiveChange[]> {
		return this.call("applyLive", wanted.id, () => {
			const domain = this.active(wanted.id);
			const facts = wantedFacts(wanted);
			const running = domain.running ?? { ...versionOf(wanted), generation: 0 };
			domain.running = running;
			const changes = applyToRunning(running.facts, facts, domain.guest);
			if (changes.every((change) => change.applied)) running.generation = wanted.generation;
			this.#define(wanted);
			return changes;
		});
	}

	compare(wanted: DomainSpec): Promise<DomainDifference[]> {
		return this.call("compare", wanted.id, () => {
			return differencesOf(this.get(wanted.id), wanted);
		});
	}

	changeMedia(id: string, cdromId: string, source: DiskSource | null): Promise<void> {
		return this.call("changeMedia", id, () => {
			const domain = this.get(id);
			for (const version of [domain.defined, domain.running]) {
				if (!version) continue;
				const drive = version.facts.cdroms.find((candidate) => candidate.id === cdromId);
				if (!drive) throw new AppError("not-found", `The VM has no CD-ROM drive ${cdromId}.`);
				drive.path = source && sourceName(source);
			}
		});
	}

	putSecret(secret: HostSecret): Promise<void> {
		return this.call("putSecret", secret.id, () => {
			this.secrets.set(secret.id, secret);
		});
	}

	removeSecret(id: string): Promise<void> {
		return this.call("removeSecret", id, () => {
			this.secrets.delete(id);
		});
	}

	resizeDisk(id: string, diskId: string, sizeBytes: number): Promise<void> {
		return this.call("resizeDisk", id, () => {
			const domain = this.active(id);
			fakeDisk(domain, diskId);
			domain.diskSizes.set(diskId, sizeBytes);
		});
	}

	diskLayers(id: string): Promise<{ diskId: string; layers: string[] }[]> {
		return this.call("diskLayers", id, () => fakeLayers(this.active(id)));
	}

	switchDisks(id: string, disks: readonly { diskId: string; disk: DomainDisk }[]): Promise<void> {
		return this.call("switchDisks", id, () => switchFakeDisks(this.active(id), disks));
	}

	copyDisk(id: string, diskId: string, target: DomainDisk, options: BlockJobOptions = {}): Promise<void> {
		return this.call("copyDisk", id, () => {
			const domain = this.active(id);
			const job = fakeCopy(domain, diskId, target, (from, to) => this.diskCopied(from, to));
			return runFakeJob(domain, diskId, job, options, this.blockJobsHeld);
		});
	}

	commitDisk(id: string, diskId: string, layers: LayersToMerge, options: BlockJobOptions = {}): Promise<void> {
		return this.call("commitDisk", id, () => {
			const domain = this.active(id);
			return runFakeJob(domain, diskId, fakeCommit(domain, diskId, layers), options, this.blockJobsHeld);
		});
	}

	blockJobs(id: string): Promise<BlockJob[]> {
		return this.call("blockJobs", id, () => fakeJobs(this.active(id)));
	}

	abortBlockJob(id: string, diskId: string): Promise<void> {
		return this.call("abortBlockJob", id, () => {
			const domain = this.active(id);
			fakeDisk(domain, diskId);
			endFakeJob(domain, diskId, "taken back");
		});
	}

	/** The fake moves no state, so there is nothing in its way. */
	prepareStateMove(id: string): Promise<void> {
		return this.call("prepareStateMove", id, () => void this.active(id));
	}

	finishStateMove(id: string): Promise<void> {
		return this.call("finishStateMove", id, () => void this.active(id));
	}

	domainXml(id: string): Promise<string> {
		return this.call("domainXml", id, () => xmlOf(this.get(id)));
	}

	inspectForeign(id: string): Promise<ForeignDomain> {
		return this.call("inspectForeign", id, () => {
			const { foreign } = this.get(id);
			if (!foreign) throw new AppError("wrong-state", "This domain is one of ours.");
			return structuredClone(foreign);
		});
	}

	stats(): Promise<DomainStats[]> {
		return this.call("stats", undefined, () =>
			[...this.domains.values()].filter(isActive).map((domain) => ({
				...statsOf(domain, this.clock.monotonicMs()),
				...this.statsOverrides.get(domain.id),
			})),
		);
	}

	screenshot(id: string): Promise<Uint8Array> {
		return this.call("screenshot", id, () => {
			this.active(id);
			return encodePng({ width: 4, height: 3, pixels: new Uint8Array(4 * 3 * 3).fill(0x40) });
		});
	}

	vncSocket(id: string): Promise<string> {
		return this.call("vncSocket", id, () => {
			const domain = this.active(id);
			return this.vncSockets.get(id) ?? `${domain.running?.folder ?? "/nonexistent"}/qemu/vnc.sock`;
		});
	}

	/** What is written to it comes back, as from a terminal with echo. */
	openSerial(id: string): Promise<SerialStream> {
		return this.call("openSerial", id, () => {
			const readers = this.active(id).serialReaders;
			let own: ReadableStreamDefaultController<Uint8Array> | undefined;
			const output = new ReadableStream<Uint8Array>({
				start(controller) {
					own = controller;
					readers.add(controller);
				},
				cancel: () => void (own && readers.delete(own)),
			});
			return {
				output,
				async write(data) {
					if (!own || !readers.has(own)) throw new AppError("wrong-state", "The serial console is closed.");
					own.enqueue(data);
				},
				async close() {
					if (own && readers.delete(own)) own.close();
				},
			};
		});
	}

	addresses(id: string): Promise<{ mac: string; address: string }[]> {
		return this.call("addresses", id, () => (isActive(this.get(id)) ? (this.addressTable.get(id) ?? []) : []));
	}

	#define(wanted: DomainSpec): void {
		const domain = this.domains.get(wanted.id) ?? newDomain(wanted.id);
		domain.autostart = false;
		noteFormats(domain, wanted.disks);
		domain.defined = versionOf(wanted);
		this.domains.set(wanted.id, domain);
		this.emit({ kind: "lifecycle", id: wanted.id, powerState: null, detail: "defined" });
	}
}
