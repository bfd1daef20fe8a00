/**
 * Keeps a private libvirtd running for `npm start` on machines where the system's cannot be used: no systemd to start
 * it, or a /dev/kvm that exists and cannot run guests. It is a process of its own, so that VMs go on while the node or
 * `npm start` restarts; `npm start -- --stop` ends it. State (socket, pid) is in /run/limiquantix-dev/.
 */
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startLibvirtd } from "../testing/lab/libvirtd.ts";
import { waitUntil } from "../testing/lab/wait-until.ts";

const folder = "/run/limiquantix-dev";
const recordPath = join(folder, "libvirt.json");
const logPath = join(folder, "libvirt.log");

export type PrivateLibvirtRecord = { pid: number; uri: string };

/** The one that runs, or a new one. */
export async function ensurePrivateLibvirt(options: { showKvm: boolean }): Promise<PrivateLibvirtRecord> {
	const running = readRecord();
	if (running) return running;
	mkdirSync(folder, { recursive: true, mode: 0o711 });
	const log = openSync(logPath, "w", 0o600);
	const child = Bun.spawn([process.execPath, import.meta.path, ...(options.showKvm ? ["--show-kvm"] : [])], {
		stdin: "ignore",
		stdout: log,
		stderr: log,
		detached: true,
	});
	child.unref();
	return waitUntil("the private libvirtd to start", 90_000, () => {
		if (child.exitCode !== null)
			throw new Error(`The private libvirtd did not start:\n${readFileSync(logPath, "utf8")}`);
		return readRecord() ?? undefined;
	});
}

/** Ends it with all its VMs. True when there was one. */
export async function stopPrivateLibvirt(): Promise<boolean> {
	const running = readRecord();
	if (!running) return false;
	process.kill(running.pid, "SIGTERM");
	await waitUntil("the private libvirtd to stop", 60_000, () => readRecord() === null);
	return true;
}

/** Null when none runs: the record names a process that must still be this program. */
export function readRecord(): PrivateLibvirtRecord | null {
	if (!existsSync(recordPath)) return null;
	const record = JSON.parse(readFileSync(recordPath, "utf8")) as PrivateLibvirtRecord;
	const commandLine = `/proc/${record.pid}/cmdline`;
	return existsSync(commandLine) && readFileSync(commandLine, "utf8").includes("private-libvirt") ? record : null;
}

if (import.meta.main) {
	const libvirtd = await startLibvirtd({
		name: "limiquantix-dev",
		folder: join(folder, "libvirt"),
		network: "machine",
		showKvm: process.argv.includes("--show-kvm"),
	});
	writeFileSync(recordPath, JSON.stringify({ pid: process.pid, uri: libvirtd.uri }), { mode: 0o600 });
	const keepAlive = setInterval(() => {}, 3_600_000);
	const stop = async () => {
		await libvirtd.stop();
		rmSync(recordPath, { force: true });
		clearInterval(keepAlive);
		process.exit(0);
	};
	process.on("SIGTERM", stop);
	process.on("SIGINT", () => {});
	process.on("SIGHUP", () => {});
}
