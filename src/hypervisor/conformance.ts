/**
 * What every HypervisorDriver does, as tests: run on the fake and on the libvirt driver. A part that a hypervisor
 * cannot show is skipped with the reason that its harness gives. Imported by tests only.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { isAppError } from "../lib/errors.ts";
import { MiB } from "../lib/units.ts";
import type { DomainEvent, DomainSpec, HypervisorDriver } from "./driver.ts";
import { isPng } from "./png.ts";
import { smallDomain, withCdrom, withDisk, withNic } from "./test-domain.ts";

/** Parts that not every hypervisor under test can show. */
export type ConformancePart =
	| "disks"
	| "figures"
	| "guest-shutdown"
	| "hot-unplug"
	| "memory"
	| "nics"
	| "paused-start"
	| "screen"
	| "serial"
	| "vcpus"
	| "vnc-socket";

export type ConformanceHarness = {
	driver: HypervisorDriver;
	/** A folder for the VM with that number. */
	folder(number: number): string;
	/** Path of a new disk of that size. */
	makeDisk(name: string, format: "qcow2" | "raw", sizeBytes: number): Promise<string>;
	bridge: string;
	/** Makes the domain one whose guest obeys a shut-down, and waits after the start until it can. */
	withGuest(domain: DomainSpec): Promise<DomainSpec>;
	guestReady(id: string): Promise<void>;
	close(): Promise<void>;
};

type Options = {
	open(): Promise<ConformanceHarness>;
	/** Why a part cannot be shown here. */
	cannot: Partial<Record<ConformancePart, string>>;
	/** How long a step may take. */
	limitMs: number;
};

