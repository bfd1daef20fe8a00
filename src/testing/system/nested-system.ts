/**
 * A whole node inside the storage lab VM: libvirtd, and the built executable on top of it. What runs on it is emulated by something
 * emulated, so its guest is the probe.
 */
import { startLibvirtd } from "../lab/libvirtd.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { probeGuest } from "./boot-guests.ts";
import { type LabSystem, labSystem } from "./lab-system.ts";

/** For `files` of testInStorageVm: the disk of lab/probe-guest. */
export const probeFile = "probe.raw";
export const nestedGuest = probeGuest(`/repo/files/${probeFile}`);
/** From the snapshot that the machine starts from (lab/storage-vm/guest/start). */
const knownCapabilities = "/var/cache/libvirt/qemu/capabilities";
const networksLimitMs = 120_000;

/** It has done what a node does at its first start: what comes next has the one processor for itself. */
export async function startNestedSystem(name: string): Promise<LabSystem> {
	// A /dev of its own would not show what LVM makes later; there is no /dev/kvm to hide.
	const ways = { network: "machine", showKvm: true, keepCapabilityCache: false } as const;
	const libvirtd = await startLibvirtd({ name, ...ways, knownCapabilities });
	const system = labSystem({ libvirtd, guest: null, taskLimitMs: 600_000, arguments: ["--tick-ms", "500"] });
	try {
		await system.daemon.start();
		await system.ready();
		await waitUntil(
			"the networks of the node to be there",
			networksLimitMs,
			async () => (await system.api.call("networkList")).body.items.every(({ nodes }) => nodes.length > 0),
			{ everyMs: 1000 },
		);
		return system;
	} catch (error) {
		await system[Symbol.asyncDispose]();
		throw error;
	}
}
