/** XML of what every machine has: controllers, channels, screen, serial port and the small virtio devices. Pure. */
import { element, textElement, type XmlElement } from "../../../lib/xml-writer.ts";
import { addressElement } from "./device-xml.ts";
import {
	agentChannelName,
	clipboardChannelName,
	clipboardChannelType,
	fixedAliases,
	type Machine,
	needsLongInterruptIds,
} from "./machine.ts";

const usbPorts = 15;
const balloonStatsPeriodSeconds = 10;
/** Further SATA controllers sit here on the root complex: 8 functions each. */
const sataSlots = [0x1a, 0x1b];

export function controllers(machine: Machine): XmlElement[] {
	const ports = Array.from({ length: machine.rootPorts }, (_, index) =>
		element("controller", { type: "pci", index: index + 1, model: "pcie-root-port" }),
	);
	return [
		element("controller", { type: "pci", index: 0, model: "pcie-root" }),
		...ports,
		element("controller", { type: "usb", index: 0, model: "qemu-xhci", ports: usbPorts }, place(machine, "usb")),
		...Array.from({ length: machine.sataControllers }, (_, index) => sataController(index)),
		// Always there, so that a SCSI disk can be plugged into a running machine.
		element("controller", { type: "scsi", index: 0, model: "virtio-scsi" }, place(machine, "scsi")),
		element("controller", { type: "virtio-serial", index: 0 }, place(machine, "serial")),
	];
}

/** The first one is part of the chip set; libvirt knows its place. */
function sataController(index: number): XmlElement {
	if (index === 0) return element("controller", { type: "sata", index });
	const slot = sataSlots[Math.floor((index - 1) / 8)] ?? 0;
	const address = {
		type: "pci",
		domain: "0x0000",
		bus: "0x00",
		slot: `0x${slot.toString(16)}`,
		function: `0x${(index - 1) % 8}`,
		...((index - 1) % 8 === 0 ? { multifunction: "on" } : {}),
	};
	return element("controller", { type: "sata", index }, [addressElement(address)]);
}

function place(machine: Machine, device: keyof typeof fixedAliases): (XmlElement | null)[] {
	const alias = fixedAliases[device];
	return [element("alias", { name: alias }), addressElement(machine.fixedPlaces.get(alias))];
}

export function fixedDevices(machine: Machine): (XmlElement | null)[] {
	return [
		element("serial", { type: "pty" }, [
			element("log", { file: machine.serialLogPath, append: "on" }),
			element("target", { type: "isa-serial", port: 0 }),
		]),
		element("console", { type: "pty" }, [element("target", { type: "serial", port: 0 })]),
		channel(agentChannelName, machine.agentSocketPath),
		// libvirt itself is at the other end of this one, and knows a path.
		channel("org.qemu.guest_agent.0", null),
		clipboardChannel(),
		// Absolute positions: the pointer of a viewer and that of the guest are in the same place.
		element("input", { type: "tablet", bus: "usb" }),
		machine.tpm
			? element("tpm", { model: "tpm-crb" }, [element("backend", { type: "emulator", version: "2.0" })])
			: null,
		// Several people may look at one screen; none may throw the others out.
		element("graphics", { type: "vnc", sharePolicy: "force-shared" }, [
			element("listen", { type: "socket", socket: machine.vncSocketPath }),
		]),
		// Standard VGA: every firmware, boot loader, installer and system has a driver for it, so there is always a picture.
		element("video", {}, [element("model", { type: "vga", vram: 16_384, heads: 1, primary: true })]),
		element("memballoon", { model: "virtio", autodeflate: "on", freePageReporting: "on" }, [
			element("stats", { period: balloonStatsPeriodSeconds }),
			...place(machine, "balloon"),
		]),
		element("rng", { model: "virtio" }, [
			textElement("backend", "/dev/urandom", { model: "random" }),
			...place(machine, "random"),
		]),
		needsLongInterruptIds(machine)
			? element("iommu", { model: "intel" }, [element("driver", { intremap: "on", eim: "on" })])
			: null,
	];
}

/** Carries the clipboard, and comes and goes with a move of the running machine's state (state-move.ts). */
export const clipboardChannel = (): XmlElement =>
	element("channel", { type: clipboardChannelType }, [
		element("source", {}, [element("clipboard", { copypaste: true }), element("mouse", { mode: "client" })]),
		element("target", { type: "virtio", name: clipboardChannelName }),
	]);

function channel(name: string, path: string | null): XmlElement {
	return element("channel", { type: "unix" }, [
		element("source", { mode: "bind", path }),
		element("target", { type: "virtio", name }),
	]);
}
