import { expect, test } from "bun:test";
import fc from "fast-check";
import { isAppError } from "../../lib/errors.ts";
import { fails } from "../conformance.ts";
import { parseCephConf } from "./parse-conf.ts";

const key = "AQBlswxrwYegHRAAqgigDXni5eQ61WvWbSzVaA==";
const keyring = (name = "vms") => `[client.${name}]\n\tkey = ${key}\n\tcaps mon = "profile rbd"\n`;
const monitorsOf = (line: string) => parseCephConf(`[global]\n${line}\n${keyring()}`).monitors;

test("finds monitors, user and key", () => {
	const text = `# written by hand\n[global]\nfsid = x\nmon host = 10.0.0.1,10.0.0.2:6789 ; two\n\n${keyring()}`;
	expect(parseCephConf(text)).toEqual({ monitors: ["10.0.0.1", "10.0.0.2:6789"], user: "vms", cephKey: key });
});

test.each([
	[
		"mon_host = [v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0] [v2:10.0.0.2:3300/0,v1:10.0.0.2:6789/0]",
		["10.0.0.1:3300", "10.0.0.2:3300"],
	],
	[
		"mon_host = [v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0],[v2:10.0.0.2:3300/0,v1:10.0.0.2:6789/0]",
		["10.0.0.1:3300", "10.0.0.2:3300"],
	],
	["mon-host = v1:10.0.0.1:6789/0", ["10.0.0.1:6789"]],
	["mon host = ceph1.example ceph2.example;ceph3.example", ["ceph1.example", "ceph2.example", "ceph3.example"]],
	["mon_host = fd00::1, [fd00::2]:6789", ["[fd00::1]", "[fd00::2]:6789"]],
	["mon_host = [v2:[fd00::1]:3300/0,v1:[fd00::1]:6789/0]", ["[fd00::1]:3300"]],
	["mon host = 10.0.0.1, \\\n 10.0.0.2", ["10.0.0.1", "10.0.0.2"]],
	['mon_host = "10.0.0.1,10.0.0.1"', ["10.0.0.1"]],
	["[mon.a]\nmon addr = 10.0.0.1:6789\n[mon.b]\nmon addr = 10.0.0.2:6789", ["10.0.0.1:6789", "10.0.0.2:6789"]],
])("monitors of %j", (line, wanted) => {
	expect(monitorsOf(line)).toEqual(wanted);
});

test("says what is missing, and asks which of several users", async () => {
	const global = "[global]\nmon_host = 10.0.0.1\n";
	const parse = async (text: string, user?: string) => parseCephConf(text, user);
	expect(await fails("invalid", parse(""))).toContain("key");
	expect(await fails("invalid", parse(global))).toContain("key");
	expect(await fails("invalid", parse(keyring()))).toContain("monitors");
	expect(await fails("invalid", parse(global + keyring("a") + keyring("b")))).toContain("a, b");
	expect((await parse(global + keyring("a") + keyring("b"), "b")).user).toBe("b");
	await fails("invalid", parse(global + keyring("a"), "b"));
	await fails("invalid", parse(`${global}[client.a]\nkey = not a key\n`));
	await fails("invalid", parse(global + keyring("a b")));
	await fails("invalid", parse(`[global]\nmon_host = ${"x".repeat(300)}\n${keyring()}`));
	await fails("invalid", parse(`${global}${keyring()}${"#".repeat(300_000)}`));
});

test("garbage is invalid, and takes no time", () => {
	const piece = fc.oneof(
		fc.string(),
		fc.constantFrom(
			"[global]",
			"[client.a]",
			"mon_host =",
			"key =",
			key,
			"[v2:",
			"v1:",
			"/0]",
			",",
			"\\\n",
			"\n",
			"=",
			"[",
			"]",
			"::",
		),
	);
	fc.assert(
		fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
			try {
				const { monitors, user, cephKey } = parseCephConf(pieces.join(""));
				for (const text of [...monitors, user, cephKey]) expect(text).toMatch(/^[\x21-\x7e]+$/);
			} catch (error) {
				if (!isAppError(error, "invalid")) throw error;
			}
		}),
		{ numRuns: 500 },
	);
	const start = performance.now();
	for (const text of ["[v2:".repeat(50_000), "],".repeat(100_000), `mon_host = ${"[v2:1/0".repeat(30_000)}`])
		expect(() => parseCephConf(`[global]\nmon_host = ${text}\n${keyring()}`)).toThrow();
	expect(performance.now() - start).toBeLessThan(2000);
});
