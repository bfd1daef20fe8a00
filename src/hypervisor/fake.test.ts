import { describe, expect, test } from "bun:test";
import { type Clock, systemClock } from "../lib/clock.ts";
import { AppError } from "../lib/errors.ts";
import { fileSource } from "../model/disk-source.ts";
import { hypervisorConformance } from "./conformance.ts";
import type { DomainDisk, DomainEvent } from "./driver.ts";
import { FakeHypervisor } from "./fake.ts";
import { smallDomain, withDisk } from "./test-domain.ts";

hypervisorConformance("fake", {
	limitMs: 2000,
	cannot: {},
	open: async () => {
		const driver = new FakeHypervisor({ clock: systemClock });
		return {
			driver,
			folder: (number) => `/fake/${number}`,
			makeDisk: async (name) => `/fake/disks/${name}`,
			makeFullDisk: async (name) => `/fake/disks/${name}`,
			makeOverlay: async (name) => `/fake/disks/${name}`,
			bridge: "br0",
			withGuest: async (domain) => domain,
			guestReady: async () => {},
			close: () => driver.close(),
		};
	},
});

/** A clock that goes only when told. */
function manualClock(): Clock & { advance(ms: number): void } {
	let now = 0;
	let timers: { at: number; callback: () => void }[] = [];
	return {
		nowMs: () => now,
		monotonicMs: () => now,
		schedule(delayMs, callback) {
			const timer = { at: now + delayMs, callback };
			timers.push(timer);
			return {
				cancel() {
					timers = timers.filter((other) => other !== timer);
				},
			};
		},
		advance(ms) {
			now += ms;
			const due = timers.filter((timer) => timer.at <= now);
			timers = timers.filter((timer) => timer.at > now);
			for (const timer of due) timer.callback();
		},
	};
}

