/**
 * Calls about a domain's disks: sizes, limits, overlays, and the jobs that move their data. `disk` is a target ("vda") or, where
 * that is said, a layer below it ("vda[2]", by the index in the XML of what runs). Errors as in domain-calls.ts.
 */
import { type Caller, nothing, quickMs, slowMs } from "./caller.ts";
import { blockJobType } from "./events.ts";
import { affect, blockCommitFlags } from "./flags.ts";
import { maxBlockCopyParameters, maxBlockTuneParameters } from "./limits.ts";
import type { ProcedureName } from "./protocol.ts";
import type { BlockInfo, BlockJobInfo, CallOptions, DomainTarget } from "./types.ts";
import { readDomain, writeDomain, writeUnsignedParameters } from "./values.ts";
import type { XdrReader } from "./xdr-reader.ts";
import type { XdrWriter } from "./xdr-writer.ts";

const inBytes = 1; // the same bit in all of VIR_DOMAIN_BLOCK_RESIZE_BYTES, …_JOB_INFO_BANDWIDTH_BYTES and …_JOB_SPEED_BANDWIDTH_BYTES

export const blockCalls = (caller: Caller) => {
	/** A call with the domain, further arguments and flags. */
	const call = <T>(
		procedure: ProcedureName,
		domain: DomainTarget,
		write: (writer: XdrWriter) => void,
		flags: number,
		read: (reader: XdrReader) => T,
		options: CallOptions | undefined,
		timeoutMs = slowMs,
	): Promise<T> =>
		caller.call(
			{
				procedure,
				write: (w) => {
					writeDomain(w, domain);
					write(w);
					w.uint(flags);
				},
				read,
				timeoutMs,
			},
			options,
		);

	return {
		/** Grows the disk of a running domain to `sizeBytes`. */
		domainBlockResize: (domain: DomainTarget, disk: string, sizeBytes: number, options?: CallOptions): Promise<void> =>
			call(
				"domainBlockResize",
				domain,
				(w) => {
					w.string(disk);
					w.uhyper(sizeBytes);
				},
				inBytes,
				nothing,
				options,
			),

		domainGetBlockInfo: (domain: DomainTarget, disk: string, options?: CallOptions): Promise<BlockInfo> =>
			call(
				"domainGetBlockInfo",
				domain,
				(w) => w.string(disk),
				0,
				(r) => ({ allocationBytes: r.uhyper(), capacityBytes: r.uhyper(), physicalBytes: r.uhyper() }),
				options,
				quickMs,
			),

		/** `flags`: `snapshotFlags`. With `diskOnly` the named disks of a running domain go on in overlays. */
		domainSnapshotCreateXML: (domain: DomainTarget, xml: string, flags: number, options?: CallOptions): Promise<void> =>
			call(
				"domainSnapshotCreateXML",
				domain,
				(w) => w.string(xml),
				flags,
				(r) => {
					r.string(); // the snapshot's name
					readDomain(r);
				},
				options,
			),

		/** Starts a job; `xml` is a `disk` element with the target. `flags`: `blockCopyFlags`. */
		domainBlockCopy: (
			domain: DomainTarget,
			disk: string,
			xml: string,
			how: { flags: number; bytesPerSecond?: number },
			options?: CallOptions,
		): Promise<void> =>
			call(
				"domainBlockCopy",
				domain,
				(w) => {
					w.string(disk);
					w.string(xml);
					const { bytesPerSecond } = how;
					const limits: Record<string, number> = bytesPerSecond === undefined ? {} : { bandwidth: bytesPerSecond };
					writeUnsignedParameters(w, maxBlockCopyParameters, limits);
				},
				how.flags,
				nothing,
				options,
			),

		/** Starts a job; `base` and `top` are layers. `flags`: `blockCommitFlags`. */
		domainBlockCommit: (
			domain: DomainTarget,
			disk: string,
			how: { base: string; top: string; flags: number; bytesPerSecond?: number },
			options?: CallOptions,
		): Promise<void> =>
			call(
				"domainBlockCommit",
				domain,
				(w) => {
					w.string(disk);
					w.optionalString(how.base);
					w.optionalString(how.top);
					w.uhyper(how.bytesPerSecond ?? 0);
				},
				how.flags | blockCommitFlags.bytesPerSecond,
				nothing,
				options,
			),

		/** Null when no job is on that disk. */
		domainGetBlockJobInfo: (domain: DomainTarget, disk: string, options?: CallOptions): Promise<BlockJobInfo | null> =>
			call(
				"domainGetBlockJobInfo",
				domain,
				(w) => w.string(disk),
				inBytes,
				(r) => {
					const found = r.int() !== 0;
					const type = blockJobType(r.int());
					const job = { type, bytesPerSecond: r.uhyper(), currentBytes: r.uhyper(), endBytes: r.uhyper() };
					return found ? job : null;
				},
				options,
				quickMs,
			),

		/** 0 is no limit. */
		domainBlockJobSetSpeed: (
			domain: DomainTarget,
			disk: string,
			bytesPerSecond: number,
			options?: CallOptions,
		): Promise<void> =>
			call(
				"domainBlockJobSetSpeed",
				domain,
				(w) => {
					w.string(disk);
					w.uhyper(bytesPerSecond);
				},
				inBytes,
				nothing,
				options,
			),

		/** Ends a job; with `pivot` the disk goes over to the target. `flags`: `blockJobAbortFlags`. Returns when it has ended. */
		domainBlockJobAbort: (domain: DomainTarget, disk: string, flags: number, options?: CallOptions): Promise<void> =>
			call("domainBlockJobAbort", domain, (w) => w.string(disk), flags, nothing, options),

		/** libvirt's names and whole numbers; 0 is no limit. Of the running domain. */
		domainSetBlockIoTune: (
			domain: DomainTarget,
			disk: string,
			limits: Readonly<Record<string, number>>,
			options?: CallOptions,
		): Promise<void> =>
			call(
				"domainSetBlockIoTune",
				domain,
				(w) => {
					w.string(disk);
					writeUnsignedParameters(w, maxBlockTuneParameters, limits);
				},
				affect.live,
				nothing,
				options,
			),
	};
};
export type BlockCalls = ReturnType<typeof blockCalls>;
