/** Domain specs for tests: a small one, and changes to it. Imported by tests only. */
import { MiB } from "../lib/units.ts";
import type { DiskSpec, NicSpec, VmSpec } from "../model/vm.ts";
import type { DomainDisk, DomainSpec, ForeignDomain } from "./driver.ts";

export const testUuid = (number: number): string => `0190aaaa-0000-7000-8000-${String(number).padStart(12, "0")}`;

export const smallSpec: VmSpec = {
	firmware: "bios",
	tpm: false,
	cpu: { vcpus: 1, maxVcpus: 2, model: "portable" },
	memory: { sizeBytes: 128 * MiB, maxSizeBytes: 512 * MiB },
	disks: [],
	cdroms: [],
	nics: [],
	bootOrder: [],
	cloudInit: null,
	autostart: { enabled: false, order: 0, delayMs: 0 },
	shutdownTimeoutMs: 60_000,
};

/** The smallest domain: no disk, no NIC. */
export function smallDomain(number: number, folder: string, change: Partial<DomainSpec> = {}): DomainSpec {
	return {
		id: testUuid(number),
		name: `small-${number}`,
		generation: 1,
		spec: structuredClone(smallSpec),
		disks: [],
		cdroms: [],
		nics: [],
		seedPath: null,
		accelerator: "tcg",
		folder,
		...change,
	};
}

export function withDisk(
	domain: DomainSpec,
	id: string,
	path: string,
	disk: Partial<DiskSpec> = {},
	source: Partial<DomainDisk> = {},
): DomainSpec {
	const spec: DiskSpec = {
		id,
		volumeId: testUuid(1000 + domain.spec.disks.length),
		bus: "virtio",
		cache: "none",
		discard: true,
		readOnly: false,
		...disk,
	};
	return {
		...domain,
		spec: { ...domain.spec, disks: [...domain.spec.disks, spec] },
		disks: [...domain.disks, { id, source: { kind: "file", path }, format: "qcow2", backing: [], ...source }],
	};
}

export function withNic(domain: DomainSpec, id: string, bridge: string, nic: Partial<NicSpec> = {}): DomainSpec {
	const index = domain.spec.nics.length;
	const spec: NicSpec = {
		id,
		networkId: testUuid(2000),
		mac: `52:54:00:00:00:${(index + 16).toString(16)}`,
		model: "virtio",
		linkUp: true,
		...nic,
	};
	return {
		...domain,
		spec: { ...domain.spec, nics: [...domain.spec.nics, spec] },
		nics: [...domain.nics, { id, bridge }],
	};
}

export function withCdrom(domain: DomainSpec, id: string, path: string | null): DomainSpec {
	return {
		...domain,
		spec: { ...domain.spec, cdroms: [...domain.spec.cdroms, { id, imageId: path === null ? null : testUuid(3000) }] },
		cdroms: [...domain.cdroms, { id, source: path === null ? null : { kind: "file", path } }],
	};
}

type Disk = ForeignDomain["disks"][number];
type Nic = ForeignDomain["nics"][number];
/** As much of it as a test cares for. */
export type ForeignSketch = Partial<Omit<ForeignDomain, "disks" | "nics">> & {
	disks?: (Pick<Disk, "target" | "path" | "format" | "bus"> & Partial<Disk>)[];
	nics?: (Omit<Nic, "linkUp"> & Partial<Nic>)[];
};

/** A domain that somebody else made: stopped, no disk, no NIC. */
export const foreignFixture = ({ disks = [], nics = [], ...changes }: ForeignSketch = {}): ForeignDomain => ({
	...{ id: testUuid(900), name: "theirs", description: "", powerState: "stopped", autostart: false },
	...{ accelerator: "tcg", vcpus: 1, maxVcpus: 1, cpuModel: "portable", firmware: "bios", tpm: false },
	...{ memoryBytes: 128 * MiB, maxMemoryBytes: 128 * MiB },
	...{ cdroms: [], bootOrder: [], obstacles: [], changes: [] },
	...changes,
	disks: disks.map((disk) => ({ cache: "writeback", discard: false, readOnly: false, ...disk })),
	nics: nics.map((nic) => ({ linkUp: true, ...nic })),
});