export function hypervisorConformance(name: string, options: Options): void {
	const { limitMs, cannot } = options;
	const part = (needed: ConformancePart | null, title: string, body: () => Promise<void>) => {
		const reason = needed === null ? undefined : cannot[needed];
		if (reason === undefined) test(title, body, limitMs * 4);
		else test.skip(`${title} (${reason})`, body);
	};

	describe(`hypervisor conformance: ${name}`, () => {
		let harness: ConformanceHarness;
		let driver: HypervisorDriver;
		let events: EventRecorder;
		let last = 0;
		const fresh = (): DomainSpec => {
			last += 1;
			return smallDomain(last, harness.folder(last));
		};
		const running = async (domain: DomainSpec): Promise<DomainSpec> => {
			await driver.define(domain);
			await driver.start(domain.id, { paused: false });
			return domain;
		};
		const gone = async (domain: DomainSpec) => {
			await driver.destroy(domain.id);
			await driver.undefine(domain.id);
		};

		beforeAll(async () => {
			harness = await options.open();
			driver = harness.driver;
			events = recordEvents(driver, limitMs);
		}, limitMs * 4);
		afterAll(async () => {
			await harness?.close();
		}, limitMs * 4);

		test("says that it is connected", () => {
			expect(driver.info().state).toBe("connected");
			expect(driver.info().reason).toBeNull();
			expect(driver.info().cpuCount).toBeGreaterThan(0);
			expect(driver.info().memoryBytes).toBeGreaterThan(MiB);
		});

		part(null, "defines, finds and removes a domain, each as often as one likes", async () => {
			const domain = fresh();
			expect(await driver.getDomain(domain.id)).toBeNull();
			await driver.define(domain);
			await driver.define(domain);
			const state = await driver.getDomain(domain.id);
			expect(state).toMatchObject({ id: domain.id, name: domain.name, powerState: "stopped", ours: true });
			expect(state).toMatchObject({ persistent: true, definedGeneration: 1, runningGeneration: null });
			await driver.define({ ...domain, generation: 7, name: "another-name" });
			expect(await driver.getDomain(domain.id)).toMatchObject({ name: "another-name", definedGeneration: 7 });
			expect((await driver.listDomains()).filter((found) => found.id === domain.id)).toHaveLength(1);
			await driver.undefine(domain.id);
			await driver.undefine(domain.id);
			expect(await driver.getDomain(domain.id)).toBeNull();
		});

		part(null, "fails with not-found for a domain that is not there", async () => {
			const { id } = fresh();
			const calls: Promise<unknown>[] = [
				...[driver.start(id, { paused: false }), driver.requestShutdown(id), driver.destroy(id), driver.reset(id)],
				...[driver.pause(id), driver.resume(id), driver.domainXml(id), driver.screenshot(id), driver.vncSocket(id)],
				...[driver.openSerial(id), driver.inspectForeign(id), driver.changeMedia(id, "cd", null)],
			];
			for (const result of await Promise.allSettled(calls)) expect(codeOf(result)).toBe("not-found");
		});

		part(null, "fails with wrong-state for what a stopped domain cannot do", async () => {
			const domain = fresh();
			await driver.define(domain);
			const { id } = domain;
			const calls: Promise<unknown>[] = [
				...[driver.requestShutdown(id), driver.reset(id), driver.pause(id), driver.resume(id)],
				...[driver.screenshot(id), driver.vncSocket(id), driver.openSerial(id), driver.applyLive(domain)],
			];
			for (const result of await Promise.allSettled(calls)) expect(codeOf(result)).toBe("wrong-state");
			await driver.destroy(id);
			await driver.undefine(id);
		});

		part(null, "starts, pauses, resumes, resets and stops, with events", async () => {
			const domain = await running(fresh());
			const { id } = domain;
			await events.lifecycle(id, "running");
			expect(await driver.getDomain(id)).toMatchObject({ powerState: "running", runningGeneration: 1 });
			await driver.start(id, { paused: false });
			await driver.pause(id);
			await driver.pause(id);
			await events.lifecycle(id, "paused");
			expect(await driver.getDomain(id)).toMatchObject({ powerState: "paused", reason: "user" });
			await driver.start(id, { paused: false });
			expect((await driver.getDomain(id))?.powerState).toBe("paused");
			await driver.resume(id);
			await driver.resume(id);
			expect((await driver.getDomain(id))?.powerState).toBe("running");
			await driver.reset(id);
			await expect(driver.undefine(id)).rejects.toMatchObject({ code: "wrong-state" });
			await driver.destroy(id);
			await driver.destroy(id);
			await events.lifecycle(id, "stopped");
			expect(await driver.getDomain(id)).toMatchObject({ powerState: "stopped", reason: "destroyed" });
			await driver.undefine(id);
		});

		part("paused-start", "starts paused", async () => {
			const domain = fresh();
			await driver.define(domain);
			await driver.start(domain.id, { paused: true });
			expect((await driver.getDomain(domain.id))?.powerState).toBe("paused");
			await driver.resume(domain.id);
			expect((await driver.getDomain(domain.id))?.powerState).toBe("running");
			await gone(domain);
		});

		part("guest-shutdown", "shuts a guest down", async () => {
			const domain = await running(await harness.withGuest(fresh()));
			await harness.guestReady(domain.id);
			await driver.requestShutdown(domain.id);
			await events.lifecycle(domain.id, "stopped");
			expect(await driver.getDomain(domain.id)).toMatchObject({ powerState: "stopped", reason: "shutdown" });
			await driver.undefine(domain.id);
		});

		part(null, "does not ask a paused guest to shut down", async () => {
			const domain = await running(fresh());
			await driver.pause(domain.id);
			await expect(driver.requestShutdown(domain.id)).rejects.toMatchObject({ code: "wrong-state" });
			await gone(domain);
		});

		part(null, "keeps a redefinition for the next start", async () => {
			const domain = await running(fresh());
			await driver.define({ ...domain, generation: 2 });
			expect(await driver.getDomain(domain.id)).toMatchObject({ definedGeneration: 2, runningGeneration: 1 });
			await driver.destroy(domain.id);
			await driver.start(domain.id, { paused: false });
			expect(await driver.getDomain(domain.id)).toMatchObject({ definedGeneration: 2, runningGeneration: 2 });
			await gone(domain);
		});

		part(null, "finds no difference in what it defined and started", async () => {
			const domain = withCdrom(fresh(), "cd-0", null);
			await driver.define(domain);
			expect(await driver.compare(domain)).toEqual([]);
			await driver.start(domain.id, { paused: false });
			expect(await driver.compare(domain)).toEqual([]);
			expect(await driver.applyLive(domain)).toEqual([]);
			await gone(domain);
		});

		part(null, "reports differences, and what repairs them", async () => {
			const domain = await running(fresh());
			const wanted = changed(domain, (spec) => {
				spec.firmware = "uefi";
				spec.cpu.vcpus = 2;
			});
			expect(await driver.compare(wanted)).toEqual([
				{ field: "firmware", wanted: "uefi", found: "bios", repair: "next-start" },
				{ field: "cpu.vcpus", wanted: "2", found: "1", repair: "automatic" },
			]);
			await driver.destroy(domain.id);
			expect((await driver.compare(wanted)).map((difference) => difference.repair)).toEqual(["automatic", "automatic"]);
			await driver.undefine(domain.id);
		});

		part("vcpus", "renames and adds a vCPU live; what needs a start waits for it", async () => {
			const domain = await running(fresh());
			const wanted = { ...changed(domain, (spec) => Object.assign(spec.cpu, { vcpus: 2 })), name: "renamed" };
			expect(await driver.applyLive({ ...wanted, generation: 2 })).toEqual([
				{ field: "name", applied: true, reason: null },
				{ field: "cpu.vcpus", applied: true, reason: null },
			]);
			expect(await driver.getDomain(domain.id)).toMatchObject({ name: "renamed", runningGeneration: 2 });
			const later = changed(wanted, (spec) => Object.assign(spec.cpu, { vcpus: 3, maxVcpus: 4 }));
			const changes = await driver.applyLive({ ...later, generation: 3 });
			expect(changes.map(({ field, applied }) => ({ field, applied }))).toEqual([
				{ field: "cpu.maxVcpus", applied: false },
				{ field: "cpu.vcpus", applied: false },
			]);
			for (const change of changes) expect(change.reason).toBeTruthy();
			expect(await driver.getDomain(domain.id)).toMatchObject({ runningGeneration: 2, definedGeneration: 3 });
			await driver.destroy(domain.id);
			await driver.start(domain.id, { paused: true });
			expect(await driver.compare({ ...later, generation: 3 })).toEqual([]);
			await gone(domain);
		});

		part("memory", "adds memory live", async () => {
			const domain = await running(fresh());
			const wanted = changed(domain, (spec) => Object.assign(spec.memory, { sizeBytes: 256 * MiB }));
			expect(await driver.applyLive(wanted)).toEqual([{ field: "memory.sizeBytes", applied: true, reason: null }]);
			expect(await driver.compare(wanted)).toEqual([]);
			await gone(domain);
		});

		part("disks", "attaches a disk live, grows it, and changes a disc", async () => {
			const iso = await harness.makeDisk("disc.iso", "raw", MiB);
			const domain = await running(withCdrom(fresh(), "cd-0", null));
			const path = await harness.makeDisk("live.qcow2", "qcow2", 16 * MiB);
			const wanted = withDisk(
				withDisk(domain, "disk-1", path),
				"disk-2",
				await harness.makeDisk("scsi.raw", "raw", 16 * MiB),
				{ bus: "scsi" },
				{ format: "raw" },
			);
			expect(await driver.applyLive(wanted)).toEqual([
				{ field: "disks[disk-1]", applied: true, reason: null },
				{ field: "disks[disk-2]", applied: true, reason: null },
			]);
			expect(await driver.compare(wanted)).toEqual([]);
			await driver.resizeDisk(domain.id, "disk-1", 32 * MiB);
			await expect(driver.resizeDisk(domain.id, "disk-9", 32 * MiB)).rejects.toMatchObject({ code: "not-found" });

			await driver.changeMedia(domain.id, "cd-0", iso);
			const [cdrom] = await driver.compare(wanted);
			expect(cdrom).toEqual({ field: "cdroms[cd-0].path", wanted: "none", found: iso, repair: "automatic" });
			await expect(driver.changeMedia(domain.id, "cd-9", iso)).rejects.toMatchObject({ code: "not-found" });
			await driver.changeMedia(domain.id, "cd-0", null);
			expect(await driver.compare(wanted)).toEqual([]);
			await driver.destroy(domain.id);
			await driver.start(domain.id, { paused: true });
			expect(await driver.compare(wanted)).toEqual([]);
			await gone(domain);
		});

		part("disks", "changes the disc of a stopped domain", async () => {
			const iso = await harness.makeDisk("stopped.iso", "raw", MiB);
			const domain = withCdrom(fresh(), "cd-0", null);
			await driver.define(domain);
			await driver.changeMedia(domain.id, "cd-0", iso);
			expect(
				await driver.compare(withCdrom({ ...domain, cdroms: [], spec: { ...domain.spec, cdroms: [] } }, "cd-0", iso)),
			).toEqual([]);
			await driver.undefine(domain.id);
		});

		part("nics", "attaches a NIC live, and takes its cable out", async () => {
			const domain = await running(fresh());
			const wanted = withNic(domain, "nic-0", harness.bridge);
			expect(await driver.applyLive(wanted)).toEqual([{ field: "nics[nic-0]", applied: true, reason: null }]);
			const down = changed(wanted, (spec) => {
				for (const nic of spec.nics) nic.linkUp = false;
			});
			expect(await driver.applyLive(down)).toEqual([{ field: "nics[nic-0].linkUp", applied: true, reason: null }]);
			expect(await driver.compare(down)).toEqual([]);
			await gone(domain);
		});

		part("hot-unplug", "detaches a disk that the guest lets go", async () => {
			const bare = await harness.withGuest(fresh());
			const path = await harness.makeDisk("gone.qcow2", "qcow2", 16 * MiB);
			await running(withDisk(bare, "disk-x", path));
			await harness.guestReady(bare.id);
			expect(await driver.applyLive(bare)).toEqual([{ field: "disks[disk-x]", applied: true, reason: null }]);
			expect(await driver.compare(bare)).toEqual([]);
			await gone(bare);
		});

		part("screen", "takes a picture of the screen", async () => {
			const domain = await running(fresh());
			expect(isPng(await driver.screenshot(domain.id))).toBe(true);
			await gone(domain);
		});

		part("vnc-socket", "names the VNC socket in the domain's own folder", async () => {
			const domain = await running(fresh());
			expect((await driver.vncSocket(domain.id)).startsWith(`${domain.folder}/`)).toBe(true);
			await gone(domain);
		});

		part("serial", "opens the serial console, which ends with the domain", async () => {
			const domain = await running(fresh());
			const serial = await driver.openSerial(domain.id);
			await serial.write(new TextEncoder().encode("x\n"));
			const drained = (async () => {
				for await (const _ of serial.output);
				return "ended";
			})();
			await driver.destroy(domain.id);
			expect(await drained).toBe("ended");
			await serial.close();
			await driver.undefine(domain.id);
		});

		part("figures", "gives figures of what runs, and no other", async () => {
			const domain = await running(fresh());
			const stopped = fresh();
			await driver.define(stopped);
			const all = await driver.stats();
			const mine = all.find((figures) => figures.id === domain.id);
			expect(mine).toMatchObject({ powerState: "running", vcpus: 1 });
			expect(all.some((figures) => figures.id === stopped.id)).toBe(false);
			await gone(domain);
			await driver.undefine(stopped.id);
		});

		part(null, "knows no addresses of a guest that has none", async () => {
			const domain = await running(fresh());
			expect(await driver.addresses(domain.id)).toEqual([]);
			await gone(domain);
		});

		part(null, "shows the domain's XML", async () => {
			const domain = fresh();
			await driver.define(domain);
			expect(await driver.domainXml(domain.id)).toContain(`<uuid>${domain.id}</uuid>`);
			await driver.undefine(domain.id);
		});
	});
}

