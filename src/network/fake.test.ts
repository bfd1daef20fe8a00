import { systemClock } from "../lib/clock.ts";
import { networkConformance } from "./conformance.ts";
import { FakeNetworks } from "./fake.ts";

networkConformance("fake", {
	limitMs: 2000,
	open: async () => {
		const driver = new FakeNetworks({ clock: systemClock });
		driver.bridges.add("br0");
		return {
			driver,
			bridge: "br0",
			plug: async (bridge) => void driver.plugged.add(bridge),
			unplug: async (bridge) => void driver.plugged.delete(bridge),
			close: async () => {},
		};
	},
});
