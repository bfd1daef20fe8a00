/**
 * The differences between two DomainFacts, and for each what would repair it on a running domain: a step of
 * live-apply, a new definition and the next start, or a person. Pure. The order of the differences is the order in
 * which they are repaired: devices go before devices come, so that a freed port can be used again.
 */
import { formatBytes } from "../lib/units.ts";
import type { DiskLimits, DomainDifference } from "./driver.ts";
import { type CdromFacts, type DiskFacts, type DomainFacts, memoryBlockBytes, type NicFacts } from "./facts.ts";

/** One thing to do on a running domain. `alias` names the device as it is now. */
export type LiveStep =
	| { kind: "rename" }
	| { kind: "set-vcpus"; count: number }
	| { kind: "set-memory"; bytes: number }
	| { kind: "attach-disk"; id: string }
	| { kind: "attach-nic"; id: string }
	| { kind: "detach"; alias: string }
	| { kind: "limit-disk"; id: string; alias: string }
	| { kind: "change-media"; alias: string; path: string | null }
	| { kind: "update-nic"; id: string; alias: string }
	/** Cannot be done while it runs. */
	| { kind: "none"; reason: string };

export type Finding = DomainDifference & { step: LiveStep };

const nextStart = "This takes effect when the VM is next started.";
const manual = "LimiQuantix did not make this device and leaves it alone.";

/** What starts when is decided by us: a domain that libvirt starts by itself runs although a person stopped it. */
export const compareAutostart = (found: boolean): DomainDifference[] =>
	found ? [{ field: "libvirt.autostart", wanted: "off", found: "on", repair: "automatic" }] : [];

/** `found` gets the ids of `wanted` where a device without an id of ours is plainly the same (path, MAC address). */
export function compareFacts(wanted: DomainFacts, actual: DomainFacts): Finding[] {
	const found = withMatchedIds(wanted, actual);
	const findings: Finding[] = [];
	const add = (field: string, want: unknown, have: unknown, step: LiveStep, repair = repairOf(step)) => {
		if (text(want) !== text(have)) findings.push({ field, wanted: text(want), found: text(have), repair, step });
	};
	const later = (field: string, want: unknown, have: unknown) =>
		add(field, want, have, { kind: "none", reason: nextStart });

	add("name", wanted.name, found.name, { kind: "rename" });
	later("accelerator", wanted.accelerator, found.accelerator);
	later("firmware", wanted.firmware, found.firmware);
	later("tpm", wanted.tpm, found.tpm);
	later("cpu.model", wanted.cpuModel, found.cpuModel);
	later("cpu.maxVcpus", wanted.maxVcpus, found.maxVcpus);
	add("cpu.vcpus", wanted.vcpus, found.vcpus, vcpuStep(wanted, found));
	// The limit is rounded up to whole blocks above the size that the domain started with.
	const spare = found.maxMemoryBytes - wanted.maxMemoryBytes;
	if (spare < 0 || spare >= memoryBlockBytes) later("memory.maxSizeBytes", wanted.maxMemoryBytes, found.maxMemoryBytes);
	add("memory.sizeBytes", wanted.memoryBytes, found.memoryBytes, memoryStep(wanted, found));

	for (const other of found.others) add("device", "absent", other, { kind: "none", reason: manual }, "manual");
	for (const disk of surplus(wanted.disks, found.disks)) addSurplus("disks", disk, add, removeDisk(disk));
	for (const nic of surplus(wanted.nics, found.nics))
		addSurplus("nics", nic, add, { kind: "detach", alias: nic.alias });
	for (const drive of surplus(wanted.cdroms, found.cdroms))
		addSurplus("cdroms", drive, add, { kind: "none", reason: nextStart });
	for (const disk of wanted.disks) compareDisk(disk, byId(found.disks, disk.id), add, later);
	for (const drive of wanted.cdroms) {
		const have = byId(found.cdroms, drive.id);
		if (!have) later(`cdroms[${drive.id}]`, "present", "absent");
		else add(`cdroms[${drive.id}].path`, drive.path, have.path, media(have.alias, drive.path));
	}
	for (const nic of wanted.nics) compareNic(nic, byId(found.nics, nic.id), add, later);
	// A seed that is no longer wanted is ejected; a drive for a new one only comes with the next start.
	later("cloudInit", wanted.seedPath, found.seedPath);
	const [wantedOrder, foundOrder] = comparableOrders(wanted, found);
	later("bootOrder", wantedOrder, foundOrder);
	return findings;
}

type Add = (field: string, want: unknown, have: unknown, step: LiveStep, repair?: DomainDifference["repair"]) => void;
type Later = (field: string, want: unknown, have: unknown) => void;

const repairOf = (step: LiveStep): DomainDifference["repair"] => (step.kind === "none" ? "next-start" : "automatic");
const media = (alias: string, path: string | null): LiveStep => ({ kind: "change-media", alias, path });

function vcpuStep(wanted: DomainFacts, found: DomainFacts): LiveStep {
	// QEMU takes an emulated CPU away without saying so (7.2), and libvirt then counts it for ever.
	if (wanted.vcpus < found.vcpus && found.accelerator === "tcg")
		return { kind: "none", reason: `Emulated CPUs cannot be taken away while the VM runs. ${nextStart}` };
	if (wanted.vcpus <= found.maxVcpus) return { kind: "set-vcpus", count: wanted.vcpus };
	return { kind: "none", reason: `The running VM can have ${found.maxVcpus} vCPUs at most. ${nextStart}` };
}

