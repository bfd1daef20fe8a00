/**
 * Values that cross the API of the libvirt client. Sizes are in bytes, times in the unit that the name says. libvirt's
 * 64-bit numbers are plain numbers here: exact up to 2^53 - 1, rounded above it (which only its marks for "unlimited" and
 * "unknown" reach).
 */
import type { BlockJobType } from "./events.ts";
import type { LibvirtDomainState } from "./flags.ts";

/** A domain as libvirt names it; `id` is null while it does not run. */
export type DomainRef = { uuid: string; name: string; id: number | null };
/** What a call needs to know of its domain: libvirt finds it by UUID, the name only goes into messages. */
export type DomainTarget = { uuid: string; name?: string };

export type NetworkRef = { uuid: string; name: string };
export type NetworkTarget = { uuid: string; name?: string };

export type SecretRef = { uuid: string; usageType: number; usageId: string };
export type SecretTarget = { uuid: string };

export type CallOptions = {
	/** Limit for waiting in the queue and for the answer together. Each method has a default. */
	timeoutMs?: number;
	/** Gives up waiting. libvirt has no way to take a call back: it may still be carried out. */
	signal?: AbortSignal;
};

/** A typed parameter's value. 64-bit numbers as said above. */
export type TypedValue = number | boolean | string;
export type TypedParameters = Record<string, TypedValue>;

export type DomainStateInfo = { state: LibvirtDomainState; reason: string };
export type DomainInfo = {
	state: LibvirtDomainState;
	maxMemoryBytes: number;
	memoryBytes: number;
	vcpus: number;
	cpuTimeNs: number;
};
export type BlockInfo = { allocationBytes: number; capacityBytes: number; physicalBytes: number };
/** `currentBytes` of `endBytes` are done; equal means mirrored, or done. */
export type BlockJobInfo = {
	type: BlockJobType;
	bytesPerSecond: number;
	currentBytes: number;
	endBytes: number;
};
export type JobInfo = {
	/** 0 none, 1 bounded, 2 unbounded, 3 completed, 4 failed, 5 canceled. */
	type: number;
	timeElapsedMs: number;
	timeRemainingMs: number;
	dataTotalBytes: number;
	dataProcessedBytes: number;
	dataRemainingBytes: number;
	memoryTotalBytes: number;
	memoryProcessedBytes: number;
	memoryRemainingBytes: number;
	fileTotalBytes: number;
	fileProcessedBytes: number;
	fileRemainingBytes: number;
};
export type DomainInterface = { name: string; mac: string | null; addresses: InterfaceAddress[] };
export type InterfaceAddress = { family: "ipv4" | "ipv6"; address: string; prefix: number };

/** One domain's figures under libvirt's own names ("cpu.time", "balloon.current" in KiB, "block.0.rd.bytes" …). */
export type DomainStatsRecord = { domain: DomainRef; stats: TypedParameters };

export type NodeInfo = {
	/** The CPU's architecture or model, as libvirt says it. */
	model: string;
	memoryBytes: number;
	cpus: number;
	/** 0 when unknown. */
	mhz: number;
	numaNodes: number;
	sockets: number;
	cores: number;
	threads: number;
};
/** Of the whole host; what libvirt did not report is missing. */
export type NodeMemoryStats = { totalBytes?: number; freeBytes?: number; buffersBytes?: number; cachedBytes?: number };
export type Version = { major: number; minor: number; release: number };

export type DhcpLease = {
	interface: string;
	/** Seconds since 1970 UTC; 0 when it never ends. */
	expiresAtSeconds: number;
	family: "ipv4" | "ipv6";
	mac: string | null;
	iaid: string | null;
	address: string;
	prefix: number;
	hostname: string | null;
	clientId: string | null;
};
