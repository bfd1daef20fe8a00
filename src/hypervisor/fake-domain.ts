/** A simulated domain: its definition, and what runs of it. Pure state; fake.ts gives it methods and events. */
import { AppError } from "../lib/errors.ts";
import type { PowerState } from "../model/vm.ts";
import { compareAutostart, compareFacts, type Finding } from "./compare.ts";
import type { DomainDifference, DomainSpec, DomainState, DomainStats, ForeignDomain, LiveChange } from "./driver.ts";
import { type DomainFacts, wantedFacts } from "./facts.ts";
import type { FakeBlockJob } from "./fake-disk-work.ts";

/** How the simulated guest behaves. */
export type FakeGuest = {
	/** What it does when asked to shut down: it obeys after `shutdownDelayMs`, or does nothing. */
	shutdown: "obey" | "ignore";
	/** 0: at once, without the clock. */
	shutdownDelayMs: number;
	/** Whether it lets go of devices and vCPUs. */
	unplug: "obey" | "ignore";
};

/** `secretIds`: keys without which its disks cannot be opened. */
export type Version = { facts: DomainFacts; generation: number; folder: string; secretIds: string[] };

export const versionOf = (wanted: DomainSpec): Version =>
	structuredClone({
		facts: wantedFacts(wanted),
		generation: wanted.generation,
		folder: wanted.folder,
		secretIds: [...wanted.disks, ...wanted.disks.flatMap(({ backing }) => backing), ...wanted.cdroms].flatMap(
			({ source }) => (source?.kind === "rbd" ? [source.secretId] : []),
		),
	});

export type FakeDomain = {
	id: string;
	/** Null for a domain that is not ours. */
	defined: Version | null;
	running: Version | null;
	powerState: PowerState;
	reason: string;
	guest: FakeGuest;
	startedAtMs: number;
	foreign: ForeignDomain | null;
	/** libvirt starts it with the host. */
	autostart: boolean;
	/** Sizes that disks were grown to, by device id. */
	diskSizes: Map<string, number>;
	/** What goes on on its disks, by device id. */
	blockJobs: Map<string, FakeBlockJob>;
	/** Formats of the layers that were ever named, by sourceName. */
	formats: Map<string, string>;
	/** Bytes that go to whoever has the serial console open. */
	serialReaders: Set<ReadableStreamDefaultController<Uint8Array>>;
};

export const isActive = (domain: FakeDomain): boolean =>
	domain.powerState !== "stopped" && domain.powerState !== "failed";

export function stateOf(domain: FakeDomain): DomainState {
	const version = domain.running ?? domain.defined;
	return {
		id: domain.id,
		name: version?.facts.name ?? domain.foreign?.name ?? domain.id,
		powerState: domain.powerState,
		reason: domain.reason,
		persistent: true,
		autostart: domain.autostart,
		ours: version !== null,
		definedGeneration: domain.defined?.generation ?? null,
		runningGeneration: domain.running?.generation ?? null,
	};
}

const obedient: FakeGuest = { shutdown: "obey", shutdownDelayMs: 0, unplug: "obey" };

export const newDomain = (id: string): FakeDomain => ({
	id,
	defined: null,
	running: null,
	powerState: "stopped",
	reason: "never started",
	guest: { ...obedient },
	startedAtMs: 0,
	foreign: null,
	autostart: false,
	diskSizes: new Map(),
	blockJobs: new Map(),
	formats: new Map(),
	serialReaders: new Set(),
});

export const foreignDomainOf = (foreign: ForeignDomain): FakeDomain => {
	const { id, powerState, autostart } = foreign;
	return { ...newDomain(id), powerState, autostart, foreign };
};

export function differencesOf(domain: FakeDomain, wanted: DomainSpec): DomainDifference[] {
	const version = domain.running ?? domain.defined;
	if (!version) throw new AppError("wrong-state", "The fake has no XML of foreign domains.");
	const differences = compareFacts(wantedFacts(wanted), version.facts).map(({ step: _, ...difference }) =>
		domain.running ? difference : { ...difference, repair: "automatic" as const },
	);
	return [...differences, ...compareAutostart(domain.autostart)];
}

