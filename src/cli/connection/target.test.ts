/** Which node is meant. */
import { describe, expect, test } from "bun:test";
import type { StoredLogins } from "./stored-logins.ts";
import { chooseTarget, parseFingerprint, serverUrl } from "./target.ts";

const nothing = {
	runDir: undefined,
	server: undefined,
	token: undefined,
	tokenFile: undefined,
	fingerprint: undefined,
	cacert: undefined,
};
const noLogins = (): StoredLogins => ({ current: null, servers: {} });
const login = { token: "stored", userName: "admin", expiresAt: "", fingerprint: "ab".repeat(32), cacert: null };
const loggedIn = (): StoredLogins => ({
	current: "https://node1:8443",
	servers: { "https://node1:8443": login, "https://node2:8443": { ...login, token: "second" } },
});

describe("in order", () => {
	test("an option, the environment, the last login, this machine", () => {
		const environment = { LIMIQUANTIX_SERVER: "node3", LIMIQUANTIX_RUN_DIR: "/run/other" };
		const target = (given: Partial<typeof nothing> | object, env = {}, logins = noLogins) =>
			chooseTarget({ ...nothing, ...given }, env, logins);
		expect(target({ server: "node2" }, environment, loggedIn)).toMatchObject({
			url: "https://node2:8443",
			token: "second",
		});
		expect(target({ runDir: "/run/x" }, environment, loggedIn)).toEqual({
			kind: "local",
			socketPath: "/run/x/limiquantix.sock",
		});
		expect(target({}, environment, loggedIn)).toMatchObject({ url: "https://node3:8443", token: null });
		expect(target({}, { LIMIQUANTIX_RUN_DIR: "/run/other" }, loggedIn)).toMatchObject({
			socketPath: "/run/other/limiquantix.sock",
		});
		expect(target({}, {}, loggedIn)).toMatchObject({
			url: "https://node1:8443",
			token: "stored",
			fingerprint: "ab".repeat(32),
		});
		expect(target({}, {}, noLogins)).toEqual({ kind: "local", socketPath: "/run/limiquantix/limiquantix.sock" });
	});

	test("a token that is given wins over the stored one", () => {
		const given = { ...nothing, server: "node1", token: "mine" };
		expect(chooseTarget(given, { LIMIQUANTIX_TOKEN: "env" }, loggedIn)).toMatchObject({ token: "mine" });
		expect(chooseTarget({ ...given, token: undefined }, { LIMIQUANTIX_TOKEN: "env" }, loggedIn)).toMatchObject({
			token: "env",
		});
	});

	test("what contradicts itself is refused", () => {
		expect(() => chooseTarget({ ...nothing, server: "a", runDir: "/b" }, {}, noLogins)).toThrow("two different nodes");
		expect(() => chooseTarget({ ...nothing, runDir: "/b", token: "t" }, {}, noLogins)).toThrow("--server");
		expect(() => chooseTarget({ ...nothing, server: "a", token: "t", tokenFile: "f" }, {}, noLogins)).toThrow(
			"one of them",
		);
		expect(() => chooseTarget({ ...nothing, server: "a", token: "a\r\nb" }, {}, noLogins)).toThrow("no API token");
		expect(() => chooseTarget({ ...nothing, runDir: `/${"x".repeat(120)}` }, {}, noLogins)).toThrow("too long");
	});
});

test("addresses of servers", () => {
	const good = {
		node1: "https://node1:8443",
		"node1:9000": "https://node1:9000",
		"https://node1": "https://node1",
		"https://Node1:8443/": "https://node1:8443",
		"[fd00::1]": "https://[fd00::1]:8443",
		"10.0.0.1": "https://10.0.0.1:8443",
		"http://127.0.0.1:80": "http://127.0.0.1",
	};
	for (const [given, url] of Object.entries(good)) expect(serverUrl(given)).toBe(url);
	for (const bad of [
		"",
		"https://user:pw@node1",
		"https://node1/v1",
		"https://node1?x",
		"ftp://node1",
		"a b",
		"https://",
	])
		expect(() => serverUrl(bad)).toThrow();
});

test("fingerprints", () => {
	expect(parseFingerprint(`SHA256:${"AB:".repeat(31)}AB`)).toBe("ab".repeat(32));
	for (const bad of ["", "ab", "zz".repeat(32), "ab".repeat(33)]) expect(() => parseFingerprint(bad)).toThrow();
});
