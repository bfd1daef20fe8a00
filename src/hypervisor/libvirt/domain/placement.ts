/**
 * Names and places for devices: a device keeps what it had, so that a guest finds its disks and NICs where they were;
 * a new one gets the lowest that is free. Places on PCI Express are left to libvirt. Pure.
 */
import { assert } from "../../../lib/assert.ts";
import type { Placement } from "../../facts.ts";
import type { Address } from "./machine.ts";

export type Bus = "virtio" | "scsi" | "sata";

/** "vda", "vdb" … "vdz", "vdaa" …: libvirt's bijective numbering. */
export function targetName(prefix: string, index: number): string {
	let letters = "";
	for (let rest = index; rest >= 0; rest = Math.floor(rest / 26) - 1)
		letters = String.fromCharCode(97 + (rest % 26)) + letters;
	return prefix + letters;
}

const prefixes: Record<Bus, string> = { virtio: "vd", scsi: "sd", sata: "sd" };
const sataUnits = 6;
const maxDevices = 1024;

export class Places {
	readonly #targets = new Set<string>();
	readonly #addresses = new Set<string>();

	/** Controllers that the SATA places so far need. */
	sataControllers = 1;
	/** Highest PCI Express root port that is in use by a place that was kept. */
	highestPort = 0;

	/** What of `placement` a device on that bus may keep; it is taken from now on. */
	keep(bus: Bus, placement: Placement | null): Placement {
		const target = placement?.target ?? null;
		if (!target?.startsWith(prefixes[bus]) || this.#targets.has(target)) return { target: null, address: null };
		this.#targets.add(target);
		return { target, address: bus === "virtio" ? this.keepPort(placement) : this.#keepDrive(bus, placement) };
	}

	/** The root port that a PCI device has, if it may keep it. Ports are given away whole: slot and function are 0. */
	keepPort(placement: Placement | null): Address | null {
		const address = placement?.address;
		const port = Number(address?.bus);
		const onPort = address?.type === "pci" && Number(address.slot) === 0 && Number(address.function) === 0;
		if (!onPort || !(port >= 1 && port <= 255) || !this.#take(`port ${port}`)) return null;
		this.highestPort = Math.max(this.highestPort, port);
		return { type: "pci", domain: "0x0000", bus: hexByte(port), slot: "0x00", function: "0x0" };
	}

	/** Fills in what was not kept. */
	drive(bus: Bus, kept: Placement): { target: string; address: Address | null } {
		const target = kept.target ?? this.#freeTarget(prefixes[bus]);
		this.#targets.add(target);
		return { target, address: bus === "virtio" ? kept.address : (kept.address ?? this.#freeDrive(bus)) };
	}

	#keepDrive(bus: "scsi" | "sata", placement: Placement | null): Address | null {
		const { address } = placement ?? { address: null };
		if (address?.type !== "drive" || Number(address.bus) !== 0) return null;
		const [controller, target, unit] = [address.controller, address.target, address.unit].map(Number);
		return this.#takeDrive(bus, controller ?? -1, target ?? -1, unit ?? -1);
	}

	#freeTarget(prefix: string): string {
		for (let index = 0; index < maxDevices; index++) {
			const name = targetName(prefix, index);
			if (!this.#targets.has(name)) return name;
		}
		assert(false, "a machine has fewer disks than names");
	}

	/** SCSI: each disk is a target of the one controller. SATA: a controller has six units. */
	#freeDrive(bus: "scsi" | "sata"): Address {
		for (let index = 0; index < maxDevices; index++) {
			const address =
				bus === "scsi"
					? this.#takeDrive(bus, 0, index, 0)
					: this.#takeDrive(bus, Math.floor(index / sataUnits), 0, index % sataUnits);
			if (address) return address;
		}
		assert(false, "a machine has fewer disks than places");
	}

	#takeDrive(bus: "scsi" | "sata", controller: number, target: number, unit: number): Address | null {
		const valid =
			bus === "scsi"
				? controller === 0 && target >= 0 && target <= 255 && unit === 0
				: controller >= 0 && controller < 16 && target === 0 && unit >= 0 && unit < sataUnits;
		if (!valid || !this.#take(`${bus} ${controller} ${target} ${unit}`)) return null;
		if (bus === "sata") this.sataControllers = Math.max(this.sataControllers, controller + 1);
		return { type: "drive", controller: `${controller}`, bus: "0", target: `${target}`, unit: `${unit}` };
	}

	#take(key: string): boolean {
		if (this.#addresses.has(key)) return false;
		this.#addresses.add(key);
		return true;
	}
}

const hexByte = (value: number): string => `0x${value.toString(16).padStart(2, "0")}`;
