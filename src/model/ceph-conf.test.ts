/** ceph.conf and keyrings as people paste them, and garbage. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { AppError } from "../lib/errors.ts";
import { parseCephConf, parseKeyring } from "./ceph-conf.ts";
import { CephRbdPoolConfig } from "./pool-config.ts";
import { schemaProblems } from "./validate.ts";

const key = "AQBSdFhgAAAAABAAq5ZB3cGJ2uC8m9uTjVXQ3g==";

function failure(action: () => unknown): string {
	try {
		action();
	} catch (error) {
		if (error instanceof AppError && error.code === "invalid") return error.message;
		throw error;
	}
	throw new Error("It did not fail.");
}

describe("monitors", () => {
	const of = (value: string) => parseCephConf(`[global]\nmon host = ${value}\n`);

	test("in all forms that mon host has", () => {
		expect(of("10.0.0.1")).toEqual(["10.0.0.1"]);
		expect(of("10.0.0.1, 10.0.0.2\t10.0.0.3")).toEqual(["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
		expect(of("mon-1.example.net:6789,mon-2.example.net")).toEqual(["mon-1.example.net:6789", "mon-2.example.net"]);
		expect(of("[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0]")).toEqual(["10.0.0.1"]);
		expect(of("[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0],[v2:10.0.0.2:3300/0,v1:10.0.0.2:6789/0]")).toEqual([
			"10.0.0.1",
			"10.0.0.2",
		]);
		expect(of("[v2:10.0.0.1:3300/0] v1:10.0.0.2:6789/0 v2:10.0.0.3")).toEqual([
			"10.0.0.1:3300",
			"10.0.0.2:6789",
			"10.0.0.3:3300",
		]);
		expect(of("[v1:10.0.0.1:16789/0,v2:10.0.0.1:13300/0]")).toEqual(["10.0.0.1:13300"]);
		expect(of("[v2:[fd00::1]:3300/0,v1:[fd00::1]:6789/0],[fd00::2]:6789,[fd00::3],fd00::4")).toEqual([
			"[fd00::1]",
			"[fd00::2]:6789",
			"[fd00::3]",
			"[fd00::4]",
		]);
		expect(of("10.0.0.1,10.0.0.1 10.0.0.1:0")).toEqual(["10.0.0.1"]);
	});

	test("among everything else that a file has", () => {
		const text = [
			"\ufeff# minimal ceph.conf",
			"; another comment",
			"[global]",
			"\tfsid = 0f5a7f9c-1111-2222-3333-444455556666   # of the cluster",
			'\tMon_Host = "10.0.0.1, \\',
			'10.0.0.2" ; both',
			"[client.cinder]",
			"mon_host = 192.0.2.1",
			"",
		].join("\r\n");
		expect(parseCephConf(text)).toEqual(["10.0.0.1", "10.0.0.2"]);
		expect(parseCephConf("mon-host = a")).toEqual(["a"]);
		expect(parseCephConf("[mon.a]\nmon addr = 10.0.0.1:6789\n[mon.b]\nmon addr = 10.0.0.2:6789")).toEqual([
			"10.0.0.1:6789",
			"10.0.0.2:6789",
		]);
	});

	test("that are not there, or not understood", () => {
		expect(failure(() => parseCephConf(""))).toContain("no monitors");
		expect(failure(() => parseCephConf("[global]\nmon host =\n"))).toContain("no monitors");
		expect(failure(() => parseCephConf("hello"))).toContain("line 1");
		expect(failure(() => parseCephConf("[global]\n\n= x"))).toContain("line 3");
		expect(failure(() => parseCephConf("\u0000\u0001"))).toContain("no text");
		expect(failure(() => parseCephConf("#".repeat(300_000)))).toContain("too long");
		expect(failure(() => of(Array.from({ length: 17 }, (_, at) => `10.0.0.${at}`).join()))).toContain("more than 16");
		for (const value of [
			"[10.0.0.1",
			"10.0.0.1]",
			"[v2:]",
			"a:b",
			"10.0.0.1:70000",
			"$host",
			"a/b",
			"[]",
			"-x",
			"[[v2:a]]",
		])
			expect(failure(() => of(value))).toMatch(/brackets|not understood/);
	});
});

describe("a keyring", () => {
	test("has the user and the key", () => {
		const text = `[client.limiquantix]\n\tkey = ${key}\n\tcaps mon = "profile rbd"\n\tcaps osd = "profile rbd pool=vms"\n`;
		expect(parseKeyring(text)).toEqual({ user: "limiquantix", key });
		expect(parseKeyring(text, "limiquantix")).toEqual({ user: "limiquantix", key });
		expect(failure(() => parseKeyring(text, "admin"))).toContain("it has limiquantix");
	});

	test("of several says which there are", () => {
		const text = `[mon.]\nkey = ${key}\n[client.a]\nkey=${key}\n[client.b]\nkey = ${key}\n`;
		expect(parseKeyring(text, "b")).toEqual({ user: "b", key });
		expect(failure(() => parseKeyring(text))).toContain("a, b");
	});

	test("without one, or with a broken one, never shows it", () => {
		expect(failure(() => parseKeyring("[mon.]\nkey = x"))).toContain("no key of a client");
		expect(failure(() => parseKeyring(`${key}`))).not.toContain(key.slice(0, 8));
		expect(failure(() => parseKeyring("[client.a]\nkey = AQBS dFhg"))).not.toContain("AQBS");
		expect(failure(() => parseKeyring(`[client.a b]\nkey = ${key}`))).toContain("cannot be used");
	});
});

describe("whatever is pasted", () => {
	const pieces = fc.constantFrom(
		...'[]{}:;,#="\\/ \t\n\rv2v1anykeymon hostclient.a0f.-$\u0000é'.split(""),
		"[global]\n",
		"mon host = ",
		"[client.a]\nkey = ",
		"v2:",
		"[v2:",
		"[fd00::1]",
		":3300/0",
	);
	const garbage = fc.oneof(fc.string({ maxLength: 200 }), fc.string({ unit: pieces, maxLength: 60 }));
	const config = { user: "a", cephPool: "p", namespace: null, dataPool: null };

	test("is monitors that a pool takes, or a sentence", () => {
		fc.assert(
			fc.property(garbage, (text) => {
				try {
					expect(schemaProblems(CephRbdPoolConfig, { ...config, monitors: parseCephConf(text) })).toEqual([]);
				} catch (error) {
					expect(error).toBeInstanceOf(AppError);
					expect((error as AppError).message).toMatch(/^(The|mon host) .*[.…]$/);
					expect((error as AppError).fields).toEqual([]);
				}
			}),
			{ numRuns: 3000 },
		);
	});

	test("is a user and a key, or a sentence", () => {
		fc.assert(
			fc.property(garbage, fc.option(fc.string(), { nil: undefined }), (text, user) => {
				try {
					expect(parseKeyring(text, user).key).toMatch(/^[A-Za-z0-9+/=]+$/);
				} catch (error) {
					expect(error).toBeInstanceOf(AppError);
					expect((error as AppError).code).toBe("invalid");
				}
			}),
			{ numRuns: 3000 },
		);
	});

	test("addresses come back as they were written", () => {
		const host = fc.oneof(
			fc.ipV4(),
			fc.ipV6().map((address) => `[${address}]`),
			fc.constantFrom("mon-1", "a.example.net"),
		);
		const port = fc.integer({ min: 1, max: 65_535 });
		const monitor = fc.record({ host, port, form: fc.constantFrom("plain", "v1", "v2", "group") });
		const written = ({ host: at, port: number, form }: { host: string; port: number; form: string }) =>
			form === "plain"
				? `${at}:${number}`
				: form === "group"
					? `[v1:${at}:1/0,v2:${at}:${number}/0]`
					: `${form}:${at}:${number}/0`;
		fc.assert(
			fc.property(
				fc.array(monitor, { minLength: 1, maxLength: 8 }),
				fc.constantFrom(",", " ", ", "),
				(monitors, gap) => {
					const wanted = new Set(monitors.map(({ host: at, port: number }) => `${at}:${number}`));
					expect(parseCephConf(`mon_host=${monitors.map(written).join(gap)}`)).toEqual([...wanted]);
				},
			),
		);
	});
});
