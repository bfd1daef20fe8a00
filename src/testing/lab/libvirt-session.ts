/**
 * A libvirt lab for a test file: one libvirtd for all of its tests, a fresh VM number, domain and list of events for
 * each of them, and two bridges `br-a` and `br-b`. Call it at the top of the file; the rest is there while tests run.
 */
import { afterAll, afterEach, beforeAll, beforeEach } from "bun:test";
import type { DomainEvent, DomainSpec } from "../../hypervisor/driver.ts";
import { type ReadDomain, readDomain } from "../../hypervisor/libvirt/domain/domain-reader.ts";
import { smallDomain } from "../../hypervisor/test-domain.ts";
import { present } from "../../lib/assert.ts";
import type { RunResult } from "../../lib/run.ts";
import { type LibvirtLab, startLab } from "./libvirt-lab.ts";
import { waitUntil } from "./wait-until.ts";

export const testLimitMs = 120_000;
export const stepLimitMs = 30_000;

export type LabSession = {
	readonly lab: LibvirtLab;
	/** Of the present test, to tell its files apart. */
	readonly number: number;
	/** A small domain that is not defined yet; it is destroyed and removed after the test. */
	readonly domain: DomainSpec;
	/** Of the present test, oldest first. */
	readonly events: DomainEvent[];
	start(domain: DomainSpec): Promise<DomainSpec>;
	until(what: string, match: (event: DomainEvent) => boolean): Promise<DomainEvent>;
	/** What runs (or with `xmlFlags.inactive`: what is defined). */
	read(id: string, flags?: number): Promise<ReadDomain>;
	virsh(...args: string[]): Promise<RunResult>;
};

export function useLibvirtLab(name: string): LabSession {
	let lab: LibvirtLab | undefined;
	let number = 0;
	let domain: DomainSpec | undefined;
	let events: DomainEvent[] = [];
	let stopListening = () => {};

	beforeAll(async () => {
		lab = await startLab({ name, guestLimitMs: 4000 });
		for (const bridge of ["br-a", "br-b"]) {
			await lab.libvirtd.runInNamespace("ip", ["link", "add", bridge, "type", "bridge"]);
			await lab.libvirtd.runInNamespace("ip", ["link", "set", bridge, "up"]);
		}
	}, testLimitMs);
	afterAll(async () => {
		await lab?.close();
	}, testLimitMs);
	beforeEach(() => {
		number += 1;
		domain = smallDomain(number, session.lab.vmFolder(number));
		events = [];
		stopListening = session.lab.driver.onEvent((event) => events.push(event));
	});
	afterEach(async () => {
		stopListening();
		const { id } = session.domain;
		if ((await session.lab.driver.getDomain(id)) === null) return;
		await session.lab.driver.destroy(id);
		await session.lab.driver.undefine(id);
	}, testLimitMs);

	const session: LabSession = {
		get lab() {
			return present(lab, "the lab");
		},
		get domain() {
			return present(domain, "the domain");
		},
		get number() {
			return number;
		},
		get events() {
			return events;
		},
		async start(wanted) {
			await session.lab.driver.define(wanted);
			await session.lab.driver.start(wanted.id, { paused: false });
			return wanted;
		},
		until: (what, match) => waitUntil(what, stepLimitMs, () => events.find(match)),
		read: async (id, flags = 0) => readDomain(await session.lab.client.domainGetXMLDesc({ uuid: id }, flags)),
		virsh: (...args) => session.lab.libvirtd.runInNamespace("virsh", ["-c", session.lab.libvirtd.uri, ...args]),
	};
	return session;
}

/** The domain with a changed copy of its spec. */
export function changedSpec(domain: DomainSpec, change: (spec: DomainSpec["spec"]) => void): DomainSpec {
	const spec = structuredClone(domain.spec);
	change(spec);
	return { ...domain, spec };
}
