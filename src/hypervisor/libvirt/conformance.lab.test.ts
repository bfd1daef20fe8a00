import { hypervisorConformance } from "../conformance.ts";
import { startLab } from "./lab.ts";

hypervisorConformance("libvirt with QEMU (TCG)", {
	limitMs: 30_000,
	cannot: { "guest-shutdown": "todo", "hot-unplug": "todo" },
	open: async () => {
		const lab = await startLab({ name: "conform" });
		const bridge = "br-conform";
		await lab.libvirtd.runInNamespace("ip", ["link", "add", bridge, "type", "bridge"]);
		await lab.libvirtd.runInNamespace("ip", ["link", "set", bridge, "up"]);
		return {
			driver: lab.driver,
			folder: lab.vmFolder,
			makeDisk: lab.makeDisk,
			bridge,
			withGuest: async (domain) => domain,
			guestReady: async () => {},
			close: lab.close,
		};
	},
});
