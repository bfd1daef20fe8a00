/** Which addresses a download may go to. */
import { expect, test } from "bun:test";
import { addressRefusal, isPrivate } from "./address-policy.ts";

const strict = { allowLoopback: false };
const lenient = { allowLoopback: true };

const refused = [
	...[
		"0.0.0.0",
		"0.1.2.3",
		"127.0.0.1",
		"127.255.255.254",
		"169.254.169.254",
		"169.254.0.1",
		"224.0.0.1",
		"239.255.255.250",
	],
	...["255.255.255.255", "240.0.0.1", "192.0.0.192", "100.100.100.200", "168.63.129.16"],
	...["::", "::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "fd00:ec2::254", "fd20:ce::254", "2001::1", "100::1"],
	...[
		"::ffff:127.0.0.1",
		"::ffff:7f00:1",
		"::ffff:169.254.169.254",
		"::ffff:0.0.0.0",
		"::ffff:0:127.0.0.1",
		"::127.0.0.1",
		"::7f00:1",
	],
	...[
		"64:ff9b::127.0.0.1",
		"64:ff9b::a9fe:a9fe",
		"64:ff9b:1::1",
		"2002:7f00:1::",
		"2002:a9fe:a9fe::1",
		"::ffff:224.0.0.1",
	],
	...["fe80::1%eth0", "2001:db8::1%eth0", "", "localhost", "127.1", "0x7f000001", "2130706433", "1.2.3.4.5", "::g"],
];
const allowed = [
	...[
		"10.0.0.1",
		"172.16.5.4",
		"192.168.1.1",
		"100.64.0.1",
		"198.51.100.7",
		"8.8.8.8",
		"1.1.1.1",
		"223.255.255.255",
		"126.255.255.255",
		"128.0.0.1",
	],
	...[
		"2001:db8::1",
		"2606:4700::1111",
		"fd12:3456::1",
		"fc00::1",
		"::ffff:10.0.0.1",
		"64:ff9b::8.8.8.8",
		"2002:0808:0808::1",
		"2a00::",
	],
];

for (const address of refused)
	test(`refuses ${address || "(nothing)"}`, () => expect(addressRefusal(address, strict)).toBeString());
for (const address of allowed) test(`allows ${address}`, () => expect(addressRefusal(address, strict)).toBeNull());

test("loopback is all that the allowance for tests allows", () => {
	for (const address of ["127.0.0.1", "::1", "::ffff:127.0.0.1"]) expect(addressRefusal(address, lenient)).toBeNull();
	for (const address of refused.filter((one) => !/127|7f00|^::1$/.test(one)))
		expect(`${address} ${addressRefusal(address, lenient)}`).not.toBe(`${address} null`);
});

test("this node's own addresses are refused, however they are written", () => {
	const ownAddresses = ["10.1.2.3", "2001:db8::7", "fe80::1%eth0", "198.51.100.9"];
	for (const address of ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "2001:DB8:0::7", "198.51.100.9"]) {
		expect(addressRefusal(address, { ...strict, ownAddresses })).toBe("it is an address of this node");
		expect(addressRefusal(address, { ...lenient, ownAddresses })).toBeNull();
	}
	for (const address of ["10.1.2.4", "2001:db8::8"])
		expect(addressRefusal(address, { ...strict, ownAddresses })).toBeNull();
});

test("private addresses are refused to whom a public server sent", () => {
	const inside = ["10.0.0.1", "172.31.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "::ffff:10.0.0.1", "2002:a00:1::"];
	for (const address of inside) {
		expect(isPrivate(address)).toBe(true);
		expect(addressRefusal(address, { ...strict, publicOnly: true })).toContain("private");
		expect(addressRefusal(address, strict)).toBeNull();
	}
	for (const address of ["8.8.8.8", "172.32.0.1", "192.169.0.1", "2606:4700::1111", "64:ff9b::8.8.8.8"]) {
		expect(isPrivate(address)).toBe(false);
		expect(addressRefusal(address, { ...strict, publicOnly: true })).toBeNull();
	}
});
