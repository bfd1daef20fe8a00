import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { present } from "../../../lib/assert.ts";
import { isAppError } from "../../../lib/errors.ts";
import { mainEndpoints, parseLibvirtUri, sideEndpoint } from "./uri.ts";

test("the forms of URI that we take", () => {
	expect(parseLibvirtUri("qemu:///system")).toEqual({ driver: "qemu", name: "qemu:///system", socketPath: null });
	expect(parseLibvirtUri("test:///default")).toEqual({ driver: "test", name: "test:///default", socketPath: null });
	expect(parseLibvirtUri("qemu+unix:///system?socket=/run/a/libvirt-sock")).toEqual({
		driver: "qemu",
		name: "qemu:///system",
		socketPath: "/run/a/libvirt-sock",
	});
	expect(parseLibvirtUri("test+unix:///default?socket=%2Frun%2Fb").socketPath).toBe("/run/b");
});

test("others are refused as invalid", () => {
	const bad = [
		...["", "qemu:///session", "qemu://host/system", "qemu+ssh://host/system", "xen:///system", "test:///system"],
		...["qemu:///system?socket=/a", "qemu+unix:///system?socket=a", "qemu+unix:///system?mode=direct"],
		`qemu+unix:///system?socket=/${"a".repeat(107)}`,
		"qemu:///system\n",
	];
	for (const uri of bad) {
		let failure: unknown;
		try {
			parseLibvirtUri(uri);
		} catch (error) {
			failure = error;
		}
		expect([uri, isAppError(failure, "invalid")]).toEqual([uri, true]);
	}
});

describe("which socket", () => {
	const qemu = parseLibvirtUri("qemu:///system");
	let folder = "";
	beforeEach(() => {
		folder = mkdtempSync(join(tmpdir(), "lqx-uri-"));
	});
	afterEach(() => rmSync(folder, { recursive: true, force: true }));
	const touch = (...names: string[]) => {
		for (const name of names) writeFileSync(join(folder, name), "");
	};

	test("none: libvirtd's, so that the error names it", () => {
		expect(mainEndpoints(qemu, folder).map(({ path }) => path)).toEqual([join(folder, "libvirt-sock")]);
	});

	test("libvirtd alone does networks and secrets too", () => {
		touch("libvirt-sock");
		const [main] = mainEndpoints(qemu, folder);
		expect(main).toEqual({ path: join(folder, "libvirt-sock"), name: "qemu:///system", modular: false });
		expect(sideEndpoint(qemu, present(main, "endpoint"), "network")).toBeNull();
	});

	test("modular daemons come first, each for its own", () => {
		touch("libvirt-sock", "virtqemud-sock", "virtnetworkd-sock", "virtsecretd-sock");
		const endpoints = mainEndpoints(qemu, folder);
		expect(endpoints.map(({ path, modular }) => [path, modular])).toEqual([
			[join(folder, "virtqemud-sock"), true],
			[join(folder, "libvirt-sock"), false],
		]);
		const main = present(endpoints[0], "endpoint");
		expect(sideEndpoint(qemu, main, "network")).toMatchObject({
			path: join(folder, "virtnetworkd-sock"),
			name: "network:///system",
		});
		expect(sideEndpoint(qemu, main, "secret")).toMatchObject({ name: "secret:///system" });
	});

	test("a modular hypervisor daemon without network daemon does it itself", () => {
		touch("virtqemud-sock");
		expect(sideEndpoint(qemu, present(mainEndpoints(qemu, folder)[0], "endpoint"), "network")).toBeNull();
	});

	test("the mock hypervisor keeps everything on one connection", () => {
		touch("libvirt-sock", "virtqemud-sock", "virtnetworkd-sock");
		const uri = parseLibvirtUri("test:///default");
		const main = present(mainEndpoints(uri, folder)[0], "endpoint");
		expect(main.path).toBe(join(folder, "libvirt-sock"));
		expect(sideEndpoint(uri, main, "network")).toBeNull();
	});
});