function memoryStep(wanted: DomainFacts, found: DomainFacts): LiveStep {
	if (wanted.memoryBytes <= found.maxMemoryBytes) return { kind: "set-memory", bytes: wanted.memoryBytes };
	const limit = formatBytes(found.maxMemoryBytes);
	return { kind: "none", reason: `The running VM can have ${limit} of memory at most. ${nextStart}` };
}

const hotPlugs = (bus: string): boolean => bus === "virtio" || bus === "scsi";
const noSataHotPlug: LiveStep = {
	kind: "none",
	reason: `SATA disks cannot be added or removed while the VM runs. ${nextStart}`,
};

const removeDisk = (disk: DiskFacts): LiveStep =>
	hotPlugs(disk.bus) ? { kind: "detach", alias: disk.alias } : noSataHotPlug;

function compareDisk(disk: DiskFacts, have: DiskFacts | undefined, add: Add, later: Later): void {
	const field = `disks[${disk.id}]`;
	if (!have) {
		const step: LiveStep = hotPlugs(disk.bus) ? { kind: "attach-disk", id: disk.id ?? "" } : noSataHotPlug;
		add(field, "present", "absent", step);
		return;
	}
	for (const key of ["path", "format", "backing", "bus", "cache", "discard", "readOnly"] as const)
		later(`${field}.${key}`, disk[key], have[key]);
	const step: LiveStep = { kind: "limit-disk", id: disk.id ?? "", alias: have.alias };
	add(`${field}.qos`, limitsText(disk.limits), limitsText(have.limits), step);
}

/** In exact figures, because these are what is compared. */
function limitsText(limits: DiskLimits | null): string[] {
	const each = (perSecond: number | null | undefined, what: string) =>
		perSecond == null ? [] : [`${perSecond} ${what}/s`];
	return [
		...each(limits?.readBytesPerSecond, "bytes read"),
		...each(limits?.writeBytesPerSecond, "bytes written"),
		...each(limits?.readIops, "reads"),
		...each(limits?.writeIops, "writes"),
	];
}

function compareNic(nic: NicFacts, have: NicFacts | undefined, add: Add, later: Later): void {
	const field = `nics[${nic.id}]`;
	const id = nic.id ?? "";
	if (!have) {
		add(field, "present", "absent", { kind: "attach-nic", id });
		return;
	}
	later(`${field}.mac`, nic.mac, have.mac);
	later(`${field}.model`, nic.model, have.model);
	const update: LiveStep = { kind: "update-nic", id, alias: have.alias };
	add(`${field}.bridge`, nic.bridge, have.bridge, update);
	add(`${field}.linkUp`, nic.linkUp, have.linkUp, update);
}

type Device = { id: string | null; alias: string };
const byId = <T extends Device>(devices: T[], id: string | null): T | undefined =>
	devices.find((device) => device.id !== null && device.id === id);
const surplus = <T extends Device>(wanted: T[], found: T[]): T[] =>
	found.filter((device) => device.id === null || !byId(wanted, device.id));

function addSurplus(kind: string, device: Device, add: Add, step: LiveStep): void {
	if (device.id === null) add("device", "absent", device.alias, { kind: "none", reason: manual }, "manual");
	else add(`${kind}[${device.id}]`, "absent", "present", step);
}

/** Gives devices without an id of ours the id of the wanted device that they plainly are. */
export function withMatchedIds(wanted: DomainFacts, found: DomainFacts): DomainFacts {
	const match = <T extends Device>(mine: T[], theirs: T[], same: (a: T, b: T) => boolean): T[] => {
		const taken = new Set(theirs.map((device) => device.id));
		return theirs.map((device) => {
			if (device.id !== null) return device;
			const twin = mine.find((candidate) => !taken.has(candidate.id) && same(candidate, device));
			if (!twin) return device;
			taken.add(twin.id);
			return { ...device, id: twin.id };
		});
	};
	return {
		...found,
		disks: match(wanted.disks, found.disks, (a, b) => a.path === b.path),
		cdroms: match<CdromFacts>(wanted.cdroms, found.cdroms, (a, b) => a.path === b.path),
		nics: match(wanted.nics, found.nics, (a, b) => a.mac === b.mac),
	};
}

/**
 * Devices that are gone do not count; in an order that nobody chose, new ones do not either. Disks that come last in a
 * chosen order do not: a disk that was just plugged in is not worth a restart only to be tried after the others.
 */
function comparableOrders(wanted: DomainFacts, found: DomainFacts): [string[], string[]] {
	const foundOrder = found.bootOrder.filter((id) => wanted.bootOrder.includes(id) || has(wanted, id));
	if (wanted.bootOrderChosen) {
		const isStart = foundOrder.length > 0 && foundOrder.every((id, index) => wanted.bootOrder[index] === id);
		const rest = wanted.bootOrder.slice(foundOrder.length);
		const onlyDisks = rest.every((id) => byId(wanted.disks, id));
		return [isStart && onlyDisks ? foundOrder : wanted.bootOrder, foundOrder];
	}
	return [wanted.bootOrder.filter((id) => foundOrder.includes(id)), foundOrder];
}

const has = (facts: DomainFacts, id: string): boolean =>
	[...facts.disks, ...facts.cdroms, ...facts.nics].some((device) => device.id === id);

function text(value: unknown): string {
	if (value === null) return "none";
	if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(", ");
	return String(value);
}
