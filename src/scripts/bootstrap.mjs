#!/usr/bin/env node
/**
 * What runs before Bun exists, in plain Node (18 or later): installs the Debian packages that a command needs, then
 * the npm dependencies (`npm ci`, which brings Bun), then hands over to the TypeScript of that command. Safe to
 * repeat: what is there is left alone. Nothing outside Debian's packages and node_modules/ is changed.
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { packagesFor } from "./debian-packages.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
process.chdir(root);

/** command → the TypeScript that does it. */
const commands = {
	start: "src/scripts/start.ts",
	test: "src/scripts/test.ts",
	"test:lab": "src/scripts/test.ts",
	check: "src/scripts/check.ts",
	build: "src/scripts/build.ts",
	bench: "src/scripts/bench.ts",
	generate: "src/scripts/generate.ts",
	linearizable: "src/scripts/linearizable.ts",
	sim: "src/scripts/simulate.ts",
	soak: "src/scripts/soak.ts",
};

/**
 * A simulation takes one core, and collecting and compiling beside it costs more than in turn with it: 5 % of all CPU time when
 * nothing else runs, and up to 40 % on a busy machine (docs/simulator.md). Read by Bun's engine when it starts.
 */
const singleThread = { BUN_JSC_useConcurrentGC: "0", BUN_JSC_numberOfGCMarkers: "1", BUN_JSC_useConcurrentJIT: "0" };
const environments = { sim: singleThread };

/** dpkg-query's own placeholders. */
const packageFormat = ["-f=$", "{Package} $", "{db:Status-Status}\\n"].join("");
const [command = "", ...rest] = process.argv.slice(2);
const script = commands[command];
if (!script) fail(2, `usage: node src/scripts/bootstrap.mjs ${Object.keys(commands).join("|")} [ARGUMENTS]`);

installDebianPackages(packagesFor(command));
installNodeModules();
handOver();

function installDebianPackages(wanted) {
	if (wanted.length === 0) return;
	if (!existsSync("/usr/bin/dpkg-query"))
		fail(1, `This needs Debian 12 or 13 with these packages: ${wanted.join(" ")}`);
	const query = spawnSync("dpkg-query", ["-W", packageFormat, ...wanted], { encoding: "utf8" });
	const installed = new Set(
		query.stdout
			.split("\n")
			.filter((line) => line.endsWith(" installed"))
			.map((line) => line.split(" ")[0]),
	);
	const missing = wanted.filter((name) => !installed.has(name));
	if (missing.length === 0) return;
	if (process.getuid?.() !== 0)
		fail(1, `Run this as root, or install these Debian packages first: ${missing.join(" ")}`);
	say(`Installing Debian packages: ${missing.join(" ")}`);
	const options = {
		stdio: ["ignore", "ignore", "inherit"],
		env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
	};
	if (spawnSync("apt-get", ["update", "-qq"], options).status !== 0) fail(1, "apt-get update failed.");
	const install = ["install", "-y", "-qq", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0", ...missing];
	if (spawnSync("apt-get", install, options).status !== 0) fail(1, "apt-get install failed.");
}

function installNodeModules() {
	const lock = readFileSync("package-lock.json");
	const stamp = join("node_modules", ".limiquantix-lock");
	const hash = createHash("sha256").update(lock).digest("hex");
	if (existsSync(stamp) && readFileSync(stamp, "utf8") === hash && bunPath()) return;
	say("Installing npm dependencies (npm ci)");
	rmSync(stamp, { force: true });
	const npm = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
		stdio: ["ignore", "ignore", "inherit"],
	});
	if (npm.status !== 0) fail(1, "npm ci failed.");
	if (!bunPath()) fail(1, "npm ci did not bring Bun for this machine (x64 or arm64 Linux is needed).");
	mkdirSync("node_modules", { recursive: true });
	writeFileSync(stamp, hash);
}

/** Bun's executable out of its npm packages: in `bun` once npm ran its install script, else still in `@oven/…`. */
function bunPath() {
	const arch = process.arch === "arm64" ? "aarch64" : "x64";
	const candidates = [
		join(root, "node_modules", "bun", "bin", "bun.exe"),
		join(root, "node_modules", "@oven", `bun-linux-${arch}`, "bin", "bun"),
	];
	return candidates.find((path) => existsSync(path) && statSync(path).size > 1024 * 1024) ?? null;
}

function handOver() {
	const child = spawn(bunPath(), [script, ...(command === "test:lab" ? ["--lab", ...rest] : rest)], {
		stdio: "inherit",
		env: {
			...environments[command],
			...process.env,
			PATH: `${join(root, "node_modules", ".bin")}:${process.env.PATH}`,
			FORCE_COLOR: process.env.FORCE_COLOR ?? "0",
		},
	});
	for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
	child.on("exit", (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
}

function say(text) {
	console.error(`» ${text}`);
}

function fail(code, text) {
	console.error(text);
	process.exit(code);
}
