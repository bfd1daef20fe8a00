/** Which requests are the same. */
import { expect, test } from "bun:test";
import { PoolCredentials } from "../model/pool-config.ts";
import { requestHash } from "./request-hash.ts";

const of = (path: string, body?: unknown, method = "POST") =>
	requestHash(method, new URL(path, "http://localhost"), body);

test("order of members and parameters does not matter, anything else does", () => {
	const first = of("/v1/vms?a=1&b=2", { name: "a", disks: [{ x: 1, y: null }] });
	expect(first).toMatch(/^[0-9a-f]{64}$/);
	expect(of("/v1/vms?b=2&a=1", { disks: [{ y: null, x: 1 }], name: "a" })).toBe(first);
	const others = [
		of("/v1/vms?a=1", { name: "a", disks: [{ x: 1, y: null }] }),
		of("/v1/vms/x?a=1&b=2", { name: "a", disks: [{ x: 1, y: null }] }),
		of("/v1/vms?a=1&b=2", { name: "b", disks: [{ x: 1, y: null }] }),
		of("/v1/vms?a=1&b=2", { name: "a", disks: [{ x: 1 }] }),
		of("/v1/vms?a=1&b=2", { name: "a", disks: [{ x: "1", y: null }] }),
		of("/v1/vms?a=1&b=2", { name: "a", disks: { 0: { x: 1, y: null } } }),
		of("/v1/vms?a=1&b=2"),
		of("/v1/vms?a=1&b=2", { name: "a", disks: [{ x: 1, y: null }] }, "PUT"),
	];
	expect(new Set([first, ...others]).size).toBe(others.length + 1);
});

test("nothing of a password is in it", () => {
	const user = (password: string) => of("/v1/users", { name: "anna", password });
	expect(user("correct horse battery")).toBe(user("another long password"));
});

test("nothing of the credentials of a pool is in it, wherever they stand", () => {
	for (const name of Object.keys(PoolCredentials.properties)) {
		const pool = (value: string) => of("/v1/pools", { name: "a", credentials: { [name]: value } });
		expect(pool("AQBHCbtT6APDHhAA5W00cBchwkQjh3dkKsyPjw==")).toBe(pool("another-secret-of-12"));
		const bare = (value: string) => of("/v1/pools", { name: "a", [name]: value });
		expect(bare("AQBHCbtT6APDHhAA5W00cBchwkQjh3dkKsyPjw==")).toBe(bare("another-secret-of-12"));
	}
});
