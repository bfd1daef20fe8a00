/**
 * The half of the conformance suite that is about changes: comparing, live changes, devices that come and go. Called by
 * conformance.ts only.
 */
import { expect } from "bun:test";
import { MiB } from "../lib/units.ts";
import { fileSource } from "../model/disk-source.ts";
import type { DomainSpec, HypervisorDriver } from "./driver.ts";
import { withCdrom, withDisk, withNic } from "./test-domain.ts";

/** Parts that not every hypervisor under test can show. */
export type ConformancePart =
	| "disk-work"
	| "disks"
	| "figures"
	| "guest-shutdown"
	| "hot-unplug"
	| "memory"
	| "nics"
	| "paused-start"
	| "screen"
	| "secrets"
	| "serial"
	| "state-move"
	| "vcpus"
	| "vnc-socket";

export type ConformanceHarness = {
	driver: HypervisorDriver;
	/** A folder for the VM with that number. */
	folder(number: number): string;
	/** Path of a new disk of that size. */
	makeDisk(name: string, format: "qcow2" | "raw", sizeBytes: number): Promise<string>;
	/** Path of a new raw disk with something in all of it. */
	makeFullDisk(name: string, sizeBytes: number): Promise<string>;
	/** Path of a new qcow2 disk that rests on another. */
	makeOverlay(name: string, below: { source: { path: string }; format: "qcow2" | "raw" }): Promise<string>;
	bridge: string;
	/** Makes the domain one whose guest obeys a shut-down, and waits after the start until it can. */
	withGuest(domain: DomainSpec): Promise<DomainSpec>;
	guestReady(id: string): Promise<void>;
	close(): Promise<void>;
};

/** What conformance.ts lends to the tests here. */
export type ConformanceTools = {
	part(needed: ConformancePart | null, title: string, body: () => Promise<void>): void;
	/** A small domain that is not defined yet. */
	fresh(): DomainSpec;
	running(domain: DomainSpec): Promise<DomainSpec>;
	/** Stops and removes it. */
	gone(domain: DomainSpec): Promise<void>;
	driver(): HypervisorDriver;
	harness(): ConformanceHarness;
};

