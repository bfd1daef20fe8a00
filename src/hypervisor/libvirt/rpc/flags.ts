/** Flags and enumerations of libvirt's public API, as the typed calls take them. Flags of one set are combined with `|`. */

export const affect = { current: 0, live: 1, config: 2 } as const;
export const deviceFlags = { current: 0, live: 1, config: 2, force: 4 } as const;
export const vcpuFlags = { current: 0, live: 1, config: 2, maximum: 4, guest: 8, hotpluggable: 16 } as const;
export const memoryFlags = { current: 0, live: 1, config: 2, maximum: 4 } as const;
export const defineFlags = { validate: 1 } as const;
export const undefineFlags = {
	managedSave: 1,
	snapshotsMetadata: 2,
	nvram: 4,
	keepNvram: 8,
	checkpointsMetadata: 16,
	/** Since libvirt 8.9. */
	tpm: 32,
	keepTpm: 64,
} as const;
export const startFlags = {
	paused: 1,
	autodestroy: 2,
	bypassCache: 4,
	forceBoot: 8,
	validate: 16,
	resetNvram: 32,
} as const;
export const destroyFlags = { default: 0, graceful: 1 } as const;
export const shutdownFlags = { default: 0, acpiPowerButton: 1, guestAgent: 2 } as const;
export const xmlFlags = { secure: 1, inactive: 2, updateCpu: 4, migratable: 8 } as const;
export const listDomainsFlags = {
	active: 1,
	inactive: 2,
	persistent: 4,
	transient: 8,
	running: 16,
	paused: 32,
	shutoff: 64,
	other: 128,
	autostart: 1024,
} as const;
export const listNetworksFlags = { inactive: 1, active: 2, persistent: 4, transient: 8 } as const;
export const consoleFlags = { force: 1, safe: 2 } as const;
export const addressSource = { lease: 0, agent: 1, arp: 2 } as const;
export const metadataType = { description: 0, title: 1, element: 2 } as const;
export const statsGroups = {
	state: 1,
	cpuTotal: 2,
	balloon: 4,
	vcpu: 8,
	interface: 16,
	block: 32,
	perf: 64,
	iothread: 128,
	memory: 256,
	dirtyRate: 512,
} as const;
export const statsFlags = {
	active: 1,
	inactive: 2,
	persistent: 4,
	transient: 8,
	running: 16,
	paused: 32,
	shutoff: 64,
	/** Do not wait for a domain that is busy with another job: its record then has less in it. */
	noWait: 0x20000000,
	backing: 0x40000000,
	enforceStats: 0x80000000,
} as const;
export const snapshotFlags = { noMetadata: 4, diskOnly: 16, reuseExternal: 32, atomic: 128 } as const;
export const blockCopyFlags = { shallow: 1, reuseExternal: 2, transientJob: 4, synchronousWrites: 8 } as const;
export const blockCommitFlags = { shallow: 1, delete: 2, active: 4, relative: 8, bytesPerSecond: 16 } as const;
export const blockJobAbortFlags = { async: 1, pivot: 2 } as const;
export const keyCodeSet = { linux: 0, xt: 1, atset1: 2, atset2: 3, atset3: 4, usb: 7, qnum: 9 } as const;

/** virDomainState. */
export const domainStates = [
	"nostate",
	"running",
	"blocked",
	"paused",
	"shutdown",
	"shutoff",
	"crashed",
	"pmsuspended",
] as const;
export type LibvirtDomainState = (typeof domainStates)[number];

/** Names of virDomain*Reason for each state; the index is libvirt's number. */
const stateReasons: Record<LibvirtDomainState, readonly string[]> = {
	nostate: ["unknown"],
	running: [
		...["unknown", "booted", "migrated", "restored", "from-snapshot", "unpaused", "migration-canceled"],
		...["save-canceled", "wakeup", "crashed", "postcopy", "postcopy-failed"],
	],
	blocked: ["unknown"],
	paused: [
		...["unknown", "user", "migration", "save", "dump", "io-error", "watchdog", "from-snapshot", "shutting-down"],
		...["snapshot", "crashed", "starting-up", "postcopy", "postcopy-failed", "api-error"],
	],
	shutdown: ["unknown", "user"],
	shutoff: ["unknown", "shutdown", "destroyed", "crashed", "migrated", "saved", "failed", "from-snapshot", "daemon"],
	crashed: ["unknown", "panicked"],
	pmsuspended: ["unknown"],
};

export const stateName = (number: number): LibvirtDomainState => domainStates[number] ?? "nostate";
export const reasonName = (state: LibvirtDomainState, number: number): string =>
	stateReasons[state][number] ?? `reason-${number}`;