describe("the fake's own means", () => {
	const open = async () => {
		const clock = manualClock();
		const fake = new FakeHypervisor({ clock });
		const domain = smallDomain(1, "/fake/1");
		await fake.define(domain);
		await fake.start(domain.id, { paused: false });
		const events: DomainEvent[] = [];
		fake.onEvent((event) => events.push(event));
		return { clock, fake, domain, events };
	};

	test("a guest takes its time to shut down, or never does", async () => {
		const { clock, fake, domain } = await open();
		fake.setGuest(domain.id, { shutdownDelayMs: 5000 });
		await fake.requestShutdown(domain.id);
		clock.advance(4999);
		expect((await fake.getDomain(domain.id))?.powerState).toBe("running");
		clock.advance(1);
		expect((await fake.getDomain(domain.id))?.powerState).toBe("stopped");
		await fake.start(domain.id, { paused: false });
		fake.setGuest(domain.id, { shutdown: "ignore" });
		await fake.requestShutdown(domain.id);
		clock.advance(3_600_000);
		expect((await fake.getDomain(domain.id))?.powerState).toBe("running");
	});

	test("a late obedience does not hit the next run", async () => {
		const { clock, fake, domain } = await open();
		fake.setGuest(domain.id, { shutdownDelayMs: 5000 });
		await fake.requestShutdown(domain.id);
		await fake.destroy(domain.id);
		clock.advance(1000);
		await fake.start(domain.id, { paused: false });
		clock.advance(60_000);
		expect((await fake.getDomain(domain.id))?.powerState).toBe("running");
	});

	test("a failure before leaves things as they were; one after does not", async () => {
		const { fake, domain } = await open();
		const error = new AppError("hypervisor", "injected");
		fake.faults.fail("destroy", error, { id: domain.id });
		await expect(fake.destroy(domain.id)).rejects.toBe(error);
		expect((await fake.getDomain(domain.id))?.powerState).toBe("running");
		fake.faults.fail("destroy", error, { when: "after" });
		await expect(fake.destroy(domain.id)).rejects.toBe(error);
		expect((await fake.getDomain(domain.id))?.powerState).toBe("stopped");
		await fake.destroy(domain.id);
	});

	test("a call is slow, or waits until it is let go", async () => {
		const { clock, fake, domain } = await open();
		fake.faults.slow("pause", 1000);
		let done = false;
		const slow = fake.pause(domain.id).then(() => {
			done = true;
		});
		await Promise.resolve();
		expect(done).toBe(false);
		clock.advance(1000);
		await slow;
		const held = fake.faults.hold("resume");
		const resuming = fake.resume(domain.id);
		await held.reached;
		expect((await fake.getDomain(domain.id))?.powerState).toBe("paused");
		held.release();
		await resuming;
		expect((await fake.getDomain(domain.id))?.powerState).toBe("running");
	});

	test("without libvirt every call is unavailable, and domains stay", async () => {
		const { fake, domain, events } = await open();
		fake.setConnection("disconnected", "gone");
		await expect(fake.listDomains()).rejects.toMatchObject({ code: "unavailable" });
		expect(fake.info()).toMatchObject({ state: "disconnected", reason: "gone" });
		fake.setConnection("connected");
		expect(await fake.listDomains()).toHaveLength(1);
		await fake.close();
		await expect(fake.getDomain(domain.id)).rejects.toMatchObject({ code: "unavailable" });
		fake.reopen();
		expect((await fake.getDomain(domain.id))?.powerState).toBe("running");
		expect(events.map((event) => event.kind)).toEqual(["connection", "connection"]);
	});

	test("crashes, I/O errors and a guest that holds on to its disk", async () => {
		const { fake, domain, events } = await open();
		const withOne = withDisk(domain, "disk-0", "/fake/a");
		await fake.applyLive(withOne);
		fake.setGuest(domain.id, { unplug: "ignore" });
		const [change] = await fake.applyLive(domain);
		expect(change).toMatchObject({ field: "disks[disk-0]", applied: false });
		fake.ioError(domain.id, "disk-0");
		expect(await fake.getDomain(domain.id)).toMatchObject({ powerState: "paused", reason: "io-error" });
		fake.crash(domain.id);
		expect(await fake.getDomain(domain.id)).toMatchObject({ powerState: "failed", reason: "crashed" });
		expect(events).toContainEqual({ kind: "io-error", id: domain.id, alias: "ua-disk-0", reason: "no-space" });
		await fake.start(domain.id, { paused: false });
		expect((await fake.getDomain(domain.id))?.powerState).toBe("running");
	});

	test("work on a disk can be held, ended and failed; it outlives the connection, and not the domain", async () => {
		const { fake, domain } = await open();
		await fake.applyLive(withDisk(domain, "disk-0", "/fake/a"));
		fake.blockJobsHeld = true;
		const target = (path: string): DomainDisk => ({
			...{ id: "disk-0", source: fileSource(path), format: "qcow2", backing: [] },
		});
		const copy = (path: string) => {
			const outcome = fake.copyDisk(domain.id, "disk-0", target(path)).then(
				() => "done",
				(error) => error.code,
			);
			return Promise.resolve().then(() => outcome);
		};
		const layers = async () => (await fake.diskLayers(domain.id)).map((disk) => disk.layers.join());

		const broken = copy("/fake/b");
		expect(await fake.blockJobs(domain.id)).toMatchObject([{ diskId: "disk-0", kind: "copy", target: "/fake/b" }]);
		fake.setConnection("disconnected");
		expect(await broken).toBe("unavailable");
		fake.setConnection("connected");
		const adopted = copy("/fake/b");
		await fake.blockJobs(domain.id);
		fake.endBlockJob(domain.id, "disk-0", "done");
		expect(await adopted).toBe("done");
		expect(await layers()).toEqual(["/fake/b"]);

		const failed = copy("/fake/c");
		await fake.blockJobs(domain.id);
		fake.endBlockJob(domain.id, "disk-0", "taken back");
		expect(await failed).toBe("hypervisor");
		const stopped = copy("/fake/c");
		await fake.blockJobs(domain.id);
		await fake.destroy(domain.id);
		expect(await stopped).toBe("wrong-state");
		await fake.start(domain.id, { paused: false });
		expect(await fake.blockJobs(domain.id)).toEqual([]);
		expect(await layers()).toEqual(["/fake/b"]);
	});

	test("foreign domains are not ours until they are defined", async () => {
		const { fake } = await open();
		const other = smallDomain(9, "/fake/9");
		fake.addForeign({ id: other.id, powerState: "running", obstacles: ["o"] });
		expect(await fake.getDomain(other.id)).toMatchObject({ ours: false, definedGeneration: null });
		expect((await fake.inspectForeign(other.id)).obstacles).toEqual(["o"]);
		await fake.define(other);
		expect(await fake.getDomain(other.id)).toMatchObject({ ours: true, definedGeneration: 1, powerState: "running" });
	});
});
