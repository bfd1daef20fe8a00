/**
 * The hypervisor as the node sees it. Implementations: libvirt/ and fake.ts; both pass conformance.ts. Methods are
 * idempotent where that is said, throw AppError (`hypervisor`, `not-found`, `wrong-state`, `unavailable`, `timeout`),
 * and take an AbortSignal only where a call may take longer than a few seconds. The driver knows nothing of the store.
 */

import type { DiskSource, HostSecret } from "../model/disk-source.ts";
import type { DiskSpec, NicSpec, PowerState, VmSpec } from "../model/vm.ts";

/** Everything that the driver needs to make a domain: the spec with its references resolved by the node. */
export type DomainSpec = {
	/** libvirt UUID = VM id. */
	id: string;
	name: string;
	generation: number;
	spec: VmSpec;
	/** One for each of spec.disks, in that order. */
	disks: DomainDisk[];
	/** One for each of spec.cdroms: what is in it, or null for an empty drive. */
	cdroms: { id: string; source: DiskSource | null }[];
	/** One for each of spec.nics: the bridge or libvirt network. */
	nics: { id: string; bridge: string }[];
	/** NoCloud seed ISO; null without cloud-init. */
	seedPath: string | null;
	accelerator: "kvm" | "tcg";
	/** Folder of this VM on the node (NVRAM, serial log, sockets), owned by the daemon. */
	folder: string;
};

/** A disk as QEMU opens it. Formats are always given; the chain is written out whole and ended. */
export type DomainDisk = {
	id: string;
	source: DiskSource;
	format: "qcow2" | "raw";
	/** What it rests on, nearest first. */
	backing: { source: DiskSource; format: "qcow2" | "raw" }[];
	/** Missing, or null: none. */
	qos?: DiskLimits | null;
};

/** What a VM may do with a disk in a second; null: as much as it can. Whole numbers above 0. */
export type DiskLimits = {
	readBytesPerSecond: number | null;
	writeBytesPerSecond: number | null;
	readIops: number | null;
	writeIops: number | null;
};

/** Work of QEMU on a disk of a running domain, see `copyDisk` and `commitDisk`. It outlives us, and libvirt. */
export type BlockJob = {
	diskId: string;
	/** active-commit: of the layer that the guest writes to. other: not one of ours. */
	kind: "copy" | "commit" | "active-commit" | "other";
	/** All is there and stays there; what is left to do is to go over to it. */
	ready: boolean;
	/** Of what has to be done, 0 to 1. */
	progress: number;
	/** sourceName of where the data go; null where libvirt does not say. */
	target: string | null;
};

/**
 * `relative`: files whose headers name each other by their places, not by whole paths. What rested on `top` names `base` so, too; in other
 * words perhaps, as "././base". Whole paths otherwise.
 */
export type LayersToMerge = { base: DiskSource; top: DiskSource; relative?: boolean };

export type BlockJobOptions = {
	/** Takes the job back; the disk stays what it was, and the call fails with `canceled`. */
	signal?: AbortSignal;
	/** 0 to 1, never less than before. */
	progress?: (done: number) => void;
	/** Without it as fast as it goes. */
	bytesPerSecond?: number;
	/**
	 * All is there, and the disk is about to go over: it does when this resolves. When it fails the job is taken back and the call
	 * fails with the same. Not called when the disk has gone over already.
	 */
	beforeSwitch?: () => Promise<void>;
};

/** What libvirt says of a domain. */
export type DomainState = {
	id: string;
	name: string;
	powerState: PowerState;
	/** libvirt's reason in words: "crashed", "io-error", "shutdown", "destroyed" … */
	reason: string;
	persistent: boolean;
	/** libvirt starts it with the host by itself. Of a domain of ours that is wrong: `define` takes it away. */
	autostart: boolean;
	/** True when the domain carries our metadata. */
	ours: boolean;
	/** Generation in our metadata: of the persistent definition, and of what runs (null when stopped). */
	definedGeneration: number | null;
	runningGeneration: number | null;
};

export type DomainEvent =
	| { kind: "lifecycle"; id: string; powerState: PowerState | null; detail: string }
	| { kind: "reboot"; id: string }
	| { kind: "tray"; id: string; alias: string; open: boolean }
	| { kind: "device-removed"; id: string; alias: string }
	| { kind: "io-error"; id: string; alias: string; reason: string }
	/** The connection came (back) or went: everything must be read anew on "connected". */
	| { kind: "connection"; state: "connected" | "connecting" | "disconnected"; reason: string };

