/**
 * Settings of the daemon: flags over environment (`LIMIQUANTIX_…`) over /etc/limiquantix/config.toml over defaults,
 * checked and frozen into one object. An unknown flag or key is an error: a misspelt setting must not pass for the
 * default.
 */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { AppError } from "./lib/errors.ts";

export type Config = Readonly<{
	dataDir: string;
	runDir: string;
	/** Where UI and API listen; port 0 takes any free one. */
	listen: HostPort;
	peerListen: HostPort;
	/** In libvirt's own form: `qemu:///system`, `test:///default`, `qemu+unix:///system?socket=PATH`. */
	libvirtUri: string;
	/** Serve plain HTTP; only accepted on loopback. */
	insecureHttp: boolean;
	logLevel: "debug" | "info" | "warn" | "error";
	logFormat: "json" | "text";
	/** Name for a new node; null takes the host's name. */
	nodeName: string | null;
	/** Disk image of the demo VM; null when there is none. */
	demoImage: string | null;
	/** Use this accelerator; null finds out by running a guest. */
	accelerator: "kvm" | "tcg" | null;
	/** Folder of the default pool; null is `dataDir`/pools/local. */
	defaultPoolPath: string | null;
	/** fsync of the state's log. Only tests switch it off. */
	fsync: boolean;
	/** A snapshot of the state is made, and the log cut, after so many changes; null leaves it to the store. Only tests set it. */
	snapshotEntries: number | null;
	/** How long a tick of the consensus is; null is its own choice. Only tests set it, where a node runs many times slower. */
	tickMs: number | null;
	/** By how much this node takes the host's clock for ahead of what it says. Only tests set it. */
	clockAheadMs: number;
	/** Names of the settings for tests that were given. */
	testSettings: readonly string[];
	/** Images may be fetched from this machine's own addresses. Only tests switch it on. */
	loopbackDownloads: boolean;
	/** A file that says at which step this process stops (lib/halting.ts). Only tests set it. */
	haltFile: string | null;
}>;

export type HostPort = Readonly<{ host: string; port: number }>;

/** `path`: on the command line it may be relative to where it is typed. */
type Setting = {
	flag: string;
	description: string;
	fallback: string | null;
	boolean?: true;
	path?: true;
	hidden?: true;
};

/**
 * Every setting once: flag, environment variable (LIMIQUANTIX_DATA_DIR) and TOML key (data-dir) have the same name. Hidden ones are
 * for tests, and flags only.
 */
export const settings = {
	dataDir: {
		flag: "data-dir",
		description: "folder for state, disks and secrets",
		fallback: "/var/lib/limiquantix",
		path: true,
	},
	runDir: { flag: "run-dir", description: "folder for sockets", fallback: "/run/limiquantix", path: true },
	listen: { flag: "listen", description: "HOST:PORT of UI and API", fallback: "[::]:8443" },
	peerListen: { flag: "peer-listen", description: "HOST:PORT for other nodes", fallback: "[::]:8444" },
	libvirt: { flag: "libvirt", description: "libvirt URI", fallback: "qemu:///system" },
	insecureHttp: {
		flag: "insecure-http",
		description: "plain HTTP, on loopback only",
		fallback: "false",
		boolean: true,
	},
	logLevel: { flag: "log-level", description: "debug, info, warn or error", fallback: "info" },
	logFormat: { flag: "log-format", description: "json or text", fallback: "json" },
	nodeName: { flag: "node-name", description: "name for a new node (default: the host's name)", fallback: null },
	demoImage: {
		flag: "demo-image",
		description: "disk image of the demo VM",
		fallback: "/usr/share/limiquantix/demo.qcow2",
		path: true,
	},
	accelerator: {
		flag: "accelerator",
		description: "kvm or tcg (default: found out by running a guest)",
		fallback: null,
	},
	defaultPoolPath: {
		flag: "default-pool-path",
		description: "folder of the default pool",
		fallback: null,
		path: true,
	},
	noFsync: {
		flag: "no-fsync",
		description: "do not flush the log (tests only)",
		fallback: "false",
		boolean: true,
		hidden: true,
	},
	snapshotEntries: {
		flag: "snapshot-entries",
		description: "changes between two snapshots of the state (tests only)",
		fallback: null,
		hidden: true,
	},
	tickMs: {
		flag: "tick-ms",
		description: "a tick of the consensus: an election after 10 to 16 (tests only)",
		fallback: null,
		hidden: true,
	},
	clockAheadMs: {
		flag: "clock-ahead-ms",
		description: "a clock that is so much ahead, or behind when negative (tests only)",
		fallback: "0",
		hidden: true,
	},
	loopbackDownloads: {
		flag: "loopback-downloads",
		description: "images may come from this machine's own addresses (tests only)",
		fallback: "false",
		boolean: true,
		hidden: true,
	},
	haltFile: {
		flag: "halt-file",
		description: "file with the step at which the process stops (tests only)",
		fallback: null,
		path: true,
		hidden: true,
	},
} as const satisfies Record<string, Setting>;

