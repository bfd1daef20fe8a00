/** Addresses of clients and hosts, as Ceph and as people write them. */
import { expect, test } from "bun:test";
import { isOf } from "./fencing.ts";

test.each([
	["10.0.0.1:0/123", "10.0.0.1:0/123", true],
	["10.0.0.1:0/123", "10.0.0.1", true],
	["10.0.0.1:0/123", "10.0.0.1:0/0", true],
	["10.0.0.1:0/123", "10.0.0.1:0/124", false],
	["10.0.0.1:0/123", "10.0.0.11", false],
	["[fd00::1]:0/123", "fd00::1", true],
	["[fd00::1]:0/123", "FD00:0:0:0::0001", true],
	["[fd00::1]:0/123", "[fd00:0::1]:0/123", true],
	["[fd00::1]:0/123", "[fd00:0::1]:0/124", false],
	["[fd00::1]:0/123", "fd00::2", false],
	["[::ffff:10.0.0.1]:0/5", "::ffff:a00:1", true],
	["[fe80::1%eth0]:0/5", "fe80::1%eth0", true],
])("client %s, address %s: %p", (client, address, same) => {
	expect(isOf(client, address)).toBe(same);
});