export type DomainStats = {
	id: string;
	powerState: PowerState;
	cpuTimeNs: number;
	vcpus: number;
	memoryActualBytes: number | null;
	memoryUsedBytes: number | null;
	/** Null while too many VMs hang for QEMU to be asked. */
	diskReadBytes: number | null;
	diskWriteBytes: number | null;
	netReceivedBytes: number;
	netSentBytes: number;
};

export type HypervisorInfo = {
	state: "connected" | "connecting" | "disconnected";
	reason: string | null;
	version: string | null;
	cpuModel: string | null;
	cpuCount: number;
	memoryBytes: number;
};

/**
 * One difference between the spec and what libvirt has. `field` is a path in the spec: "name", "firmware", "tpm",
 * "cpu.vcpus", "cpu.maxVcpus", "cpu.model", "accelerator", "memory.sizeBytes", "memory.maxSizeBytes", "bootOrder",
 * "cloudInit", "disks[ID]" (there or not), "disks[ID].path" …, "cdroms[ID].path", "nics[ID].bridge" …; "device" is one
 * that we did not make, "libvirt.autostart" that libvirt would start it by itself.
 */
export type DomainDifference = {
	field: string;
	wanted: string;
	found: string;
	/**
	 * automatic: `applyLive` (running) or `define` (stopped) repairs it; next-start: `define` now, then a stop and start;
	 * manual: the driver leaves it alone.
	 */
	repair: "automatic" | "next-start" | "manual";
};

/**
 * One part of a live change, and whether it was done live or waits for the next start; `field` as in DomainDifference.
 */
export type LiveChange = { field: string; applied: boolean; reason: string | null };

export interface HypervisorDriver {
	info(): HypervisorInfo;
	/**
	 * Before a domain with a source that names one is started or gets it plugged in: else that is `unavailable`. The same again
	 * replaces its value. The hypervisor loses them when it restarts: put them again on "connected".
	 */
	putSecret(secret: HostSecret): Promise<void>;
	/** Missing is not an error. */
	removeSecret(id: string): Promise<void>;
	listDomains(): Promise<DomainState[]>;
	/** Null when there is no such domain. */
	getDomain(id: string): Promise<DomainState | null>;
	/**
	 * Defines or redefines the persistent domain, and sees to it that nobody but us starts it. Idempotent. Does not touch
	 * a running one.
	 */
	define(domain: DomainSpec): Promise<void>;
	/** Starts the defined domain (paused when asked). Already running, or paused, is not an error and changes nothing. */
	start(id: string, options: { paused: boolean }): Promise<void>;
	/**
	 * Asks the guest to shut down (ACPI and agent where there is one); returns at once. Not running, or paused, is
	 * `wrong-state`.
	 */
	requestShutdown(id: string): Promise<void>;
	/** Ends it at once. Not running is not an error. */
	destroy(id: string): Promise<void>;
	/** Like the reset button, paused or not. Not running is `wrong-state`, here and in the next two. */
	reset(id: string): Promise<void>;
	/** Paused already is not an error. */
	pause(id: string): Promise<void>;
	/** Running already is not an error. */
	resume(id: string): Promise<void>;
	/** Removes the definition with NVRAM and TPM state. Missing is not an error; running is `wrong-state`. */
	undefine(id: string): Promise<void>;
	/**
	 * Brings a running domain to the spec as far as that can be done live, and redefines it. Empty when nothing differed.
	 * A part that fails is reported with its reason, and the others are done all the same. `runningGeneration` becomes
	 * that of `domain` only when all of it was applied. Not running is `wrong-state`.
	 */
	applyLive(domain: DomainSpec): Promise<LiveChange[]>;
	/** How the running (or defined) domain differs from the spec, field by field; for adoption. */
	compare(domain: DomainSpec): Promise<DomainDifference[]>;
	/** Of what runs and of what is defined. A guest that has locked its drive is asked, then overruled. */
	changeMedia(id: string, cdromId: string, source: DiskSource | null): Promise<void>;
	/**
	 * Grows an attached disk of a running domain to `sizeBytes`; that size already is not an error, less is `invalid`. A block
	 * device is grown before: a raw disk becomes as large as its device, which is `wrong-state` when that is smaller.
	 */
	resizeDisk(id: string, diskId: string, sizeBytes: number): Promise<void>;
	/**
	 * What each disk of a running domain is on now, and what that rests on, nearest first, by sourceName: for whoever does not
	 * know how far a switch, a copy or a commit had come.
	 */
	diskLayers(id: string): Promise<{ diskId: string; layers: string[] }[]>;
	/**
	 * A running (or paused) domain's disks go on in qcow2 overlays, all at one moment or none. Each overlay is there already, and
	 * empty; the first of its `backing` is what the disk is on now. One that is on its overlay already is left alone; one that is
	 * on anything else is `wrong-state`. The definition follows where it had the disk on the same; `define` all the same.
	 */
	switchDisks(id: string, disks: readonly { diskId: string; disk: DomainDisk }[]): Promise<void>;
	/**
	 * Copies a disk of a running (or paused) domain to `target`, with all that is written meanwhile, and goes over to it. The
	 * target is there already, exactly as large as the disk, and rests on nothing. Called again with the same target it
	 * adopts the job that goes on, and gives it the new limit; a disk that is there already is done. A job of another kind is
	 * `wrong-state`. When the connection to the hypervisor breaks, the job goes on without us. The definition as for switchDisks.
	 */
	copyDisk(id: string, diskId: string, target: DomainDisk, options?: BlockJobOptions): Promise<void>;
	/**
	 * Writes the layers of a running (or paused) domain's disk from `top` down to the one above `base` into `base`; what rested on
	 * `top` rests on `base` then, and when `top` was what the guest wrote to, it goes on in `base`. Idempotent and adopting as
	 * copyDisk; the definition as for switchDisks. Nothing is deleted.
	 */
	commitDisk(id: string, diskId: string, layers: LayersToMerge, options?: BlockJobOptions): Promise<void>;
	/** What goes on on the disks of a running domain that are ours. */
	blockJobs(id: string): Promise<BlockJob[]>;
	/** Takes it back; the disk stays what it was. No job is not an error. */
	abortBlockJob(id: string, diskId: string): Promise<void>;
	/**
	 * Before the state of a running (or paused) domain is saved or migrated: takes away what cannot go with it, which is
	 * the clipboard's channel. The guest goes on. As often as one likes; not running is `wrong-state`, here and below.
	 */
	prepareStateMove(id: string): Promise<void>;
	/** After the move, wherever the domain runs now, and after one that failed: gives back what was taken away. */
	finishStateMove(id: string): Promise<void>;
	domainXml(id: string): Promise<string>;
	/** A foreign domain read as far as our model goes; `obstacles` says what it cannot express. Ours is `wrong-state`. */
	inspectForeign(id: string): Promise<ForeignDomain>;
	/** Figures of all running domains. One that is busy or hangs is left out, and does not keep the others waiting. */
	stats(): Promise<DomainStats[]>;
	/** PNG of the screen. */
	screenshot(id: string): Promise<Uint8Array>;
	/**
	 * Path of the VNC unix socket of a running domain; checked to be a socket inside this domain's own folder, made by
	 * root or QEMU. Connect by way of `pinSocket` (lib/pinned-socket.ts), so that it is still that one.
	 */
	vncSocket(id: string): Promise<string>;
	/** Opens the serial console as a byte stream pair; whoever had it open before loses it. */
	openSerial(id: string): Promise<SerialStream>;
	/** Addresses that the host, libvirt or the guest agent knows of the domain's NICs, best effort; empty when stopped. */
	addresses(id: string): Promise<{ mac: string; address: string }[]>;
	onEvent(listener: (event: DomainEvent) => void): () => void;
	close(): Promise<void>;
}

