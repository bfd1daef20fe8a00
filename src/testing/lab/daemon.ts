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

export const executablePath = join(import.meta.dir, "../../../dist/limiquantix");
const startLimitMs = 60_000;

export type LabDaemonOptions = {
	libvirtUri: string;
	demoImage?: string;
	/** Keep state here and leave it at the end, instead of a temporary folder. */
	folder?: string;
	arguments?: string[];
};

export type LabDaemon = {
	/** http://127.0.0.1:PORT */
	readonly url: string;
	readonly pid: number;
	readonly dataDir: string;
	readonly socketPath: string;
	/** As root over the local socket. */
	readonly api: ApiClient<OperationTypes>;
	/** Everything that it logged so far, over all starts. */
	log(): string;
	initialPassword(): string;
	/** After kill9 or term: the same folder again. */
	start(): Promise<void>;
	kill9(): Promise<void>;
	/** SIGTERM, and waits for the end. */
	term(): Promise<number | null>;
	stop(): Promise<void>;
};

export async function startLabDaemon(options: LabDaemonOptions): Promise<LabDaemon> {
	assert(existsSync(executablePath), "dist/limiquantix is missing: npm run build");
	const folder = options.folder ?? mkdtempSync("/tmp/lqx-node-");
	const dataDir = join(folder, "data");
	const runDir = join(folder, "run");
	const socketPath = join(runDir, "limiquantix.sock");
	let child: Bun.Subprocess<"ignore", "ignore", "pipe"> | null = null;
	let url = "";
	let log = "";

	const start = async () => {
		assert(child === null, "the daemon runs already");
		const process = Bun.spawn(
			[
				...[executablePath, "serve", "--data-dir", dataDir, "--run-dir", runDir, "--libvirt", options.libvirtUri],
				...["--listen", "127.0.0.1:0", "--peer-listen", "127.0.0.1:0", "--insecure-http", "--accelerator", "tcg"],
				...(options.demoImage ? ["--demo-image", options.demoImage] : []),
				...(options.arguments ?? []),
			],
			{ stdin: "ignore", stdout: "ignore", stderr: "pipe" },
		);
		child = process;
		const from = log.length;
		void collect(process.stderr, (text) => {
			log += text;
		});
		url = await waitUntil("the daemon to be ready", startLimitMs, () => {
			if (process.exitCode !== null) {
				child = null;
				throw new AppError("internal", `The daemon ended with ${process.exitCode}:\n${log.slice(from)}`);
			}
			return readyUrl(log.slice(from));
		});
	};
	const end = async (signal: "SIGKILL" | "SIGTERM"): Promise<number | null> => {
		const process = child;
		if (!process) return null;
		process.kill(signal);
		await process.exited;
		child = null;
		return process.exitCode;
	};
	await start();
	return {
		get url() {
			return url;
		},
		get pid() {
			assert(child !== null, "the daemon does not run");
			return child.pid;
		},
		dataDir,
		socketPath,
		api: createApiClient<OperationTypes>(operations, {
			baseUrl: "http://localhost",
			fetch: (address, init) => fetch(address, { ...init, unix: socketPath } as RequestInit),
		}),
		log: () => log,
		initialPassword: () => readFileSync(join(dataDir, "initial-admin-password"), "utf8").trim(),
		start,
		kill9: async () => void (await end("SIGKILL")),
		term: () => end("SIGTERM"),
		async stop() {
			await end("SIGTERM");
			if (options.folder === undefined) rmSync(folder, { recursive: true, force: true });
		},
	};
}

/** From the log line that says that the API answers. */
function readyUrl(log: string): string | undefined {
	for (const line of log.split("\n")) {
		if (!line.includes('"message":"ready"')) continue;
		const { url } = JSON.parse(line) as { url?: string };
		if (url) return url;
	}
	return undefined;
}

async function collect(stream: ReadableStream<Uint8Array>, add: (text: string) => void): Promise<void> {
	const decoder = new TextDecoder();
	for await (const chunk of stream) add(decoder.decode(chunk, { stream: true }));
}
