/** libvirt's mock hypervisor: no QEMU, its own domain "test" running. What it can show of the driver, it shows fast. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type LibvirtLab, startLab } from "../../testing/lab/libvirt-lab.ts";
import { hypervisorConformance } from "../conformance.ts";
import type { DomainEvent } from "../driver.ts";

const limitMs = 60_000;
const lacks = "libvirt's mock has no such thing";
const id = "6695eb01-f6a4-8304-79aa-97f2502e193f";
let lab: LibvirtLab;
const events: DomainEvent[] = [];

beforeAll(async () => {
	lab = await startLab({ name: "mock", uri: "test" });
	lab.driver.onEvent((event) => events.push(event));
}, limitMs);
afterAll(async () => {
	await lab?.close();
}, limitMs);

test("its domain is foreign, and cannot be adopted", async () => {
	expect(await lab.driver.listDomains()).toEqual([
		{
			...{ id, name: "test", powerState: "running", reason: "unknown", persistent: true, autostart: false },
			...{ ours: false, definedGeneration: null, runningGeneration: null },
		},
	]);
	const foreign = await lab.driver.inspectForeign(id);
	expect(foreign).toMatchObject({ id, name: "test", powerState: "running", vcpus: 2 });
	expect(foreign.obstacles).toContain("Its hypervisor type is test.");
	expect(lab.driver.info().cpuCount).toBeGreaterThan(0);
});

test("its domain pauses, resumes, stops and starts, and says so", async () => {
	await lab.driver.pause(id);
	expect((await lab.driver.getDomain(id))?.powerState).toBe("paused");
	await lab.driver.resume(id);
	await lab.driver.destroy(id);
	expect(await lab.driver.getDomain(id)).toMatchObject({ powerState: "stopped", reason: "destroyed" });
	expect(await lab.driver.stats()).toEqual([]);
	await lab.driver.start(id, { paused: false });
	expect(await lab.driver.stats()).toMatchObject([{ id, powerState: "running" }]);
	const states = events.flatMap((event) => (event.kind === "lifecycle" ? [event.powerState] : []));
	expect(states).toEqual(["paused", "running", "stopped", "running"]);
});

hypervisorConformance("libvirt's mock", {
	limitMs: 5000,
	cannot: {
		"disk-work": lacks,
		disks: lacks,
		figures: lacks,
		"hot-unplug": lacks,
		memory: lacks,
		nics: lacks,
		"paused-start": lacks,
		screen: lacks,
		secrets: lacks,
		serial: lacks,
		"state-move": lacks,
		vcpus: lacks,
		"vnc-socket": lacks,
	},
	open: async () => {
		const own = await startLab({ name: "mock-conform", uri: "test" });
		return {
			driver: own.driver,
			folder: own.vmFolder,
			makeDisk: own.makeDisk,
			makeFullDisk: own.makeFullDisk,
			makeOverlay: own.makeOverlay,
			bridge: "br0",
			withGuest: async (domain) => domain,
			guestReady: async () => {},
			close: own.close,
		};
	},
});
