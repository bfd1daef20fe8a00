/**
 * Brings a running domain to its spec, step by step: what to do was decided by compare.ts, here it is done. A step that
 * fails is reported and the next one is tried; only when libvirt itself is away does the whole end.
 */
import { present } from "../../lib/assert.ts";
import { type Clock, delay } from "../../lib/clock.ts";
import { isAppError } from "../../lib/errors.ts";
import { formatBytes } from "../../lib/units.ts";
import { writeXml } from "../../lib/xml-writer.ts";
import type { DiskSource } from "../../model/disk-source.ts";
import { compareFacts, type LiveStep, withMatchedIds } from "../compare.ts";
import type { DomainSpec, LiveChange } from "../driver.ts";
import { aliasOf, type DomainFacts, memoryBlockBytes, type Placement, wantedFacts } from "../facts.ts";
import { cdromElement, diskElement, limitParameters, memoryModuleElement, nicElement } from "./domain/device-xml.ts";
import { placementsOf, type ReadDomain } from "./domain/domain-reader.ts";
import { bareMetadataXml } from "./domain/domain-xml.ts";
import type { CdromDevice, Machine } from "./domain/machine.ts";
import { metadataPrefix, metadataUri } from "./domain/machine.ts";
import type { Bus } from "./domain/placement.ts";
import { planMachine } from "./domain/plan-machine.ts";
import { expectEvent } from "./expect-event.ts";
import type { LibvirtClient } from "./rpc/client.ts";
import { isLibvirtError, libvirtErrors } from "./rpc/errors.ts";
import { affect, deviceFlags, memoryFlags, vcpuFlags } from "./rpc/flags.ts";

export type LiveContext = {
	client: LibvirtClient;
	clock: Clock;
	/** How long a guest may take to let go of a device, or of memory. */
	guestLimitMs: number;
};

const pollMs = 250;

type Work = LiveContext & { domain: DomainSpec; uuid: string; live: ReadDomain; machine: Machine };

/** `live` is the running domain, `defined` its definition, when it has one. */
export async function applyToLive(
	context: LiveContext,
	domain: DomainSpec,
	live: ReadDomain,
	defined: ReadDomain | null,
): Promise<LiveChange[]> {
	const wanted = wantedFacts(domain);
	const findings = compareFacts(wanted, live.facts).filter((finding) => finding.repair !== "manual");
	const machine = planForLive(domain, wanted, live, defined);
	const work: Work = { ...context, domain, uuid: domain.id, live, machine };
	const changes: LiveChange[] = [];
	for (const finding of findings) {
		const reason = await attempt(() => perform(work, finding.step));
		changes.push({ field: finding.field, applied: reason === null, reason });
	}
	if (changes.every((change) => change.applied)) await setMetadata(work, domain.generation);
	return changes;
}

/** Devices that come get places that are free now, if possible those that the definition has for them. */
function planForLive(domain: DomainSpec, wanted: DomainFacts, live: ReadDomain, defined: ReadDomain | null): Machine {
	const facts = withMatchedIds(wanted, live.facts);
	const placements = new Map(defined ? placementsOf(defined, withMatchedIds(wanted, defined.facts)) : []);
	for (const [alias, placement] of placements)
		if (Number(placement.address?.bus ?? 0) > live.rootPorts) placements.set(alias, { ...placement, address: null });
	for (const [alias, placement] of placementsOf(live, facts)) placements.set(alias, placement);
	const strangers = [...facts.disks, ...facts.cdroms].filter((device) => !placements.has(aliasOf(device.id ?? "")));
	const taken = [
		...strangers.map(({ bus, placement }) => ({ bus: busOf(bus), placement: placement ?? nowhere })),
		...facts.nics
			.filter((nic) => nic.id === null)
			.map((nic) => ({ bus: "pci" as const, placement: nic.placement ?? nowhere })),
	];
	return planMachine(domain, { libvirtName: live.libvirtName, placements, taken, ioThreads: live.ioThreads > 0 });
}

/** Drives on other buses share only their names with ours. */
const busOf = (bus: string): Bus => (bus === "virtio" || bus === "scsi" ? bus : "sata");

