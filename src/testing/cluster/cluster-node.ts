/**
 * One node of a cluster of real processes: the built executable with a network namespace of its own and, for its data, a
 * file system in memory that can be filled up. Every fault that a node can suffer is a method here; those of the links between
 * nodes are in cluster-network.ts. All of it ends with this process, however that ends.
 *
 * There is no libvirt, unless one is given: what a cluster does does not depend on it, and a node without it says so and goes on.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../lib/assert.ts";
import { type RunOptions, run } from "../../lib/run.ts";
import { MiB } from "../../lib/units.ts";
import { pathsOf } from "../../store/open-store.ts";
import type { Host } from "../bench/cluster/network.ts";
import { type LabDaemon, prepareLabDaemon } from "../lab/daemon.ts";
import { type MountNamespace, startMountNamespace } from "../lab/mount-namespace.ts";
import { waitUntil } from "../lab/wait-until.ts";
import { Halts } from "./halts.ts";

export const peerPort = 8444;
/** Of every address that the node has. */
export const everywhere = `0.0.0.0:${peerPort}`;
/** Of a node without VMs, and above what the log keeps free for itself. */
const diskBytes = 192 * MiB;
/** So few that nodes that come, or come back, need a snapshot. */
const snapshotEntries = 150;
const poolBytes = 4 * MiB;
/** The same on each node, as it is on machines that were installed alike: a pool of another folder would clash. */
const poolPathOf = (folder: string): string => join(folder, "..", "pool");
const commandLimitMs = 60_000;
const nobody = "qemu+unix:///system?socket=/nonexistent/libvirt-sock";

export type ClusterNodeParts = {
	name: string;
	folder: string;
	host: Host;
	executable: string;
	/** Left out: there is none. */
	libvirtUri?: string;
	/** The pool lies on the same file system as the data, as it does on most hosts. */
	sharedDisk?: boolean;
};

export class ClusterNode {
	readonly name: string;
	readonly host: Host;
	readonly daemon: LabDaemon;
	/** Stops it at a step of its work. */
	readonly halts: Halts;
	/** The build that the next start is of. */
	executable: string;
	/** By how much its clock is ahead from the next start on. */
	clockAheadMs = 0;
	/** Where the next start listens for the others. */
	peerListen = everywhere;
	readonly #folder: string;
	readonly #mounts: MountNamespace;
	#nodeId: string | null = null;
	#paused = false;
	#started = false;

	private constructor({ name, folder, host, executable, libvirtUri }: ClusterNodeParts, mounts: MountNamespace) {
		this.name = name;
		this.executable = executable;
		this.host = host;
		this.#folder = folder;
		this.#mounts = mounts;
		this.halts = new Halts(join(folder, "halt"), () => this.daemon);
		this.daemon = prepareLabDaemon({
			executable: () => this.executable,
			libvirtUri: libvirtUri ?? nobody,
			folder,
			prefix: [...host.prefix, ...mounts.prefix],
			arguments: () => [
				...["--peer-listen", this.peerListen, "--node-name", name],
				...["--default-pool-path", poolPathOf(folder), "--snapshot-entries", String(snapshotEntries)],
				...(this.clockAheadMs === 0 ? [] : [`--clock-ahead-ms=${this.clockAheadMs}`]),
				...this.halts.arguments,
			],
		});
	}

	/** Not started yet. `folder` is made; whoever gives it removes it. */
	static async make(parts: ClusterNodeParts): Promise<ClusterNode> {
		const { folder } = parts;
		const mounts = await startMountNamespace();
		try {
			const data = join(folder, "data");
			for (const path of [data, poolPathOf(folder)]) mkdirSync(path, { recursive: true });
			await mounts.mountMemory(data, diskBytes);
			if (parts.sharedDisk) {
				const pool = join(data, "pools");
				await mounts.run("mkdir", [pool]);
				await mounts.bind(pool, poolPathOf(folder));
			} else await mounts.mountMemory(poolPathOf(folder), poolBytes);
			return new ClusterNode(parts, mounts);
		} catch (error) {
			await mounts.stop();
			throw error;
		}
	}

	get api(): LabDaemon["api"] {
		return this.daemon.api;
	}

	/** Where the others reach it. */
	get peerAddress(): string {
		return `${this.host.address}:${peerPort}`;
	}

	get runs(): boolean {
		return this.daemon.alive();
	}

	/** It ended, and nobody asked it to. */
	get died(): boolean {
		return this.#started && !this.daemon.alive();
	}

	get paused(): boolean {
		return this.#paused;
	}

