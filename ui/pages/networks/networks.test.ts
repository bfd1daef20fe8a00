import { describe, expect, test } from "bun:test";
import { checkNetwork, type NetworkValues } from "./create-network.tsx";

const nat: NetworkValues = {
	name: "lab",
	description: "",
	kind: "nat",
	gateway: "192.168.130.1",
	prefixLength: 24,
	dhcpStart: "192.168.130.10",
	dhcpEnd: "192.168.130.254",
	bridge: "",
};

describe("the network form", () => {
	test("its defaults are valid", () => expect(checkNetwork(nat)).toEqual({}));
	const cases: [string, Partial<NetworkValues>, string[]][] = [
		["no name", { name: "" }, ["/name"]],
		["a gateway that is no address", { gateway: "192.168.130" }, ["/config/gateway"]],
		["a range outside the subnet", { dhcpStart: "10.0.0.1" }, ["/config/dhcpStart"]],
		["the broadcast address", { dhcpEnd: "192.168.130.255" }, ["/config/dhcpEnd"]],
		["a range backwards", { dhcpStart: "192.168.130.20", dhcpEnd: "192.168.130.19" }, ["/config/dhcpEnd"]],
		["the gateway in the range", { gateway: "192.168.130.50" }, ["/config/dhcpStart"]],
		["a subnet too small", { prefixLength: 31 }, ["/config/prefixLength"]],
		["a bridge without a name", { kind: "bridge" }, ["/config/bridge"]],
		["a bridge name too long", { kind: "bridge", bridge: "br-with-a-long-name" }, ["/config/bridge"]],
		["a bridge", { kind: "bridge", bridge: "br0" }, []],
	];
	for (const [name, change, fields] of cases) {
		test(name, () => expect(Object.keys(checkNetwork({ ...nat, ...change }))).toEqual(expect.arrayContaining(fields)));
	}
});
