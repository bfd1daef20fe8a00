/**
 * The kernel's NFS server on a host of the lab's network: versions 3 to 4.2, with its own rpcbind, mountd and record of clients.
 * A lease lasts 10 s and so do the grace periods after a restart, in which clients take back what they had open.
 */
import { mkdir, readdir, readFile, readlink, writeFile } from "node:fs/promises";
import { waitUntil } from "../../wait-until.ts";
import type { LabHost } from "./lab-network.ts";

export type NfsExport = {
	/** On a file system that can be exported: /data, not the root. */
	path: string;
	/** As in exports(5); `rw,no_root_squash` when nothing is said. */
	options?: string;
};

export type NfsServer = AsyncDisposable & {
	readonly address: string;
	/** May be called again with other options. Clients that have it mounted see the change. */
	share(exported: NfsExport): Promise<void>;
	/** Its files become stale handles for those who have it mounted, or no access, as the kernel likes. */
	unshare(path: string): Promise<void>;
	/** The service ends, as by an administrator; the host still refuses connections. */
	stop(): Promise<void>;
	start(): Promise<void>;
	/** It takes packets and never answers: `host.drop()`. */
	hang(): Promise<void>;
	resume(): Promise<void>;
};

const threads = 4;
const leaseSeconds = 10;
const limitMs = 30_000;
const daemonLimitMs = 24 * 3600 * 1000;
const defaultOptions = "rw,no_root_squash,no_subtree_check,insecure";

export async function startNfsServer(host: LabHost, exports: readonly NfsExport[]): Promise<NfsServer> {
	const server = new KernelNfsServer(host);
	await server.prepare();
	try {
		for (const exported of exports) await server.share(exported);
		await server.start();
		return server;
	} catch (error) {
		await server.stop();
		throw error;
	}
}

class KernelNfsServer implements NfsServer {
	readonly address: string;
	readonly #host: LabHost;
	readonly #daemons: { program: string; done: Promise<void> }[] = [];
	#failure: unknown;

	constructor(host: LabHost) {
		this.#host = host;
		this.address = host.addresses[0] ?? "";
	}

	/** Folders of its own where all servers look, and the file systems by which one talks to the kernel. */
	async prepare(): Promise<void> {
		await this.#mount("tmpfs", "/var/lib/nfs");
		await this.#mount("tmpfs", "/run/lock");
		await this.#host.run("mkdir", ["-p", "/var/lib/nfs/nfsdcld", "/var/lib/nfs/rpc_pipefs", "/var/lib/nfs/sm"]);
		await this.#host.run("touch", ["/var/lib/nfs/etab", "/var/lib/nfs/rmtab", "/var/lib/nfs/state"]);
		await this.#mount("rpc_pipefs", "/var/lib/nfs/rpc_pipefs");
		await this.#mount("nfsd", "/proc/fs/nfsd");
		for (const file of ["nfsv4leasetime", "nfsv4gracetime"]) await this.#set(file, String(leaseSeconds));
		// Of the locks of NFS 3, by default five times as long.
		await writeFile("/proc/sys/fs/nfs/nlm_grace_period", String(leaseSeconds));
	}

	async start(): Promise<void> {
		this.#failure = undefined;
		this.#spawn("rpcbind", ["-f"]);
		await this.#answers("rpcinfo", ["-p", "127.0.0.1"]);
		this.#spawn("nfsdcld", ["-F", "-p", "/var/lib/nfs/rpc_pipefs", "-s", "/var/lib/nfs/nfsdcld"]);
		await waitUntil("the NFS server's record of clients", limitMs, () => this.#recordsClients());
		this.#spawn("rpc.statd", ["-F"]);
		this.#spawn("rpc.mountd", ["-F"]);
		await this.#host.run("rpc.nfsd", ["-V", "3", "-V", "4", String(threads)]);
		await this.#answers("showmount", ["-e", "127.0.0.1"]);
	}

	async stop(): Promise<void> {
		await this.#host.run("rpc.nfsd", ["0"]);
		for (const { program } of this.#daemons)
			for (const pid of await this.#pidsOf(program)) process.kill(pid, "SIGKILL");
		await Promise.all(this.#daemons.map(({ done }) => done));
		this.#daemons.length = 0;
	}

	async share({ path, options = "" }: NfsExport): Promise<void> {
		await mkdir(path, { recursive: true });
		const all = [defaultOptions, options].filter((part) => part !== "").join(",");
		await this.#host.run("exportfs", ["-i", "-o", all, `*:${path}`]);
	}

	async unshare(path: string): Promise<void> {
		await this.#host.run("exportfs", ["-u", `*:${path}`]);
		await this.#host.run("exportfs", ["-f"]);
	}

	async hang(): Promise<void> {
		await this.#host.drop();
	}

	async resume(): Promise<void> {
		await this.#host.admit();
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#host.admit();
		await this.stop();
		await this.#host.run("umount", ["/proc/fs/nfsd"]);
	}

	async #mount(type: string, path: string): Promise<void> {
		await this.#host.run("mount", ["-t", type, type, path]);
	}

	async #set(file: string, value: string): Promise<void> {
		await writeFile(`/proc/${this.#host.namespace.initPid}/root/proc/fs/nfsd/${file}`, value);
	}

	#spawn(program: string, args: readonly string[]): void {
		const done = this.#host.namespace.run(program, args, { timeoutMs: daemonLimitMs }).then(
			() => undefined,
			(error: unknown) => {
				// Killed by us, when it is stopped; said by whoever waits for what it should do, otherwise.
				this.#failure = error;
			},
		);
		this.#daemons.push({ program, done });
	}

	async #pidsOf(program: string): Promise<number[]> {
		const pids = this.#host.namespace.processIds();
		const names = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/comm`, "utf8").catch(() => "")));
		return pids.filter((_, at) => names[at]?.trim() === program);
	}

	/** It watches for the pipe on which the kernel asks which clients it knew. The kernel does without when nobody does. */
	async #recordsClients(): Promise<boolean> {
		for (const pid of await this.#pidsOf("nfsdcld"))
			for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => []))
				if ((await readlink(`/proc/${pid}/fd/${fd}`).catch(() => "")) === "anon_inode:inotify") return true;
		return false;
	}

	async #answers(program: string, args: readonly string[]): Promise<void> {
		await waitUntil(`${program} on the NFS server`, limitMs, async () => {
			if (this.#failure !== undefined) throw this.#failure;
			return this.#host.run(program, args).then(
				() => true,
				() => false,
			);
		});
	}
}
