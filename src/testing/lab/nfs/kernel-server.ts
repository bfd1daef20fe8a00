/** The kernel's NFS server inside of the storage lab VM, by the programs of nfs-kernel-server. One for the whole machine. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { run } from "../../../lib/run.ts";
import { waitUntil } from "../wait-until.ts";

/** Paths of exports are below it. */
export const exportRoot = "/data";
const limit = { timeoutMs: 30_000 };
/** NFS 4 clients wait so long after the server's start; the usual 90 s are too long for a test. */
const graceSeconds = 5;

export type Export = { path: string; options: string };

/** Starts what a server needs: rpcbind, statd, mountd, and threads in the kernel. Again is fine. */
export async function startServer(): Promise<void> {
	await mkdir("/run/rpcbind", { recursive: true });
	await writeFile("/etc/exports", "");
	// The root of NFS 4's tree must be a file system that can be exported, which an overlay is not.
	await writeFile("/etc/nfs.conf", `[exports]\nrootdir=${exportRoot}\n`);
	await run("mount", ["-t", "nfsd", "--", "nfsd", "/proc/fs/nfsd"], { ...limit, okExitCodes: [0, 32] });
	// Who keeps note of NFS 4 clients: without it the server waits half a minute for each.
	await mkdir("/run/rpc_pipefs", { recursive: true });
	if (!(await readFile("/proc/self/mountinfo", "utf8")).includes(" - rpc_pipefs ")) {
		await run("mount", ["-t", "rpc_pipefs", "--", "rpc_pipefs", "/run/rpc_pipefs"], limit);
		await run("nfsdcld", ["-p", "/run/rpc_pipefs"], limit);
	}
	for (const name of ["nfsv4gracetime", "nfsv4leasetime"])
		await writeFile(`/proc/fs/nfsd/${name}`, `${graceSeconds}`).catch(() => {});
	await run("rpcbind", ["-w"], { ...limit, okExitCodes: [0, 1, 2, 255] });
	await run("rpc.statd", [], { ...limit, okExitCodes: [0, 1] });
	await startThreads();
	if (!(await answers("mountd"))) await run("rpc.mountd", [], limit);
	await waitUntil("the server to answer", 20_000, async () => (await answers("nfs")) && (await answers("mountd")));
}

async function answers(program: string): Promise<boolean> {
	const { exitCode } = await run("rpcinfo", ["-t", "127.0.0.1", program, "3"], { ...limit, okExitCodes: [0, 1] });
	return exitCode === 0;
}

export const startThreads = async (): Promise<void> =>
	void (await run("rpc.nfsd", ["-V", "3", "-V", "4.2", "4"], limit));
export const stopThreads = async (): Promise<void> => void (await run("rpc.nfsd", ["0"], limit));

export async function share({ path, options }: Export): Promise<void> {
	await run("exportfs", ["-o", options, `127.0.0.1:${path}`], limit);
}

export async function unshare(path: string): Promise<void> {
	await run("exportfs", ["-u", `127.0.0.1:${path}`], { ...limit, okExitCodes: [0, 1] });
}

/** While it lasts, nothing goes to the server or comes from it, and nobody is told. */
export async function dropPackets(): Promise<AsyncDisposable> {
	const rules = [
		"table inet cut {",
		"chain input {",
		"type filter hook input priority 0;",
		"tcp dport 2049 drop",
		"tcp sport 2049 drop",
		"}",
		"}",
		"",
	].join("\n");
	await run("nft", ["-f", "-"], { ...limit, stdin: rules });
	let over = false;
	return {
		async [Symbol.asyncDispose]() {
			if (over) return;
			over = true;
			await run("nft", ["delete", "table", "inet", "cut"], limit);
		},
	};
}