type SettingName = keyof typeof settings;
const settingNames = Object.keys(settings) as SettingName[];
const settingOf = (name: SettingName): Setting => settings[name];

/**
 * @param argv what follows `serve`
 * @throws AppError `invalid` with the setting's name and where it came from
 */
export function loadConfig(argv: readonly string[], environment: Record<string, string | undefined>): Config {
	const flags = parseFlags(argv);
	const file = parseFile(
		flags.config ?? environment.LIMIQUANTIX_CONFIG ?? "/etc/limiquantix/config.toml",
		flags.config !== undefined,
	);
	const value = (name: SettingName): string | null => {
		const { flag, fallback, hidden } = settingOf(name);
		// One for tests is not left behind in a file, or inherited.
		if (hidden) return flags[flag] ?? fallback;
		return flags[flag] ?? environment[environmentName(flag)] ?? file[flag] ?? fallback;
	};
	const required = (name: SettingName): string => {
		const text = value(name);
		if (!text) throw new AppError("invalid", `The setting ${settingOf(name).flag} must not be empty.`);
		return text;
	};
	const config: Config = {
		dataDir: absolute("data-dir", required("dataDir")),
		runDir: absolute("run-dir", required("runDir")),
		listen: parseHostPort("listen", required("listen")),
		peerListen: parseHostPort("peer-listen", required("peerListen")),
		libvirtUri: required("libvirt"),
		insecureHttp: parseBoolean("insecure-http", required("insecureHttp")),
		logLevel: oneOf("log-level", required("logLevel"), ["debug", "info", "warn", "error"] as const),
		logFormat: oneOf("log-format", required("logFormat"), ["json", "text"] as const),
		nodeName: value("nodeName"),
		demoImage: value("demoImage"),
		accelerator:
			value("accelerator") === null ? null : oneOf("accelerator", required("accelerator"), ["kvm", "tcg"] as const),
		defaultPoolPath: value("defaultPoolPath"),
		fsync: !parseBoolean("no-fsync", required("noFsync")),
		snapshotEntries:
			value("snapshotEntries") === null ? null : parseCount("snapshot-entries", required("snapshotEntries")),
		tickMs: value("tickMs") === null ? null : parseCount("tick-ms", required("tickMs")),
		clockAheadMs: parseOffset("clock-ahead-ms", required("clockAheadMs")),
		testSettings: settingNames
			.map(settingOf)
			.filter(({ flag, hidden, fallback }) => hidden && flags[flag] !== undefined && flags[flag] !== fallback)
			.map(({ flag }) => flag),
		loopbackDownloads: parseBoolean("loopback-downloads", required("loopbackDownloads")),
		haltFile: value("haltFile") === null ? null : absolute("halt-file", required("haltFile")),
	};
	if (config.insecureHttp && !isLoopback(config.listen.host))
		throw new AppError("invalid", `insecure-http is only accepted on loopback, not on ${config.listen.host}.`);
	return Object.freeze(config);
}

const environmentName = (flag: string): string => `LIMIQUANTIX_${flag.toUpperCase().replaceAll("-", "_")}`;