type EventRecorder = { lifecycle(id: string, powerState: string): Promise<void> };

function recordEvents(driver: HypervisorDriver, limitMs: number): EventRecorder {
	const seen: DomainEvent[] = [];
	const waiting = new Set<() => void>();
	driver.onEvent((event) => {
		seen.push(event);
		for (const wake of [...waiting]) wake();
	});
	return {
		lifecycle: (id, powerState) =>
			new Promise((resolve, reject) => {
				const check = () => {
					const found = seen.some(
						(event) => event.kind === "lifecycle" && event.id === id && event.powerState === powerState,
					);
					if (!found) return;
					waiting.delete(check);
					clearTimeout(timer);
					resolve();
				};
				const timer = setTimeout(() => {
					waiting.delete(check);
					reject(new Error(`no event said that ${id} is ${powerState}; seen: ${JSON.stringify(seen)}`));
				}, limitMs);
				waiting.add(check);
				check();
			}),
	};
}

function changed(domain: DomainSpec, change: (spec: DomainSpec["spec"]) => void): DomainSpec {
	const spec = structuredClone(domain.spec);
	change(spec);
	return { ...domain, spec };
}

function codeOf(result: PromiseSettledResult<unknown>): string {
	if (result.status === "fulfilled") return "fulfilled";
	return isAppError(result.reason) ? result.reason.code : String(result.reason);
}