const nowhere: Placement = { target: null, address: null };

/** The reason why it was not done; null when it was. */
async function attempt(step: () => Promise<string | null>): Promise<string | null> {
	try {
		return await step();
	} catch (error) {
		// What libvirt itself says, it says of this step; that it is away concerns all of them.
		if (isLibvirtError(error) || isAppError(error, "invalid") || isAppError(error, "unsupported")) return error.message;
		throw error;
	}
}

async function perform(work: Work, step: LiveStep): Promise<string | null> {
	const { client, machine } = work;
	switch (step.kind) {
		case "none":
			return step.reason;
		case "rename":
			await setMetadata(work, work.live.ours?.generation ?? 0);
			return null;
		case "set-vcpus":
			return setVcpus(work, step.count);
		case "set-memory":
			return setMemory(work, step.bytes);
		case "attach-disk": {
			const disk = present(
				machine.disks.find((device) => device.alias === aliasOf(step.id)),
				"the disk",
			);
			return attach(work, writeXml(diskElement({ ...disk, bootOrder: null })));
		}
		case "attach-nic": {
			const nic = present(
				machine.nics.find((device) => device.alias === aliasOf(step.id)),
				"the NIC",
			);
			return attach(work, writeXml(nicElement({ ...nic, bootOrder: null })));
		}
		case "detach":
			return detach(work, step.alias);
		case "limit-disk":
			return limitDisk(work, step);
		case "change-media":
			await changeLiveMedia(client, work.live, step.alias, mediumOf(machine, step));
			return null;
		case "update-nic":
			return updateNic(work, step.id, step.alias);
	}
}

async function limitDisk({ client, uuid, live, machine }: Work, step: { id: string; alias: string }): Promise<null> {
	const { target } = present(live.facts.disks.find(({ alias }) => alias === step.alias)?.placement, "the running disk");
	const { limits } = present(
		machine.disks.find(({ alias }) => alias === aliasOf(step.id)),
		"the disk",
	);
	await client.domainSetBlockIoTune({ uuid }, target ?? "", limitParameters(limits));
	return null;
}

/** Takes vCPUs away only if the guest agrees; libvirt waits for that for 5 s, which a slow guest may not keep. */
async function setVcpus({ client, clock, uuid, guestLimitMs }: Work, count: number): Promise<string | null> {
	try {
		await client.domainSetVcpusFlags({ uuid }, count, vcpuFlags.live);
		return null;
	} catch (error) {
		if (!isLibvirtError(error, libvirtErrors.operationTimeout)) throw error;
	}
	const deadline = clock.monotonicMs() + guestLimitMs;
	while ((await client.domainGetInfo({ uuid })).vcpus !== count) {
		if (clock.monotonicMs() > deadline) return "The guest did not let go of the vCPU in time.";
		await delay(clock, pollMs);
	}
	return null;
}

async function attach({ client, uuid }: Work, xml: string): Promise<null> {
	await client.domainAttachDeviceFlags({ uuid }, xml, deviceFlags.live);
	return null;
}

/** The guest decides when a device goes; libvirt says so by an event. Null when it went, else why it did not. */
export async function detach(
	{ client, clock, guestLimitMs, uuid }: LiveContext & { uuid: string },
	alias: string,
): Promise<string | null> {
	const answer = expectEvent(client, clock, guestLimitMs, (event) =>
		event.domain.uuid === uuid &&
		(event.kind === "device-removed" || event.kind === "device-removal-failed") &&
		event.alias === alias
			? event.kind
			: null,
	);
	try {
		await client.domainDetachDeviceAlias({ uuid }, alias, deviceFlags.live);
		const outcome = await answer.result;
		if (outcome === "device-removed") return null;
		if (outcome === "device-removal-failed") return "The guest refused to let go of the device.";
		return `The guest did not let go of the device within ${guestLimitMs / 1000} s.`;
	} finally {
		answer.cancel();
	}
}

