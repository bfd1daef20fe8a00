/**
 * What boots from a pool in bootFromPool, and how it is known that it did: a small Linux, or, where that would take minutes because
 * its host is emulated too, the probe that is one boot sector.
 */
import { assert } from "../../lib/assert.ts";
import { guestReadyLine } from "../lab/guest-image.ts";
import { readProbe } from "../lab/probe-guest/probe-guest.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { GuestTerminal } from "./guest-terminal.ts";
import type { LabSystem } from "./lab-system.ts";

export type BootGuest = {
	image: { path: string; format: "qcow2" | "raw" };
	/** The guest of a VM that was made of the image. */
	of(system: LabSystem, vmId: string): RunningGuest;
};

export type RunningGuest = {
	/** Waits until it is up, and has found on its disk that this is the next time; at first the first. */
	booted(limitMs: number): Promise<void>;
	/** Of its disk, as the guest sees it now. */
	diskBytes(limitMs: number): Promise<number>;
};

const sectorBytes = 512;

export const linuxGuest = (qcow2Path: string): BootGuest => ({
	image: { path: qcow2Path, format: "qcow2" },
	of(system, vmId) {
		const guest = new GuestTerminal(system, vmId);
		let [boots, from] = [0, 0];
		return {
			async booted(limitMs) {
				boots += 1;
				await guest.booted(from, limitMs);
				const said = (await guest.text()).slice(from);
				assert(said.includes(`LIMIQUANTIX-GUEST boot-count ${boots}\r\n`), `${guestReadyLine}, and not boot ${boots}`);
				from = await guest.mark();
			},
			diskBytes: async () => Number((await guest.run("cat /sys/block/vda/size")).trim()) * sectorBytes,
		};
	},
});

export const probeGuest = (rawPath: string): BootGuest => ({
	image: { path: rawPath, format: "raw" },
	of(system, vmId) {
		const guest = new GuestTerminal(system, vmId);
		let boots = 0;
		let diskBytes = 0;
		const booted = async (limitMs: number): Promise<void> => {
			boots += 1;
			const { sectors, failures } = await waitUntil(
				`the probe to be up for the ${boots}. time, and to write`,
				limitMs,
				async () => {
					const report = readProbe(await guest.text());
					return report.boots === boots && report.wrote !== null && report;
				},
				{ everyMs: 1000 },
			);
			assert(failures === 0, "the disk of the probe failed, or held something else than what was written");
			diskBytes = Number(sectors) * sectorBytes;
		};
		return {
			booted,
			// Its BIOS asks only when it starts; QEMU goes on.
			async diskBytes(limitMs) {
				await system.done(await system.api.call("vmReset", { path: { id: vmId } }));
				await booted(limitMs);
				return diskBytes;
			},
		};
	},
});
