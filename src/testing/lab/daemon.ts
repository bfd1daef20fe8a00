/**
 * The built executable as a process, for tests that need the real thing: `dist/limiquantix serve` on a data folder of
 * its own, with a libvirtd that the caller gives. `kill9` and `start` make restarts and crashes; `stop` ends it in good
 * order and removes the folder. VMs belong to libvirt and go on; the caller stops that.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type OperationTypes, operations } from "../../gen/api.ts";
import { type ApiClient, createApiClient } from "../../lib/api-client.ts";
import { assert } from "../../lib/assert.ts";
import { AppError } from "../../lib/errors.ts";
import { waitUntil } from "./wait-until.ts";

/** LIMIQUANTIX_TEST_EXECUTABLE: another build than that of this folder. */
export const executablePath =
	process.env.LIMIQUANTIX_TEST_EXECUTABLE ?? join(import.meta.dir, "../../../dist/limiquantix");
const startLimitMs = 60_000;
const endLimitMs = 30_000;

export type LabDaemonOptions = {
	libvirtUri: string;
	demoImage?: string;
	/** Keep state here and leave it at the end, instead of a temporary folder. */
	folder?: string;
	/** HTTPS with a certificate of its own, instead of plain HTTP. */
	tls?: boolean;
	/** As a function: asked at each start. */
	arguments?: readonly string[] | (() => readonly string[]);
	/** Asked at each start; another build than `executablePath`. */
	executable?: () => string;
	/** Program and arguments that become the daemon: `["nsenter", "--mount=…", "--"]`. Must not fork. */
	prefix?: readonly string[];
};

export type LabDaemon = {
	/** http://127.0.0.1:PORT, or https:// with `tls`. Another port after each start. */
	readonly url: string;
	/** SHA-256 of the certificate, as AA:BB:…; empty without TLS. */
	readonly fingerprint: string;
	readonly pid: number;
	readonly dataDir: string;
	readonly runDir: string;
	readonly socketPath: string;
	/** As root over the local socket. */
	readonly api: ApiClient<OperationTypes>;
	/** Everything that it logged so far, over all starts. */
	log(): string;
	initialPassword(): string;
	/** Null while it runs, and after a signal. */
	exitCode(): number | null;
	/** False before the first start, and after any end. */
	alive(): boolean;
	/** After kill9, term or an end of its own: the same folder again. */
	start(): Promise<void>;
	/** Starts it where it must not come up: resolves with how it ended and what it said, rejects when it serves. */
	startRefused(): Promise<{ exitCode: number | null; said: string }>;
	/** Does nothing when it does not run. */
	kill9(): Promise<void>;
	/** SIGTERM, and waits for the end. The exit code; null when it did not run, or had to be killed after 30 s. */
	term(): Promise<number | null>;
	stop(): Promise<void>;
};

type Ready = { url: string; fingerprint?: string };

export async function startLabDaemon(options: LabDaemonOptions): Promise<LabDaemon> {
	const daemon = prepareLabDaemon(options);
	try {
		await daemon.start();
		return daemon;
	} catch (error) {
		await daemon.stop();
		throw error;
	}
}

/** As startLabDaemon, not started yet. */
export function prepareLabDaemon(options: LabDaemonOptions): LabDaemon {
	assert(existsSync(executablePath), "dist/limiquantix is missing: npm run build");
	const folder = options.folder ?? mkdtempSync("/tmp/lqx-node-");
	const dataDir = join(folder, "data");
	const runDir = join(folder, "run");
	const socketPath = join(runDir, "limiquantix.sock");
	const executable = options.executable ?? (() => executablePath);
	const command = () => [
		// It ends with this process, however that ends.
		...["setpriv", "--pdeathsig", "KILL", "--", ...(options.prefix ?? []), executable(), "serve"],
		...["--data-dir", dataDir, "--run-dir", runDir, "--libvirt", options.libvirtUri],
		...["--listen", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0", "--accelerator", "tcg"],
		...(options.tls ? [] : ["--insecure-http"]),
		...(options.demoImage ? ["--demo-image", options.demoImage] : []),
		...(typeof options.arguments === "function" ? options.arguments() : (options.arguments ?? [])),
	];
	let child: Bun.Subprocess<"ignore", "ignore", "pipe"> | null = null;
	let ready: Ready = { url: "" };
	let log = "";

	const spawn = () => {
		assert(child === null || child.exitCode !== null || child.signalCode !== null, "the daemon runs already");
		// Said, since what was taken out of the environment meanwhile would still be there by default.
		const how = { stdin: "ignore", stdout: "ignore", stderr: "pipe", env: process.env } as const;
		const spawned = Bun.spawn(command(), how);
		child = spawned;
		const from = log.length;
		const logged = collect(spawned.stderr, (text) => {
			log += text;
		});
		return { process: spawned, logged, said: () => log.slice(from) };
	};
	const start = async () => {
		const { process, logged, said } = spawn();
		ready = await waitUntil("the daemon to be ready", startLimitMs, async () => {
			if (process.exitCode !== null || process.signalCode !== null) {
				await logged;
				throw new AppError("internal", `The daemon ended with ${process.exitCode}:\n${said()}`);
			}
			return readyLine(said());
		});
	};
	const end = async (signal: "SIGKILL" | "SIGTERM"): Promise<number | null> => {
		const process = child;
		if (!process) return null;
		process.kill(signal);
		const late = setTimeout(() => {
			log += "the daemon did not end in time and was killed\n";
			process.kill("SIGKILL");
		}, endLimitMs);
		await process.exited;
		clearTimeout(late);
		child = null;
		return process.exitCode;
	};
	return {
		get url() {
			return ready.url;
		},
		get fingerprint() {
			return ready.fingerprint ?? "";
		},
		get pid() {
			assert(child !== null, "the daemon does not run");
			return child.pid;
		},
		dataDir,
		runDir,
		socketPath,
		api: createApiClient<OperationTypes>(operations, {
			baseUrl: "http://localhost",
			fetch: (address, init) => fetch(address, { ...init, unix: socketPath } as RequestInit),
		}),
		log: () => log,
		initialPassword: () => readFileSync(join(dataDir, "initial-admin-password"), "utf8").trim(),
		exitCode: () => child?.exitCode ?? null,
		alive: () => child !== null && child.exitCode === null && child.signalCode === null,
		start,
		async startRefused() {
			const { process, logged, said } = spawn();
			await waitUntil("the daemon to end", startLimitMs, () => {
				if (readyLine(said())) throw new AppError("internal", "The daemon serves although it must not.");
				return process.exitCode !== null || process.signalCode !== null;
			});
			await logged;
			return { exitCode: process.exitCode, said: said() };
		},
		kill9: async () => void (await end("SIGKILL")),
		term: () => end("SIGTERM"),
		async stop() {
			await end("SIGTERM");
			if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
		},
	};
}

/** From the log line that says that the API answers. */
function readyLine(log: string): Ready | undefined {
	for (const line of log.split("\n")) {
		if (!line.includes('"message":"ready"') || !line.endsWith("}")) continue;
		const { url, fingerprint } = JSON.parse(line) as Partial<Ready>;
		if (url) return { url, ...(fingerprint ? { fingerprint } : {}) };
	}
	return undefined;
}

async function collect(stream: ReadableStream<Uint8Array>, add: (text: string) => void): Promise<void> {
	const decoder = new TextDecoder();
	for await (const chunk of stream) add(decoder.decode(chunk, { stream: true }));
}