/** More than there is comes as a module; less is taken, and given back, by the balloon. */
async function setMemory(work: Work, bytes: number): Promise<string | null> {
	const { client, clock, uuid, live, guestLimitMs } = work;
	let total = live.memoryTotalBytes;
	if (bytes > total) {
		const module = Math.ceil((bytes - total) / memoryBlockBytes) * memoryBlockBytes;
		await client.domainAttachDeviceFlags({ uuid }, writeXml(memoryModuleElement(module)), deviceFlags.live);
		total += module;
	}
	const now = (await client.domainGetInfo({ uuid })).memoryBytes;
	if (now === bytes) return null;
	const reached = expectEvent(client, clock, guestLimitMs, (event) =>
		event.domain.uuid === uuid && event.kind === "balloon-change" && event.actualBytes === bytes ? true : null,
	);
	try {
		await client.domainSetMemoryFlags({ uuid }, bytes, memoryFlags.live);
		if ((await reached.result) === true) return null;
	} finally {
		reached.cancel();
	}
	const actual = (await client.domainGetInfo({ uuid })).memoryBytes;
	if (actual === bytes) return null;
	return `The guest was asked, and has ${formatBytes(actual)} now; it needs a balloon driver for this.`;
}

async function updateNic({ client, uuid, live, machine }: Work, id: string, alias: string): Promise<null> {
	const wanted = present(
		machine.nics.find((nic) => nic.alias === aliasOf(id)),
		"the NIC",
	);
	const have = present(
		live.facts.nics.find((nic) => nic.alias === alias),
		"the running NIC",
	);
	const order = bootOrderIn(live, alias);
	const device = { ...wanted, alias, mac: have.mac, address: have.placement?.address ?? null, bootOrder: order };
	const model = have.model === "e1000e" ? ("e1000e" as const) : ("virtio" as const);
	await client.domainUpdateDeviceFlags({ uuid }, writeXml(nicElement({ ...device, model })), deviceFlags.live);
	return null;
}

/** Puts a disc into a running drive, or takes it out. A guest that has locked its drive is asked first, then not. */
export async function changeLiveMedia(
	client: LibvirtClient,
	live: ReadDomain,
	alias: string,
	source: DiskSource | null,
): Promise<void> {
	const xml = mediaXml(live, alias, source);
	const uuid = live.facts.id;
	try {
		await client.domainUpdateDeviceFlags({ uuid }, xml, deviceFlags.live);
	} catch (error) {
		if (!isAppError(error, "hypervisor") && !isAppError(error, "wrong-state")) throw error;
		await client.domainUpdateDeviceFlags({ uuid }, xml, deviceFlags.live | deviceFlags.force);
	}
}

/** What comes into a drive. One that is only emptied need not be in the plan: the seed's, when there is none any more. */
const mediumOf = (machine: Machine, { alias, path }: { alias: string; path: string | null }): DiskSource | null =>
	path === null
		? null
		: present(
				machine.cdroms.find((drive) => drive.alias === alias),
				"the drive",
			).source;

export function mediaXml(domain: ReadDomain, alias: string, source: DiskSource | null): string {
	const drive = present(
		domain.facts.cdroms.find((cdrom) => cdrom.alias === alias),
		"the drive",
	);
	const device: CdromDevice = {
		alias,
		bus: drive.bus === "scsi" ? "scsi" : "sata",
		source,
		target: drive.placement?.target ?? "",
		address: drive.placement?.address ?? null,
		bootOrder: bootOrderIn(domain, alias),
	};
	return writeXml(cdromElement(device));
}

/** libvirt wants the order repeated when a device is changed. */
function bootOrderIn(domain: ReadDomain, alias: string): number | null {
	const device = domain.root
		.child("devices")
		?.children.find((candidate) => candidate.attributeOf("name", "alias") === alias);
	const order = device?.attributeOf("order", "boot");
	return order ? Number(order) : null;
}

async function setMetadata({ client, domain, uuid }: Work, generation: number): Promise<void> {
	const xml = bareMetadataXml(domain.name, generation);
	await client.domainSetMetadata({ uuid }, { xml, key: metadataPrefix, uri: metadataUri }, affect.live);
}
