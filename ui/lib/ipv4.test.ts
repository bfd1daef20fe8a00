import { expect, test } from "bun:test";
import { ipv4ToNumber, numberToIpv4, subnetOf, suggestRange } from "./ipv4.ts";

test("addresses and numbers", () => {
	expect(ipv4ToNumber("192.168.1.2")).toBe(0xc0a80102);
	expect(numberToIpv4(0xffffffff)).toBe("255.255.255.255");
	expect(ipv4ToNumber("1.2.3")).toBeNull();
});

test("subnets", () => {
	expect(subnetOf("10.1.2.3", 24)).toEqual({ first: 0x0a010200, last: 0x0a0102ff });
	expect(subnetOf("10.1.2.3", 8)).toEqual({ first: 0x0a000000, last: 0x0affffff });
	expect(subnetOf("nonsense", 24)).toBeNull();
});

test("suggested ranges lie in the subnet and leave the gateway out", () => {
	expect(suggestRange("192.168.130.1", 24)).toEqual({ start: "192.168.130.10", end: "192.168.130.254" });
	expect(suggestRange("192.168.130.254", 24)).toEqual({ start: "192.168.130.10", end: "192.168.130.253" });
	expect(suggestRange("192.168.130.1", 30)).toEqual({ start: "192.168.130.2", end: "192.168.130.2" });
	expect(suggestRange("192.168.130.100", 24)).toEqual({ start: "192.168.130.101", end: "192.168.130.254" });
});
