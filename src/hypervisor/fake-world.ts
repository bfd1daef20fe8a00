/**
 * The world of the fake hypervisor: its domains, who listens, and what a test does to them behind the driver's back
 * (libvirtd goes, guests crash, disks fill up). The driver itself is fake.ts.
 */
import type { Clock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import type { HostSecret } from "../model/disk-source.ts";
import type { DiskLimits, DomainEvent, DomainStats, HypervisorInfo } from "./driver.ts";
import { endFakeJob, leaveFakeJobs } from "./fake-disk-work.ts";
import { type FakeDomain, type FakeGuest, foreignDomainOf, isActive } from "./fake-domain.ts";
import { Faults } from "./fake-faults.ts";
import { type ForeignSketch, foreignFixture } from "./test-domain.ts";

export abstract class FakeWorld {
	/** Failures and slowness of the next calls, by method name. */
	readonly faults: Faults;
	/** Calls so far, oldest first: `start 0190…`. Cleared by whoever wants to count anew. */
	readonly calls: string[] = [];
	/** Jobs on disks go on until `endBlockJob` or an abort. */
	blockJobsHeld = false;
	/** A disk has been copied, and goes over now: by the names of where it was and is. */
	diskCopied: (from: string, to: string) => void = () => {};
	/** By id. */
	readonly secrets = new Map<string, HostSecret>();
	/** Figures that `stats()` adds to what it makes up, by domain id. */
	readonly statsOverrides = new Map<string, Partial<DomainStats>>();
	/** Addresses by domain id. */
	readonly addressTable = new Map<string, { mac: string; address: string }[]>();
	/** Path of the VNC socket by domain id; else one in the domain's folder, which does not exist. */
	readonly vncSockets = new Map<string, string>();
	protected readonly clock: Clock;
	protected readonly domains = new Map<string, FakeDomain>();
	readonly #listeners = new Set<(event: DomainEvent) => void>();
	#connection: HypervisorInfo["state"] = "connected";
	#connectionReason: string | null = null;
	#closed = false;

	constructor(options: { clock: Clock }) {
		this.clock = options.clock;
		this.faults = new Faults(options.clock);
	}

	// What a test does to the world.

	/** libvirtd goes or comes; while it is away, every call fails with `unavailable`. */
	setConnection(state: HypervisorInfo["state"], reason = ""): void {
		this.#connection = state;
		if (state !== "connected") this.#leaveJobs();
		this.#connectionReason = state === "connected" ? null : reason;
		this.emit({ kind: "connection", state, reason });
	}

	reopen(): void {
		this.#closed = false;
	}

	/** Whether a process has a disk, or what it rests on, open: whatever libvirt does. By sourceName. */
	holds(path: string): boolean {
		return [...this.domains.values()].some((domain) =>
			domain.running?.facts.disks.some((disk) => disk.path === path || disk.backing.includes(path)),
		);
	}

	/** How the guest of this domain behaves from now on. */
	setGuest(id: string, guest: Partial<FakeGuest>): void {
		Object.assign(this.get(id).guest, guest);
	}

	/** A domain that somebody else made. */
	addForeign(changes: ForeignSketch): void {
		const domain = foreignDomainOf(foreignFixture(changes));
		this.domains.set(domain.id, domain);
	}

	/** The guest switches itself off, or reboots, or QEMU dies. */
	guestPowersOff(id: string): void {
		this.stop(this.active(id), "stopped", "shutdown");
	}
	guestReboots(id: string): void {
		this.emit({ kind: "reboot", id: this.active(id).id });
	}
	crash(id: string): void {
		this.stop(this.active(id), "failed", "crashed");
	}

	/** The host loses power and is booted: nothing runs, and libvirt cannot say why. */
	hostRestarts(): void {
		for (const domain of this.domains.values()) if (isActive(domain)) this.stop(domain, "stopped", "unknown");
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
		this.domains.delete(this.get(id).id);
	}

	/** A disk fails or is full: the domain pauses. */
	ioError(id: string, diskId: string, reason = "no-space"): void {
		const domain = this.active(id);
		this.emit({ kind: "io-error", id, alias: `ua-${diskId}`, reason });
		this.set(domain, "paused", "io-error");
	}

	/** QEMU ends the job on a disk: it was held by `blockJobsHeld` or by a limit, or fails. */
	endBlockJob(id: string, diskId: string, how: "done" | "taken back"): void {
		const domain = this.active(id);
		const job = domain.blockJobs.get(diskId);
		if (how === "done" && job?.goOver) job.goOver();
		else endFakeJob(domain, diskId, how);
	}

	/** The guest writes to its serial port. */
	serialOutput(id: string, bytes: Uint8Array): void {
		for (const reader of this.active(id).serialReaders) reader.enqueue(bytes);
	}

	/** Changes what runs behind the back of the node, for tests of adoption. */
	tamper(id: string, change: (version: NonNullable<FakeDomain["running"]>) => void): void {
		const domain = this.get(id);
		const version = domain.running ?? domain.defined;
		if (version) change(version);
	}

	/** As `virsh autostart` does. */
	setAutostart(id: string): void {
		this.get(id).autostart = true;
	}

	/** Size that a disk was grown to, or undefined. */
	diskSize(id: string, diskId: string): number | undefined {
		return this.get(id).diskSizes.get(diskId);
	}

	/** Of the disks of a running domain, in their order. */
	limitsOf(id: string): (DiskLimits | null)[] {
		return this.active(id).running?.facts.disks.map(({ limits }) => limits) ?? [];
	}

	info(): HypervisorInfo {
		const host = { version: "fake 1.0", cpuModel: "fake", cpuCount: 8, memoryBytes: 32 * 2 ** 30 };
		return { state: this.#connection, reason: this.#connectionReason, ...host };
	}

	onEvent(listener: (event: DomainEvent) => void): () => void {
		this.#listeners.add(listener);
		return () => this.#listeners.delete(listener);
	}

	async close(): Promise<void> {
		this.#closed = true;
		this.#leaveJobs();
		this.#listeners.clear();
	}

	// Inside.

	protected call<T>(method: string, id: string | undefined, effect: () => T | Promise<T>): Promise<T> {
		this.calls.push(id === undefined ? method : `${method} ${id}`);
		if (this.#closed || this.#connection !== "connected") {
			const why = this.#closed ? "The connection to libvirt was closed." : "libvirt does not answer on this node.";
			return Promise.reject(new AppError("unavailable", why));
		}
		return this.faults.around(method, id, effect);
	}

	#leaveJobs(): void {
		const error = new AppError("unavailable", "The connection to libvirt was closed.");
		for (const domain of this.domains.values()) leaveFakeJobs(domain, error, { keep: true });
	}

	protected get(id: string): FakeDomain {
		const domain = this.domains.get(id);
		if (!domain) throw new AppError("not-found", "The hypervisor has no such VM.");
		return domain;
	}

	protected active(id: string): FakeDomain {
		const domain = this.get(id);
		if (!isActive(domain)) throw new AppError("wrong-state", "The VM does not run.");
		return domain;
	}

	protected stop(domain: FakeDomain, powerState: "stopped" | "failed", reason: string): void {
		domain.running = null;
		leaveFakeJobs(domain, new AppError("wrong-state", "The VM does not run."), { keep: false });
		for (const reader of domain.serialReaders) reader.close();
		domain.serialReaders.clear();
		this.set(domain, powerState, reason);
	}

	protected set(domain: FakeDomain, powerState: FakeDomain["powerState"], reason: string): void {
		Object.assign(domain, { powerState, reason });
		this.emit({ kind: "lifecycle", id: domain.id, powerState, detail: reason });
	}

	protected emit(event: DomainEvent): void {
		for (const listener of [...this.#listeners]) listener(event);
	}
}
