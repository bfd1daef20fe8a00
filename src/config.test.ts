import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { configHelp, loadConfig } from "./config.ts";
import type { AppError } from "./lib/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "lqx-config-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const none = { LIMIQUANTIX_CONFIG: join(folder, "missing.toml") };

test("defaults are a working node", () => {
	const config = loadConfig([], none);
	expect(config).toMatchObject({
		dataDir: "/var/lib/limiquantix",
		runDir: "/run/limiquantix",
		listen: { host: "::", port: 8443 },
		libvirtUri: "qemu:///system",
		insecureHttp: false,
		accelerator: null,
		fsync: true,
	});
	expect(Object.isFrozen(config)).toBe(true);
});

test("flags win over environment, environment over file", () => {
	const file = join(folder, "config.toml");
	writeFileSync(
		file,
		'data-dir = "/from-file"\nrun-dir = "/from-file"\nlisten = "127.0.0.1:1"\ninsecure-http = true\n',
	);
	const config = loadConfig(["--config", file, "--data-dir", "/from-flag"], {
		LIMIQUANTIX_DATA_DIR: "/from-environment",
		LIMIQUANTIX_RUN_DIR: "/from-environment",
	});
	expect(config).toMatchObject({
		dataDir: "/from-flag",
		runDir: "/from-environment",
		listen: { host: "127.0.0.1", port: 1 },
		insecureHttp: true,
	});
});

test("settings for tests are flags, never environment or file, and are named", () => {
	const environment = { ...none, LIMIQUANTIX_NO_FSYNC: "true", LIMIQUANTIX_TICK_MS: "7" };
	expect(loadConfig([], environment)).toMatchObject({ fsync: true, tickMs: null, testSettings: [] });
	expect(loadConfig(["--no-fsync", "--tick-ms", "7"], none)).toMatchObject({
		...{ fsync: false, tickMs: 7, testSettings: ["no-fsync", "tick-ms"] },
	});
	expect(refused([], "no-fsync = true\n")).toContain('no setting "no-fsync"');
});

const refused = (argv: string[], file?: string): string => {
	const path = join(folder, "bad.toml");
	if (file !== undefined) writeFileSync(path, file);
	try {
		loadConfig(file === undefined ? argv : ["--config", path, ...argv], none);
	} catch (error) {
		return (error as AppError).message;
	}
	throw new Error("accepted");
};

test("bad settings are refused by name", () => {
	expect(refused(["--lisen", "x"])).toContain("lisen");
	expect(refused(["--listen", "nowhere"])).toContain("listen");
	expect(refused(["--listen", "127.0.0.1:70000"])).toContain("70000");
	expect(refused([], 'data-dir = "relative"')).toContain("absolute");
	expect(refused(["--accelerator", "magic"])).toContain("kvm, tcg");
	expect(refused(["--insecure-http"])).toContain("loopback");
	expect(refused([], 'data_dir = "/x"')).toContain("data_dir");
	expect(refused([], "= broken")).toContain("TOML");
	expect(refused(["--config", "/does/not/exist"])).toContain("/does/not/exist");
});

test("a folder on the command line may be relative to where it is typed, as for every other command", () => {
	const { dataDir, runDir, defaultPoolPath } = loadConfig(
		["--config", "/dev/null", "--data-dir", "d/1", "--run-dir", "./r/", "--default-pool-path", "../pool"],
		{},
	);
	expect({ dataDir, runDir, defaultPoolPath }).toEqual({
		...{ dataDir: resolve("d/1"), runDir: resolve("r"), defaultPoolPath: resolve("../pool") },
	});
	// Where a service is started from says nothing.
	expect(() => loadConfig(["--config", "/dev/null"], { LIMIQUANTIX_DATA_DIR: "d/1" })).toThrow("absolute");
});

test("every visible setting is in the help", () => {
	expect(configHelp()).toContain("--peer-listen VALUE");
	expect(configHelp()).not.toContain("no-fsync");
});
