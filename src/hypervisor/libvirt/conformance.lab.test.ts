import { guestReadyLine } from "../../testing/lab/guest-image.ts";
import { startLab } from "../../testing/lab/libvirt-lab.ts";
import { hypervisorConformance } from "../conformance.ts";

hypervisorConformance("libvirt with QEMU (TCG)", {
	limitMs: 30_000,
	cannot: {},
	open: async () => {
		const lab = await startLab({ name: "conform" });
		const bridge = "br-conform";
		await lab.libvirtd.runInNamespace("ip", ["link", "add", bridge, "type", "bridge"]);
		await lab.libvirtd.runInNamespace("ip", ["link", "set", bridge, "up"]);
		return {
			driver: lab.driver,
			folder: lab.vmFolder,
			makeDisk: lab.makeDisk,
			makeFullDisk: lab.makeFullDisk,
			makeOverlay: lab.makeOverlay,
			bridge,
			withGuest: lab.withGuest,
			guestReady: (id) => lab.guestSays(id, guestReadyLine).then(() => {}),
			close: lab.close,
		};
	},
});
