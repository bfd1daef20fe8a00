import { describe, expect, test } from "bun:test";
import {
	checkCloudInit,
	cloudInitFormOf,
	cloudInitSpecOf,
	emptyCloudInit,
	emptyUser,
	nobodyCanSignIn,
} from "./cloud-init.ts";
import type { CloudInitSpec } from "./model-types.ts";

const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8T8f6Yb7b5m7eYjPZ6nUQ9m8T3 ops@example";
const hash = async (password: string) => `$6$salt$${password.length}`;

test("a form of a spec gives the spec back", async () => {
	const specs: (CloudInitSpec | null)[] = [
		null,
		{ kind: "raw", userData: "#cloud-config\n", metaData: null, networkConfig: "version: 2\n" },
		{
			kind: "form",
			hostname: "web-1",
			users: [{ name: "admin", sshKeys: [key], passwordHash: "$6$a$b", sudo: true }],
			packages: ["nginx"],
			network: { dhcp4: false, addresses: ["192.0.2.4/24"], gateway4: "192.0.2.1", nameservers: ["2001:db8::1"] },
		},
		{ kind: "form", hostname: null, users: [], packages: [], network: null },
	];
	for (const spec of specs) expect(await cloudInitSpecOf(cloudInitFormOf(spec), hash)).toEqual(spec);
});

test("a typed password is sent as its hash only", async () => {
	const form = { ...emptyCloudInit(), kind: "form" as const };
	form.users = [{ ...emptyUser("a"), passwordKind: "password", password: "secret" }];
	const spec = await cloudInitSpecOf(form, hash);
	expect(JSON.stringify(spec)).not.toContain("secret");
	expect(spec).toMatchObject({ users: [{ passwordHash: "$6$salt$6" }] });
});

describe("checks", () => {
	const form = { ...emptyCloudInit(), kind: "form" as const };
	test("an unused form has no problems", () => expect(checkCloudInit({ ...form, kind: "none" })).toEqual({}));
	test("each problem is at its field", () => {
		const problems = checkCloudInit({
			...form,
			hostname: "-x",
			users: [{ ...emptyUser("Root"), sshKeys: `${key}\nnot a key`, passwordKind: "hash", passwordHash: "plain" }],
			packages: ["; rm"],
			networkKind: "static",
			addresses: ["192.0.2.4"],
			gateway: "300.1.1.1",
			nameservers: ["ns.example"],
		});
		expect(Object.keys(problems).sort()).toEqual([
			"/cloudInit/hostname",
			"/cloudInit/network/addresses",
			"/cloudInit/network/gateway4",
			"/cloudInit/network/nameservers",
			"/cloudInit/packages",
			"/cloudInit/users/0/name",
			"/cloudInit/users/0/passwordHash",
			"/cloudInit/users/0/sshKeys",
		]);
		expect(problems["/cloudInit/users/0/sshKeys"]).toContain("Line 2");
	});
	test("a user without key and password cannot sign in", () => {
		expect(nobodyCanSignIn(form)).toBe(true);
		expect(nobodyCanSignIn({ ...form, users: [{ ...emptyUser("a"), sshKeys: key }] })).toBe(false);
	});
});