function parseFlags(argv: readonly string[]): Record<string, string | undefined> {
	const options: Record<string, { type: "string" | "boolean" }> = { config: { type: "string" } };
	for (const name of settingNames)
		options[settingOf(name).flag] = { type: settingOf(name).boolean ? "boolean" : "string" };
	try {
		const { values } = parseArgs({ args: [...argv], options, strict: true, allowPositionals: false });
		const paths = new Set(settingNames.map(settingOf).flatMap(({ flag, path }) => (path ? [flag] : [])));
		return Object.fromEntries(
			Object.entries(values).map(([flag, given]) => [
				flag,
				paths.has(flag) && given !== "" ? resolve(String(given)) : String(given),
			]),
		);
	} catch (error) {
		throw new AppError("invalid", error instanceof Error ? error.message : String(error));
	}
}

function parseFile(path: string, explicit: boolean): Record<string, string> {
	if (!existsSync(path)) {
		if (explicit) throw new AppError("invalid", `The configuration file ${path} does not exist.`);
		return {};
	}
	let parsed: Record<string, unknown>;
	try {
		parsed = Bun.TOML.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
	} catch (error) {
		throw new AppError("invalid", `${path} is not valid TOML: ${error instanceof Error ? error.message : error}`);
	}
	const shown = settingNames.map(settingOf).filter(({ hidden }) => !hidden);
	const known = new Set(shown.map(({ flag }) => flag));
	return Object.fromEntries(
		Object.entries(parsed).map(([key, given]) => {
			if (!known.has(key)) throw new AppError("invalid", `${path}: there is no setting "${key}".`);
			if (typeof given === "object") throw new AppError("invalid", `${path}: "${key}" must be a single value.`);
			return [key, String(given)];
		}),
	);
}

/** "127.0.0.1:8443", "[::1]:8443", ":8443" (all addresses). */
export function parseHostPort(name: string, text: string): HostPort {
	const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
	const port = Number(match?.[3]);
	if (!match || port > 65_535) throw new AppError("invalid", `${name}: "${text}" is not HOST:PORT.`);
	return { host: match[1] ?? (match[2] || "::"), port };
}

export const isLoopback = (host: string): boolean => /^(127(\.\d{1,3}){3}|::1|localhost)$/.test(host);

function parseBoolean(name: string, text: string): boolean {
	return oneOf(name, text, ["true", "false"] as const) === "true";
}

function parseCount(name: string, text: string): number {
	if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
	throw new AppError("invalid", `${name}: "${text}" is not a whole number above 0.`);
}

function parseOffset(name: string, text: string): number {
	if (/^(0|-?[1-9]\d{0,13})$/.test(text)) return Number(text);
	throw new AppError("invalid", `${name}: "${text}" is not a whole number.`);
}

function oneOf<const T extends readonly string[]>(name: string, text: string, allowed: T): T[number] {
	if (!allowed.includes(text)) throw new AppError("invalid", `${name}: "${text}" is not one of ${allowed.join(", ")}.`);
	return text;
}

function absolute(name: string, path: string): string {
	if (!path.startsWith("/")) throw new AppError("invalid", `${name}: "${path}" is not an absolute path.`);
	return path.replace(/\/+$/, "") || "/";
}

/** Text for `limiquantix serve --help`. */
export function configHelp(): string {
	const lines = settingNames
		.map(settingOf)
		.filter((setting) => !setting.hidden)
		.map((setting) => {
			const left = `  --${setting.flag}${setting.boolean ? "" : " VALUE"}`;
			const shown = setting.fallback && setting.fallback !== "false" ? ` (default ${setting.fallback})` : "";
			return `${left.padEnd(30)}${setting.description}${shown}`;
		});
	return [
		"Usage: limiquantix serve [OPTIONS]",
		"",
		"Runs this node: cluster state, API, UI, and the virtual machines of this host.",
		"",
		"Options:",
		`${"  --config FILE".padEnd(30)}settings as TOML (default /etc/limiquantix/config.toml)`,
		...lines,
		"",
		"Each option is also an environment variable (LIMIQUANTIX_DATA_DIR) and a key of the file (data-dir).",
	].join("\n");
}