export const statsOf = (domain: FakeDomain, nowMonotonicMs: number): DomainStats => ({
	id: domain.id,
	powerState: domain.powerState,
	cpuTimeNs: Math.round((nowMonotonicMs - domain.startedAtMs) * 100_000),
	vcpus: domain.running?.facts.vcpus ?? domain.foreign?.vcpus ?? 1,
	memoryActualBytes: domain.running?.facts.memoryBytes ?? domain.foreign?.memoryBytes ?? null,
	memoryUsedBytes: null,
	...{ diskReadBytes: 0, diskWriteBytes: 0, netReceivedBytes: 0, netSentBytes: 0 },
});

/** Just enough XML to see which files it has open, and which NICs are plugged in where. */
export function xmlOf(domain: FakeDomain): string {
	const version = domain.running ?? domain.defined;
	const facts = version?.facts;
	const log = version ? `<log file="${version.folder}/serial.log"/>` : "";
	const disks = facts?.disks.map((disk) => `<source file="${disk.path}"/>`) ?? [];
	const nics = [
		...(facts?.nics.map(({ mac, bridge }) => ({ mac, bridge })) ?? []),
		...(domain.foreign?.nics.map(({ mac, bridge }) => ({ mac, bridge })) ?? []),
	].map(({ mac, bridge }) => `<mac address="${mac}"/><source bridge="${bridge}"/>`);
	return `<domain type="fake"><uuid>${domain.id}</uuid>${disks.join("")}${nics.join("")}${log}</domain>\n`;
}

/** What `applyLive` can and cannot do to the running facts; changes them. */
export function applyToRunning(running: DomainFacts, wanted: DomainFacts, guest: FakeGuest): LiveChange[] {
	const changes: LiveChange[] = [];
	for (const finding of compareFacts(wanted, running)) {
		if (finding.repair === "manual") continue;
		const reason = refusal(finding, running, guest);
		if (reason === null) perform(finding, running, wanted);
		changes.push({ field: finding.field, applied: reason === null, reason });
	}
	return changes;
}

function refusal(finding: Finding, running: DomainFacts, guest: FakeGuest): string | null {
	const { step } = finding;
	if (step.kind === "none") return step.reason;
	const removes = step.kind === "detach" || (step.kind === "set-vcpus" && step.count < running.vcpus);
	if (removes && guest.unplug === "ignore") return "The guest did not let go of the device in time.";
	return null;
}

function perform({ step }: Finding, running: DomainFacts, wanted: DomainFacts): void {
	switch (step.kind) {
		case "rename":
			running.name = wanted.name;
			break;
		case "set-vcpus":
			running.vcpus = step.count;
			break;
		case "set-memory":
			running.memoryBytes = step.bytes;
			break;
		case "attach-disk":
			running.disks.push(...structuredClone(wanted.disks.filter((disk) => disk.id === step.id)));
			break;
		case "attach-nic":
			running.nics.push(...structuredClone(wanted.nics.filter((nic) => nic.id === step.id)));
			break;
		case "detach":
			running.disks = running.disks.filter((disk) => disk.alias !== step.alias);
			running.nics = running.nics.filter((nic) => nic.alias !== step.alias);
			break;
		case "limit-disk":
			for (const disk of running.disks)
				if (disk.alias === step.alias) disk.limits = wanted.disks.find(({ id }) => id === step.id)?.limits ?? null;
			break;
		case "change-media":
			for (const drive of running.cdroms) if (drive.alias === step.alias) drive.path = step.path;
			break;
		case "update-nic": {
			const nic = wanted.nics.find((candidate) => candidate.id === step.id);
			for (const have of running.nics)
				if (nic && have.alias === step.alias) Object.assign(have, { bridge: nic.bridge, linkUp: nic.linkUp });
			break;
		}
	}
}
