/** Calls about the connection and the host. */
import { type Call, type Caller, quickMs, slowMs } from "./caller.ts";
import { maxNodeMemoryStats } from "./limits.ts";
import type { CallOptions, NodeInfo, NodeMemoryStats, Version } from "./types.ts";

/** What to ask the capabilities of a domain for; missing parts are libvirt's choice. */
export type DomainCapabilitiesQuery = { emulator?: string; arch?: string; machine?: string; virtType?: string };

export const hostCalls = (caller: Caller) => ({
	/** Version of the hypervisor (QEMU), 7.2.22 for example. */
	connectGetVersion: (options?: CallOptions): Promise<Version> =>
		caller.call({ procedure: "connectGetVersion", read: (r) => version(r.uhyper()), timeoutMs: slowMs }, options),

	/** Version of the libvirt that answers. */
	connectGetLibVersion: (options?: CallOptions): Promise<Version> =>
		caller.call({ procedure: "connectGetLibVersion", read: (r) => version(r.uhyper()), timeoutMs: quickMs }, options),

	connectGetHostname: (options?: CallOptions): Promise<string> =>
		caller.call({ procedure: "connectGetHostname", read: (r) => r.string(), timeoutMs: quickMs }, options),

	connectGetURI: (options?: CallOptions): Promise<string> =>
		caller.call({ procedure: "connectGetURI", read: (r) => r.string(), timeoutMs: quickMs }, options),

	/** Capabilities XML of the host. The first call after libvirt's start may have to start QEMU to ask it. */
	connectGetCapabilities: (options?: CallOptions): Promise<string> =>
		caller.call({ procedure: "connectGetCapabilities", read: (r) => r.string(), timeoutMs: slowMs }, options),

	/** Domain capabilities XML: machine types, CPU models, firmware. */
	connectGetDomainCapabilities: (query: DomainCapabilitiesQuery, options?: CallOptions): Promise<string> =>
		caller.call(
			{
				procedure: "connectGetDomainCapabilities",
				write: (w) => {
					w.optionalString(query.emulator);
					w.optionalString(query.arch);
					w.optionalString(query.machine);
					w.optionalString(query.virtType);
					w.uint(0);
				},
				read: (r) => r.string(),
				timeoutMs: slowMs,
			},
			options,
		),

	nodeGetInfo: (options?: CallOptions): Promise<NodeInfo> =>
		caller.call(
			{
				procedure: "nodeGetInfo",
				read: (r) => {
					// char[32]: XDR sends each character as an integer of its own.
					const characters = Array.from({ length: 32 }, () => r.int());
					const end = characters.indexOf(0);
					const model = String.fromCharCode(...characters.slice(0, end < 0 ? 32 : end).map((c) => c & 0x7f));
					const memoryBytes = r.uhyper() * 1024;
					return {
						model,
						memoryBytes,
						cpus: r.int(),
						mhz: r.int(),
						numaNodes: r.int(),
						sockets: r.int(),
						cores: r.int(),
						threads: r.int(),
					};
				},
				timeoutMs: quickMs,
			},
			options,
		),

	/** Memory of the whole host; two calls, since libvirt insists on being asked for as many figures as it has. */
	nodeGetMemoryStats: async (options?: CallOptions): Promise<NodeMemoryStats> => {
		const { available } = await caller.call(memoryCall(0), options);
		const { figures } = await caller.call(memoryCall(Math.min(available, maxNodeMemoryStats)), options);
		const value = (name: string) => figures.find(([field]) => field === name)?.[1];
		return memoryStats(value("total"), value("free"), value("buffers"), value("cached"));
	},
});
export type HostCalls = ReturnType<typeof hostCalls>;

/** `count` 0 asks only how many figures there are. */
const memoryCall = (count: number): Call<{ figures: (readonly [string, number])[]; available: number }> => ({
	procedure: "nodeGetMemoryStats",
	route: "statistics",
	write: (w) => {
		w.int(count);
		w.int(-1); // all NUMA nodes together
		w.uint(0);
	},
	read: (r) => ({
		figures: r.array(maxNodeMemoryStats, () => [r.string(), r.uhyper() * 1024] as const),
		available: r.int(),
	}),
	timeoutMs: quickMs,
});

/** libvirt packs a version as 1,000,000 × major + 1,000 × minor + release. */
const version = (packed: number): Version => ({
	major: Math.floor(packed / 1_000_000),
	minor: Math.floor(packed / 1000) % 1000,
	release: packed % 1000,
});

const memoryStats = (total?: number, free?: number, buffers?: number, cached?: number): NodeMemoryStats => ({
	...(total === undefined ? {} : { totalBytes: total }),
	...(free === undefined ? {} : { freeBytes: free }),
	...(buffers === undefined ? {} : { buffersBytes: buffers }),
	...(cached === undefined ? {} : { cachedBytes: cached }),
});
