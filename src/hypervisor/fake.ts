/**
 * A hypervisor in memory, for tests above the driver; it passes the same conformance suite as libvirt's. It has no
 * timers of its own: whatever takes time goes by the clock that it is given, and events are delivered before the call
 * that caused them returns. Its domains outlive `close()`, as libvirt's do: `reopen()` is the daemon's next start.
 */
import type { Clock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { type DiskSource, type HostSecret, sourceName } from "../model/disk-source.ts";
import type {
	DomainDifference,
	DomainEvent,
	DomainSpec,
	DomainState,
	DomainStats,
	ForeignDomain,
	HypervisorDriver,
	HypervisorInfo,
	LiveChange,
	SerialStream,
} from "./driver.ts";
import { wantedFacts } from "./facts.ts";
import {
	applyToRunning,
	differencesOf,
	type FakeDomain,
	type FakeGuest,
	foreignDomainOf,
	isActive,
	newDomain,
	stateOf,
	statsOf,
	xmlOf,
} from "./fake-domain.ts";
import { Faults } from "./fake-faults.ts";
import { encodePng } from "./png.ts";
import { type ForeignSketch, foreignFixture } from "./test-domain.ts";

export class FakeHypervisor implements HypervisorDriver {
	/** Failures and slowness of the next calls, by method name. */
	readonly faults: Faults;
	/** Calls so far, oldest first: `start 0190…`. Cleared by whoever wants to count anew. */
	readonly calls: string[] = [];
	/** By id. */
	readonly secrets = new Map<string, HostSecret>();
	/** Figures that `stats()` adds to what it makes up, by domain id. */
	readonly statsOverrides = new Map<string, Partial<DomainStats>>();
	/** Addresses by domain id. */
	readonly addressTable = new Map<string, { mac: string; address: string }[]>();
	/** Path of the VNC socket by domain id; else one in the domain's folder, which does not exist. */
	readonly vncSockets = new Map<string, string>();
	readonly #clock: Clock;
	readonly #domains = new Map<string, FakeDomain>();
	readonly #listeners = new Set<(event: DomainEvent) => void>();
	#connection: HypervisorInfo["state"] = "connected";
	#connectionReason: string | null = null;
	#closed = false;

	constructor(options: { clock: Clock }) {
		this.#clock = options.clock;
		this.faults = new Faults(options.clock);
	}

	// What a test does to the world.

	/** libvirtd goes or comes; while it is away, every call fails with `unavailable`. */
	setConnection(state: HypervisorInfo["state"], reason = ""): void {
		this.#connection = state;
		this.#connectionReason = state === "connected" ? null : reason;
		this.#emit({ kind: "connection", state, reason });
	}

	reopen(): void {
		this.#closed = false;
	}

	/** How the guest of this domain behaves from now on. */
	setGuest(id: string, guest: Partial<FakeGuest>): void {
		Object.assign(this.#get(id).guest, guest);
	}

	/** A domain that somebody else made. */
	addForeign(changes: ForeignSketch): void {
		const domain = foreignDomainOf(foreignFixture(changes));
		this.#domains.set(domain.id, domain);
	}

	/** The guest switches itself off, or reboots, or QEMU dies. */
	guestPowersOff(id: string): void {
		this.#stop(this.#active(id), "stopped", "shutdown");
	}
	guestReboots(id: string): void {
		this.#emit({ kind: "reboot", id: this.#active(id).id });
	}
	crash(id: string): void {
		this.#stop(this.#active(id), "failed", "crashed");
	}

	/** The host loses power and is booted: nothing runs, and libvirt cannot say why. */
	hostRestarts(): void {
		for (const domain of this.#domains.values()) if (isActive(domain)) this.#stop(domain, "stopped", "unknown");
	}

	/** Whatever happens in `change` is not told. */
	muteEvents(change: () => void): void {
		const listeners = [...this.#listeners];
		this.#listeners.clear();
		change();
		for (const listener of listeners) this.#listeners.add(listener);
	}

	/** libvirt loses the domain: no definition, no process that it knows of. */
	lose(id: string): void {
		this.#domains.delete(this.#get(id).id);
	}

	/** A disk fails or is full: the domain pauses. */
	ioError(id: string, diskId: string, reason = "no-space"): void {
		const domain = this.#active(id);
		this.#emit({ kind: "io-error", id, alias: `ua-${diskId}`, reason });
		this.#set(domain, "paused", "io-error");
	}

	/** The guest writes to its serial port. */
	serialOutput(id: string, bytes: Uint8Array): void {
		for (const reader of this.#active(id).serialReaders) reader.enqueue(bytes);
	}

	/** Changes what runs behind the back of the node, for tests of adoption. */
	tamper(id: string, change: (version: NonNullable<FakeDomain["running"]>) => void): void {
		const domain = this.#get(id);
		const version = domain.running ?? domain.defined;
		if (version) change(version);
	}

	/** As `virsh autostart` does. */
	setAutostart(id: string): void {
		this.#get(id).autostart = true;
	}

	/** Size that a disk was grown to, or undefined. */
	diskSize(id: string, diskId: string): number | undefined {
		return this.#get(id).diskSizes.get(diskId);
	}

	// The driver.

	info(): HypervisorInfo {
		const host = { version: "fake 1.0", cpuModel: "fake", cpuCount: 8, memoryBytes: 32 * 2 ** 30 };
		return { state: this.#connection, reason: this.#connectionReason, ...host };
	}

	listDomains(): Promise<DomainState[]> {
		return this.#call("listDomains", undefined, () => [...this.#domains.values()].map(stateOf));
	}

	getDomain(id: string): Promise<DomainState | null> {
		return this.#call("getDomain", id, () => {
			const domain = this.#domains.get(id);
			return domain ? stateOf(domain) : null;
		});
	}

	define(domain: DomainSpec): Promise<void> {
		return this.#call("define", domain.id, () => this.#define(domain));
	}

	start(id: string, options: { paused: boolean }): Promise<void> {
		return this.#call("start", id, () => {
			const domain = this.#get(id);
			if (isActive(domain)) return;
			domain.running = structuredClone(domain.defined);
			domain.startedAtMs = this.#clock.monotonicMs();
			this.#set(domain, "running", "booted");
			if (options.paused) this.#set(domain, "paused", "user");
		});
	}

	requestShutdown(id: string): Promise<void> {
		return this.#call("requestShutdown", id, () => {
			const domain = this.#active(id);
			if (domain.powerState === "paused")
				throw new AppError("wrong-state", "A paused VM cannot be shut down: it would not notice.");
			if (domain.guest.shutdown === "ignore") return;
			const { startedAtMs } = domain;
			const obey = () => {
				if (domain.powerState === "running" && domain.startedAtMs === startedAtMs)
					this.#stop(domain, "stopped", "shutdown");
			};
			if (domain.guest.shutdownDelayMs === 0) queueMicrotask(obey);
			else this.#clock.schedule(domain.guest.shutdownDelayMs, obey);
		});
	}

	destroy(id: string): Promise<void> {
		return this.#call("destroy", id, () => {
			const domain = this.#get(id);
			if (isActive(domain)) this.#stop(domain, "stopped", "destroyed");
		});
	}

	reset(id: string): Promise<void> {
		return this.#call("reset", id, () => this.#emit({ kind: "reboot", id: this.#active(id).id }));
	}

	pause(id: string): Promise<void> {
		return this.#call("pause", id, () => {
			const domain = this.#active(id);
			if (domain.powerState !== "paused") this.#set(domain, "paused", "user");
		});
	}

	resume(id: string): Promise<void> {
		return this.#call("resume", id, () => {
			const domain = this.#active(id);
			if (domain.powerState !== "running") this.#set(domain, "running", "unpaused");
		});
	}

	undefine(id: string): Promise<void> {
		return this.#call("undefine", id, () => {
			const domain = this.#domains.get(id);
			if (!domain) return;
			if (isActive(domain)) throw new AppError("wrong-state", "A running VM cannot be removed.");
			this.#domains.delete(id);
			this.#emit({ kind: "lifecycle", id, powerState: null, detail: "undefined" });
		});
	}

	applyLive(wanted: DomainSpec): Promise<LiveChange[]> {
		return this.#call("applyLive", wanted.id, () => {
			const domain = this.#active(wanted.id);
			const facts = wantedFacts(wanted);
			const running = domain.running ?? structuredClone({ facts, generation: 0, folder: wanted.folder });
			domain.running = running;
			const changes = applyToRunning(running.facts, facts, domain.guest);
			if (changes.every((change) => change.applied)) running.generation = wanted.generation;
			this.#define(wanted);
			return changes;
		});
	}

	compare(wanted: DomainSpec): Promise<DomainDifference[]> {
		return this.#call("compare", wanted.id, () => {
			return differencesOf(this.#get(wanted.id), wanted);
		});
	}

	changeMedia(id: string, cdromId: string, source: DiskSource | null): Promise<void> {
		return this.#call("changeMedia", id, () => {
			const domain = this.#get(id);
			for (const version of [domain.defined, domain.running]) {
				if (!version) continue;
				const drive = version.facts.cdroms.find((candidate) => candidate.id === cdromId);
				if (!drive) throw new AppError("not-found", `The VM has no CD-ROM drive ${cdromId}.`);
				drive.path = source && sourceName(source);
			}
		});
	}

	putSecret(secret: HostSecret): Promise<void> {
		return this.#call("putSecret", secret.id, () => {
			this.secrets.set(secret.id, secret);
		});
	}

	removeSecret(id: string): Promise<void> {
		return this.#call("removeSecret", id, () => {
			this.secrets.delete(id);
		});
	}

	resizeDisk(id: string, diskId: string, sizeBytes: number): Promise<void> {
		return this.#call("resizeDisk", id, () => {
			const domain = this.#active(id);
			if (!domain.running?.facts.disks.some((disk) => disk.id === diskId))
				throw new AppError("not-found", `The VM has no disk ${diskId}.`);
			domain.diskSizes.set(diskId, sizeBytes);
		});
	}

	/** The fake moves no state, so there is nothing in its way. */
	prepareStateMove(id: string): Promise<void> {
		return this.#call("prepareStateMove", id, () => void this.#active(id));
	}

	finishStateMove(id: string): Promise<void> {
		return this.#call("finishStateMove", id, () => void this.#active(id));
	}

	domainXml(id: string): Promise<string> {
		return this.#call("domainXml", id, () => xmlOf(this.#get(id)));
	}

	inspectForeign(id: string): Promise<ForeignDomain> {
		return this.#call("inspectForeign", id, () => {
			const { foreign } = this.#get(id);
			if (!foreign) throw new AppError("wrong-state", "This domain is one of ours.");
			return structuredClone(foreign);
		});
	}

	stats(): Promise<DomainStats[]> {
		return this.#call("stats", undefined, () =>
			[...this.#domains.values()].filter(isActive).map((domain) => ({
				...statsOf(domain, this.#clock.monotonicMs()),
				...this.statsOverrides.get(domain.id),
			})),
		);
	}

	screenshot(id: string): Promise<Uint8Array> {
		return this.#call("screenshot", id, () => {
			this.#active(id);
			return encodePng({ width: 4, height: 3, pixels: new Uint8Array(4 * 3 * 3).fill(0x40) });
		});
	}

	vncSocket(id: string): Promise<string> {
		return this.#call("vncSocket", id, () => {
			const domain = this.#active(id);
			return this.vncSockets.get(id) ?? `${domain.running?.folder ?? "/nonexistent"}/qemu/vnc.sock`;
		});
	}

	/** What is written to it comes back, as from a terminal with echo. */
	openSerial(id: string): Promise<SerialStream> {
		return this.#call("openSerial", id, () => {
			const readers = this.#active(id).serialReaders;
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
		return this.#call("addresses", id, () => (isActive(this.#get(id)) ? (this.addressTable.get(id) ?? []) : []));
	}

	onEvent(listener: (event: DomainEvent) => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	async close(): Promise<void> {
		this.#closed = true;
		this.#listeners.clear();
	}

	// Inside.

	#call<T>(method: string, id: string | undefined, effect: () => T | Promise<T>): Promise<T> {
		this.calls.push(id === undefined ? method : `${method} ${id}`);
		if (this.#closed || this.#connection !== "connected") {
			const why = this.#closed ? "The connection to libvirt was closed." : "libvirt does not answer on this node.";
			return Promise.reject(new AppError("unavailable", why));
		}
		return this.faults.around(method, id, effect);
	}

	#get(id: string): FakeDomain {
		const domain = this.#domains.get(id);
		if (!domain) throw new AppError("not-found", "The hypervisor has no such VM.");
		return domain;
	}

	#active(id: string): FakeDomain {
		const domain = this.#get(id);
		if (!isActive(domain)) throw new AppError("wrong-state", "The VM does not run.");
		return domain;
	}

	#define(wanted: DomainSpec): void {
		const domain = this.#domains.get(wanted.id) ?? newDomain(wanted.id);
		domain.autostart = false;
		domain.defined = structuredClone({
			facts: wantedFacts(wanted),
			generation: wanted.generation,
			folder: wanted.folder,
		});
		this.#domains.set(wanted.id, domain);
		this.#emit({ kind: "lifecycle", id: wanted.id, powerState: null, detail: "defined" });
	}

	#stop(domain: FakeDomain, powerState: "stopped" | "failed", reason: string): void {
		domain.running = null;
		for (const reader of domain.serialReaders) reader.close();
		domain.serialReaders.clear();
		this.#set(domain, powerState, reason);
	}

	#set(domain: FakeDomain, powerState: FakeDomain["powerState"], reason: string): void {
		Object.assign(domain, { powerState, reason });
		this.#emit({ kind: "lifecycle", id: domain.id, powerState, detail: reason });
	}

	#emit(event: DomainEvent): void {
		for (const listener of [...this.#listeners]) listener(event);
	}
}
