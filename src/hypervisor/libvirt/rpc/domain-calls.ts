/**
 * Calls that find, define, start, stop and describe domains. Each takes the domain by UUID. Errors: `not-found` (no such
 * domain), `wrong-state` (running or not running where the other is needed), `hypervisor`, `unavailable`, `timeout`,
 * `canceled`, `unsupported`.
 */
import { type Call, type Caller, nothing, quickMs, slowMs } from "./caller.ts";
import { reasonName, stateName } from "./flags.ts";
import { maxDomains, maxStatsParameters } from "./limits.ts";
import type { ProcedureName } from "./protocol.ts";
import type {
	CallOptions,
	DomainInfo,
	DomainRef,
	DomainStateInfo,
	DomainStatsRecord,
	DomainTarget,
	JobInfo,
} from "./types.ts";
import { readDomain, readTypedParameters, writeDomain, writeUuid } from "./values.ts";
import type { XdrReader } from "./xdr-reader.ts";

export const domainCalls = (caller: Caller) => {
	/** A call whose arguments are the domain and, when given, flags, and that returns nothing. */
	const act = (
		procedure: ProcedureName,
		domain: DomainTarget,
		flags: number | undefined,
		timeoutMs: number,
		options: CallOptions | undefined,
	) => caller.call(domainCall(procedure, domain, flags, timeoutMs, nothing), options);

	return {
		/** All domains that match one flag of each group of `listDomainsFlags`; 0 lists every one. */
		connectListAllDomains: (flags = 0, options?: CallOptions): Promise<DomainRef[]> =>
			caller.call(
				{
					procedure: "connectListAllDomains",
					write: (w) => {
						w.int(1);
						w.uint(flags);
					},
					read: (r) => {
						const domains = r.array(maxDomains, () => readDomain(r));
						r.uint();
						return domains;
					},
					timeoutMs: quickMs,
				},
				options,
			),

		domainLookupByUuid: (uuid: string, options?: CallOptions): Promise<DomainRef> =>
			caller.call(
				{ procedure: "domainLookupByUuid", write: (w) => writeUuid(w, uuid), read: readDomain, timeoutMs: quickMs },
				options,
			),

		domainLookupByName: (name: string, options?: CallOptions): Promise<DomainRef> =>
			caller.call(
				{ procedure: "domainLookupByName", write: (w) => w.string(name), read: readDomain, timeoutMs: quickMs },
				options,
			),

		/** Defines, or redefines under the same UUID and name. `flags`: `defineFlags`. */
		domainDefineXMLFlags: (xml: string, flags = 0, options?: CallOptions): Promise<DomainRef> =>
			caller.call(
				{
					procedure: "domainDefineXMLFlags",
					write: (w) => {
						w.string(xml);
						w.uint(flags);
					},
					read: readDomain,
					timeoutMs: slowMs,
				},
				options,
			),

		/** `flags`: `undefineFlags`. A domain with NVRAM needs `nvram` or `keepNvram`. */
		domainUndefineFlags: (domain: DomainTarget, flags: number, options?: CallOptions): Promise<void> =>
			act("domainUndefineFlags", domain, flags, slowMs, options),

		/** Starts a defined domain. `flags`: `startFlags`. Running already is `wrong-state`. */
		domainCreateWithFlags: (domain: DomainTarget, flags = 0, options?: CallOptions): Promise<void> =>
			caller.call(
				domainCall("domainCreateWithFlags", domain, flags, slowMs, (r) => {
					readDomain(r); // what we sent, with the domain's new id
				}),
				options,
			),

		/** Ends it at once. `flags`: `destroyFlags`. Not running is `wrong-state`. */
		domainDestroyFlags: (domain: DomainTarget, flags = 0, options?: CallOptions): Promise<void> =>
			act("domainDestroyFlags", domain, flags, slowMs, options),

		/** Asks the guest; returns before it has shut down. `flags`: `shutdownFlags`. */
		domainShutdownFlags: (domain: DomainTarget, flags = 0, options?: CallOptions): Promise<void> =>
			act("domainShutdownFlags", domain, flags, slowMs, options),

		/** Asks the guest to restart. `flags`: `shutdownFlags`. */
		domainReboot: (domain: DomainTarget, flags = 0, options?: CallOptions): Promise<void> =>
			act("domainReboot", domain, flags, slowMs, options),

		/** Like the reset button. */
		domainReset: (domain: DomainTarget, options?: CallOptions): Promise<void> =>
			act("domainReset", domain, 0, slowMs, options),

		/** Pauses the vCPUs. */
		domainSuspend: (domain: DomainTarget, options?: CallOptions): Promise<void> =>
			act("domainSuspend", domain, undefined, slowMs, options),

		domainResume: (domain: DomainTarget, options?: CallOptions): Promise<void> =>
			act("domainResume", domain, undefined, slowMs, options),

		domainGetState: (domain: DomainTarget, options?: CallOptions): Promise<DomainStateInfo> =>
			caller.call(
				domainCall("domainGetState", domain, 0, quickMs, (r) => {
					const state = stateName(r.int());
					return { state, reason: reasonName(state, r.int()) };
				}),
				options,
			),

		domainGetInfo: (domain: DomainTarget, options?: CallOptions): Promise<DomainInfo> =>
			caller.call(
				domainCall("domainGetInfo", domain, undefined, quickMs, (r) => ({
					state: stateName(r.uint()),
					maxMemoryBytes: r.uhyper() * 1024,
					memoryBytes: r.uhyper() * 1024,
					vcpus: r.uint(),
					cpuTimeNs: r.uhyper(),
				})),
				options,
			),

		/** `flags`: `xmlFlags`; `inactive` gives the definition for the next start of a running domain. */
		domainGetXMLDesc: (domain: DomainTarget, flags = 0, options?: CallOptions): Promise<string> =>
			caller.call(
				domainCall("domainGetXMLDesc", domain, flags, quickMs, (r) => r.string()),
				options,
			),

		domainIsPersistent: (domain: DomainTarget, options?: CallOptions): Promise<boolean> =>
			caller.call(
				domainCall("domainIsPersistent", domain, undefined, quickMs, (r) => r.int() !== 0),
				options,
			),

		/** How many snapshots libvirt keeps of the domain. */
		domainSnapshotNum: (domain: DomainTarget, options?: CallOptions): Promise<number> =>
			caller.call(
				domainCall("domainSnapshotNum", domain, 0, quickMs, (r) => r.int()),
				options,
			),

		domainGetAutostart: (domain: DomainTarget, options?: CallOptions): Promise<boolean> =>
			caller.call(
				domainCall("domainGetAutostart", domain, undefined, quickMs, (r) => r.int() !== 0),
				options,
			),

		domainSetAutostart: (domain: DomainTarget, autostart: boolean, options?: CallOptions): Promise<void> =>
			caller.call(
				{
					procedure: "domainSetAutostart",
					write: (w) => {
						writeDomain(w, domain);
						w.int(autostart ? 1 : 0);
					},
					read: nothing,
					timeoutMs: quickMs,
				},
				options,
			),

		/** Renames a domain that does not run. */
		domainRename: (domain: DomainTarget, newName: string, options?: CallOptions): Promise<void> =>
			caller.call(
				{
					procedure: "domainRename",
					write: (w) => {
						writeDomain(w, domain);
						w.optionalString(newName);
						w.uint(0);
					},
					read: (r) => {
						r.int();
					},
					timeoutMs: quickMs,
				},
				options,
			),

		domainGetJobInfo: (domain: DomainTarget, options?: CallOptions): Promise<JobInfo> =>
			caller.call(domainCall("domainGetJobInfo", domain, undefined, quickMs, readJobInfo), options),

		/** Cancels the running job (migration, save, …). No job is `wrong-state`. */
		domainAbortJob: (domain: DomainTarget, options?: CallOptions): Promise<void> =>
			act("domainAbortJob", domain, undefined, slowMs, options),

		/**
		 * Figures of many domains in one call, over the connection for statistics. `groups`: `statsGroups` (0: all that
		 * libvirt has), `flags`: `statsFlags`; pass `noWait`, else one busy domain delays the answer. No `domains`: all.
		 */
		connectGetAllDomainStats: (
			groups: number,
			flags: number,
			domains: readonly DomainTarget[] = [],
			options?: CallOptions,
		): Promise<DomainStatsRecord[]> =>
			caller.call(
				{
					procedure: "connectGetAllDomainStats",
					route: "statistics",
					write: (w) => {
						w.array(domains, maxDomains, (domain) => writeDomain(w, domain));
						w.uint(groups);
						w.uint(flags);
					},
					read: (r) =>
						r.array(maxDomains, () => ({ domain: readDomain(r), stats: readTypedParameters(r, maxStatsParameters) })),
					timeoutMs: quickMs,
				},
				options,
			),
	};
};
export type DomainCalls = ReturnType<typeof domainCalls>;

function domainCall<T>(
	procedure: ProcedureName,
	domain: DomainTarget,
	flags: number | undefined,
	timeoutMs: number,
	read: (reader: XdrReader) => T,
): Call<T> {
	return {
		procedure,
		write: (w) => {
			writeDomain(w, domain);
			if (flags !== undefined) w.uint(flags);
		},
		read,
		timeoutMs,
	};
}

const readJobInfo = (r: XdrReader): JobInfo => ({
	type: r.int(),
	timeElapsedMs: r.uhyper(),
	timeRemainingMs: r.uhyper(),
	dataTotalBytes: r.uhyper(),
	dataProcessedBytes: r.uhyper(),
	dataRemainingBytes: r.uhyper(),
	memoryTotalBytes: r.uhyper(),
	memoryProcessedBytes: r.uhyper(),
	memoryRemainingBytes: r.uhyper(),
	fileTotalBytes: r.uhyper(),
	fileProcessedBytes: r.uhyper(),
	fileRemainingBytes: r.uhyper(),
});
