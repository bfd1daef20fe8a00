/** Which requests are the same. */
import { expect, test } from "bun:test";
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