export interface SerialStream {
	/** Bytes from the guest; ends when the domain stops. */
	readonly output: ReadableStream<Uint8Array>;
	write(data: Uint8Array): Promise<void>;
	close(): Promise<void>;
}

/** A place in one of the lists of a foreign domain. */
export type ForeignDevice = { kind: "disk" | "cdrom" | "nic"; index: number };

export type ForeignDomain = {
	id: string;
	name: string;
	description: string;
	powerState: PowerState;
	/** libvirt starts it with the host. */
	autostart: boolean;
	/** "kvm", "tcg", or what libvirt calls it. */
	accelerator: string;
	vcpus: number;
	maxVcpus: number;
	/** What comes nearest of what the model knows. */
	cpuModel: VmSpec["cpu"]["model"];
	memoryBytes: number;
	maxMemoryBytes: number;
	firmware: VmSpec["firmware"];
	tpm: boolean;
	disks: ({ target: string; path: string; format: "qcow2" | "raw" } & Pick<
		DiskSpec,
		"bus" | "cache" | "discard" | "readOnly"
	>)[];
	/** Empty drives. */
	cdroms: { target: string }[];
	nics: ({ mac: string; bridge: string | null; network: string | null } & Pick<NicSpec, "model" | "linkUp">)[];
	/** First boots first; what is not in it does not boot. Empty: nobody chose. */
	bootOrder: ForeignDevice[];
	/** Why it cannot be adopted, as sentences. */
	obstacles: string[];
	/** What adopting it changes about it, as sentences. */
	changes: string[];
};