export function changesConformance({ part, fresh, running, gone, driver, harness }: ConformanceTools): void {
	part(null, "finds no difference in what it defined and started", async () => {
		const domain = withCdrom(fresh(), "cd-0", null);
		await driver().define(domain);
		expect(await driver().compare(domain)).toEqual([]);
		await driver().start(domain.id, { paused: false });
		expect(await driver().compare(domain)).toEqual([]);
		expect(await driver().applyLive(domain)).toEqual([]);
		await gone(domain);
	});

	part("state-move", "is made ready for a move of its state, and complete again, as often as one likes", async () => {
		const domain = fresh();
		await expect(driver().prepareStateMove(domain.id)).rejects.toMatchObject({ code: "not-found" });
		await driver().define(domain);
		await expect(driver().prepareStateMove(domain.id)).rejects.toMatchObject({ code: "wrong-state" });
		await expect(driver().finishStateMove(domain.id)).rejects.toMatchObject({ code: "wrong-state" });
		await driver().start(domain.id, { paused: false });
		for (const step of ["prepareStateMove", "prepareStateMove", "finishStateMove", "finishStateMove"] as const)
			await driver()[step](domain.id);
		expect(await driver().compare(domain)).toEqual([]);
		await gone(domain);
	});

	part(null, "reports differences, and what repairs them", async () => {
		const domain = await running(fresh());
		const wanted = changed(domain, (spec) => {
			spec.firmware = "uefi";
			spec.cpu.vcpus = 2;
		});
		expect(await driver().compare(wanted)).toEqual([
			{ field: "firmware", wanted: "uefi", found: "bios", repair: "next-start" },
			{ field: "cpu.vcpus", wanted: "2", found: "1", repair: "automatic" },
		]);
		await driver().destroy(domain.id);
		expect((await driver().compare(wanted)).map((difference) => difference.repair)).toEqual(["automatic", "automatic"]);
		await driver().undefine(domain.id);
	});

	part("vcpus", "renames and adds a vCPU live; what needs a start waits for it", async () => {
		const domain = await running(fresh());
		const wanted = { ...changed(domain, (spec) => Object.assign(spec.cpu, { vcpus: 2 })), name: "renamed" };
		expect(await driver().applyLive({ ...wanted, generation: 2 })).toEqual([
			{ field: "name", applied: true, reason: null },
			{ field: "cpu.vcpus", applied: true, reason: null },
		]);
		expect(await driver().getDomain(domain.id)).toMatchObject({ name: "renamed", runningGeneration: 2 });
		const later = changed(wanted, (spec) => Object.assign(spec.cpu, { vcpus: 3, maxVcpus: 4 }));
		const changes = await driver().applyLive({ ...later, generation: 3 });
		expect(changes.map(({ field, applied }) => ({ field, applied }))).toEqual([
			{ field: "cpu.maxVcpus", applied: false },
			{ field: "cpu.vcpus", applied: false },
		]);
		for (const change of changes) expect(change.reason).toBeTruthy();
		expect(await driver().getDomain(domain.id)).toMatchObject({ runningGeneration: 2, definedGeneration: 3 });
		await driver().destroy(domain.id);
		await driver().start(domain.id, { paused: true });
		expect(await driver().compare({ ...later, generation: 3 })).toEqual([]);
		await gone(domain);
	});

	part("memory", "adds memory live", async () => {
		const domain = await running(fresh());
		const wanted = changed(domain, (spec) => Object.assign(spec.memory, { sizeBytes: 256 * MiB }));
		expect(await driver().applyLive(wanted)).toEqual([{ field: "memory.sizeBytes", applied: true, reason: null }]);
		expect(await driver().compare(wanted)).toEqual([]);
		await gone(domain);
	});

	part("disks", "attaches a disk live, grows it, and changes a disc", async () => {
		const iso = await harness().makeDisk("disc.iso", "raw", MiB);
		const domain = await running(withCdrom(fresh(), "cd-0", null));
		const path = await harness().makeDisk("live.qcow2", "qcow2", 16 * MiB);
		const wanted = withDisk(
			withDisk(domain, "disk-1", path),
			"disk-2",
			await harness().makeDisk("scsi.raw", "raw", 16 * MiB),
			{ bus: "scsi" },
			{ format: "raw" },
		);
		expect(await driver().applyLive(wanted)).toEqual([
			{ field: "disks[disk-1]", applied: true, reason: null },
			{ field: "disks[disk-2]", applied: true, reason: null },
		]);
		expect(await driver().compare(wanted)).toEqual([]);
		await driver().resizeDisk(domain.id, "disk-1", 32 * MiB);
		await expect(driver().resizeDisk(domain.id, "disk-9", 32 * MiB)).rejects.toMatchObject({ code: "not-found" });

		await driver().changeMedia(domain.id, "cd-0", fileSource(iso));
		const [cdrom] = await driver().compare(wanted);
		expect(cdrom).toEqual({ field: "cdroms[cd-0].path", wanted: "none", found: iso, repair: "automatic" });
		await expect(driver().changeMedia(domain.id, "cd-9", fileSource(iso))).rejects.toMatchObject({ code: "not-found" });
		await driver().changeMedia(domain.id, "cd-0", null);
		expect(await driver().compare(wanted)).toEqual([]);
		await driver().destroy(domain.id);
		await driver().start(domain.id, { paused: true });
		expect(await driver().compare(wanted)).toEqual([]);
		await gone(domain);
	});

	part("disks", "changes the disc of a stopped domain", async () => {
		const iso = await harness().makeDisk("stopped.iso", "raw", MiB);
		const domain = withCdrom(fresh(), "cd-0", null);
		await driver().define(domain);
		await driver().changeMedia(domain.id, "cd-0", fileSource(iso));
		expect(
			await driver().compare(withCdrom({ ...domain, cdroms: [], spec: { ...domain.spec, cdroms: [] } }, "cd-0", iso)),
		).toEqual([]);
		await driver().undefine(domain.id);
	});

	part("nics", "attaches a NIC live, and takes its cable out", async () => {
		const domain = await running(fresh());
		const wanted = withNic(domain, "nic-0", harness().bridge);
		expect(await driver().applyLive(wanted)).toEqual([{ field: "nics[nic-0]", applied: true, reason: null }]);
		const down = changed(wanted, (spec) => {
			for (const nic of spec.nics) nic.linkUp = false;
		});
		expect(await driver().applyLive(down)).toEqual([{ field: "nics[nic-0].linkUp", applied: true, reason: null }]);
		expect(await driver().compare(down)).toEqual([]);
		await gone(domain);
	});

	part("hot-unplug", "detaches a disk that the guest lets go", async () => {
		const bare = await harness().withGuest(fresh());
		const path = await harness().makeDisk("gone.qcow2", "qcow2", 16 * MiB);
		await running(withDisk(bare, "disk-x", path));
		await harness().guestReady(bare.id);
		expect(await driver().applyLive(bare)).toEqual([{ field: "disks[disk-x]", applied: true, reason: null }]);
		expect(await driver().compare(bare)).toEqual([]);
		await gone(bare);
	});
}

function changed(domain: DomainSpec, change: (spec: DomainSpec["spec"]) => void): DomainSpec {
	const spec = structuredClone(domain.spec);
	change(spec);
	return { ...domain, spec };
}