	/** A program with this node's network and files; what it printed. */
	async run(program: string, args: readonly string[], options: Partial<RunOptions> = {}): Promise<string> {
		const [first = "", ...rest] = [...this.host.prefix, ...this.#mounts.prefix, program, ...args];
		return (await run(first, rest, { timeoutMs: commandLimitMs, ...options })).stdout;
	}

	/** The command line as root on this node; what it printed. Fails when it does. */
	async cli(limitMs: number, ...words: string[]): Promise<string> {
		const { stdout } = await run(this.executable, [...words, "--run-dir", this.daemon.runDir], { timeoutMs: limitMs });
		return stdout;
	}

	/** Its id, as it said last. */
	get nodeId(): string {
		return present(this.#nodeId, `the id of ${this.name}`);
	}

	/** Asks it who it is. */
	async identify(): Promise<void> {
		this.#nodeId = (await this.api.call("healthGet")).body.nodeId;
	}

	/** The command `join`; resolves when the node has begun anew as a member. */
	async joinWith(
		token: string,
		addresses: readonly string[],
		limitMs: number,
		more: readonly string[] = [],
	): Promise<void> {
		const given = ["--token", token, "--address", this.peerAddress, "--yes", "--no-wait", ...more];
		const before = this.nodeId;
		await this.cli(limitMs, "cluster", "join", ...addresses, ...given);
		await waitUntil(`${this.name} to begin anew`, limitMs, async () => {
			await this.identify().catch(() => {});
			return this.nodeId !== before;
		});
	}

	/** `kill -9`, also of a process that is stopped. */
	async kill9(): Promise<void> {
		await this.daemon.kill9();
		this.#paused = false;
		this.#started = false;
	}

	async start(): Promise<void> {
		await this.daemon.start();
		this.#started = true;
	}

	/** SIGTERM and its end in good order. */
	async term(): Promise<number | null> {
		this.resume();
		this.#started = false;
		return this.daemon.term();
	}

	/** SIGSTOP: it is there, and does nothing. */
	pause(): void {
		process.kill(this.daemon.pid, "SIGSTOP");
		this.#paused = true;
	}

	resume(): void {
		if (this.#paused) process.kill(this.daemon.pid, "SIGCONT");
		this.#paused = false;
	}

	/** Not a byte is left for it, or so many: what it holds of its disk is taken from it. */
	async fillDisk(leftBytes = 0): Promise<void> {
		const spare = join(this.daemon.dataDir, "spare");
		if (leftBytes > 0) await this.run("fallocate", ["--length", String(leftBytes), spare]);
		// Twice: it may be about to make its ballast anew.
		for (let round = 0; round < 2; round++) {
			await this.run("rm", ["--force", pathsOf(this.daemon.dataDir).ballast]);
			await this.fillFreeSpace();
		}
		await this.run("rm", ["--force", spare]);
	}

	/** What disks of VMs do: all that is free is taken. */
	async fillFreeSpace(): Promise<void> {
		const flags = ["oflag=append", "conv=notrunc", "bs=256K", "status=none"];
		await this.run("dd", ["if=/dev/zero", `of=${this.#filler}`, ...flags], { okExitCodes: [1] });
	}

	async freeDisk(): Promise<void> {
		await this.run("rm", ["--force", this.#filler]);
	}

	/** What the node holds of its disk for changes that make room. */
	async ballastBytes(): Promise<number> {
		const { ballast } = pathsOf(this.daemon.dataDir);
		return 512 * Number(await this.run("stat", ["--format=%b", ballast], { okExitCodes: [0, 1] }));
	}

	get #filler(): string {
		return join(this.daemon.dataDir, "filler");
	}

	/** What is in the data folder goes. The process must not run. */
	async wipeDisk(): Promise<void> {
		await this.run("find", [this.daemon.dataDir, "-mindepth", "1", "-delete"]);
	}

	/** The whole data folder as it is now; where the copy is. */
	async copyDisk(name: string): Promise<string> {
		const copy = join(this.#folder, `copy-${name}`);
		await this.run("cp", ["--archive", "--no-target-directory", this.daemon.dataDir, copy]);
		return copy;
	}

	/** The data folder becomes that copy, of this or of another node. The process must not run. */
	async putDiskBack(copy: string): Promise<void> {
		await this.wipeDisk();
		await this.run("cp", ["--archive", "--no-target-directory", copy, this.daemon.dataDir]);
	}

	async stop(): Promise<void> {
		await this.kill9();
		await this.#mounts.stop();
	}
}
