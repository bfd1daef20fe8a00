/**
 * The storage lab VM: a whole Debian 13 with the kernel's NFS server and client, iSCSI target and initiator, device mapper,
 * LVM, multipath, QEMU and libvirt, for what the machine under the tests has no kernel modules for. Emulated; reaches no
 * network. Our sources are in /repo (read-only), an empty ext4 file system of 32 GiB (sparse) in /data.
 *
 * `await using vm = await startStorageVm({ cacheDir })`. It starts from a snapshot of a booted machine, made once and cached.
 */
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError } from "../../../lib/errors.ts";
import { run } from "../../../lib/run.ts";
import { type QemuProcess, startQemu } from "../qemu-process.ts";
import { CommandPort } from "./command-port.ts";
import { buildStorageVmImage } from "./image.ts";
import { bootedSnapshot, leaveOutSharedMemory, machineArguments, migrated, noHub } from "./machine.ts";
import { makeTestedDisk } from "./tested-disk.ts";

export type StorageVmOptions = {
	cacheDir: string;
	memoryMib?: number;
	/**
	 * With two, QEMU before 8.1 may translate code that the kernel is just changing on the other, and then the kernel stops: seen
	 * at one start in ten.
	 */
	cpus?: number;
	/** SCSI disks, empty, sparse: /dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_SERIAL. */
	extraDisks?: readonly { serial: string; sizeBytes: number }[];
	/** Files for /repo/files: name there, path here. */
	files?: Readonly<Record<string, string>>;
	/**
	 * Puts it on a network with other machines, and the hosts of their labs (inside/lab-network.ts), as 10.88.100.`node`;
	 * `node`: 1 to 250. See power/ethernet-hub.ts.
	 */
	hub?: { socketPath: string; node: number };
	/** The machine is ended after this long, whatever happens. */
	lifetimeMs?: number;
};

export type StorageVm = AsyncDisposable & {
	/** Runs lines of bash as root; what they said, standard error included. Fails when they fail. Side by side is fine. */
	shell(script: string, limitMs?: number): Promise<string>;
	putFile(path: string, contents: string | Uint8Array): Promise<void>;
	getFile(path: string): Promise<Buffer>;
	/** The serial console: the kernel and the start scripts. */
	console(): string;
	/** All of it stands still, as a host that hangs and then goes on: no clock of its own tells it. */
	pause(): Promise<void>;
	resume(): Promise<void>;
	/** SIGKILL to the machine; resolves when it is gone. */
	kill(): Promise<void>;
};

const startLimitMs = 60_000;
const fileLimitMs = 60_000;

export async function startStorageVm(options: StorageVmOptions): Promise<StorageVm> {
	const image = await buildStorageVmImage({ cacheDir: options.cacheDir });
	const hardware = { memoryMib: options.memoryMib ?? 2048, cpus: options.cpus ?? 1 };
	const snapshot = await bootedSnapshot(image, hardware);
	const folder = await mkdtemp(join(tmpdir(), "lqx-storage-vm-"));
	const remove = () => rm(folder, { recursive: true, force: true });
	let qemu: QemuProcess | undefined;
	let port: CommandPort | undefined;
	try {
		const testedDisk = await makeTestedDisk(folder, options.files ?? {});
		const dataDisk = join(folder, "data.raw");
		await run("cp", ["--sparse=always", "--", image.emptyDiskPath, dataDisk], { timeoutMs: fileLimitMs });
		port = await CommandPort.listen(join(folder, "command"));
		qemu = await startQemu({
			...hardware,
			lifetimeMs: options.lifetimeMs ?? 600_000,
			extraArgs: [
				...machineArguments(image, {
					...{ hardware, memoryPath: join(snapshot, "memory"), shared: false },
					testedDisk: `driver=file,read-only=on,filename=${testedDisk}`,
					dataDisk: `driver=file,discard=unmap,filename=${dataDisk}`,
					command: `socket,id=command,path=${join(folder, "command")}`,
					network: options.hub ? `stream,id=hub,server=off,addr.type=unix,addr.path=${options.hub.socketPath}` : noHub,
				}),
				...["-incoming", "defer"],
			],
		});
		await leaveOutSharedMemory(qemu);
		await qemu.qmp.command("migrate-incoming", { uri: `exec:cat ${join(snapshot, "state")}` });
		await migrated(qemu);
		await qemu.qmp.command("cont");
		await port.start(startLimitMs);
		const vm = new RunningStorageVm(qemu, port, remove);
		if (options.hub) await joinHub(vm, options.hub.node);
		await addDisks(vm, qemu, folder, options.extraDisks ?? []);
		return vm;
	} catch (error) {
		port?.end(error);
		const said = qemu?.serial.text.slice(-3000) ?? "";
		await qemu?.[Symbol.asyncDispose]();
		await remove();
		throw said === ""
			? error
			: new AppError("internal", `The storage lab VM does not start: ${said}`, { cause: error });
	}
}

/** Its bridge, which the hosts of its lab are on, is on the hub. Machines of one snapshot have equal addresses at first. */
async function joinHub(vm: StorageVm, node: number): Promise<void> {
	const mac = (kind: string) => `52:54:00:6c:${kind}:${node.toString(16).padStart(2, "0")}`;
	const commands = [
		`hostname node-${node}`,
		`ip link add lab0 address ${mac("02")} type bridge forward_delay 0 stp_state 0`,
		`ip address add 10.88.100.${node}/16 dev lab0`,
		`ip link set eth0 address ${mac("01")} master lab0 up`,
		"ip link set lab0 up",
	];
	await vm.shell(commands.join(" && "), startLimitMs);
}

async function addDisks(
	vm: StorageVm,
	qemu: QemuProcess,
	folder: string,
	disks: readonly { serial: string; sizeBytes: number }[],
): Promise<void> {
	for (const [at, { serial, sizeBytes }] of disks.entries()) {
		const [node, path] = [`extra${at}`, join(folder, `extra${at}.raw`)];
		await writeFile(path, "");
		await truncate(path, sizeBytes);
		const file = { driver: "file", filename: path, discard: "unmap" };
		await qemu.qmp.command("blockdev-add", { "node-name": node, driver: "raw", file, discard: "unmap" });
		await qemu.qmp.command("device_add", { driver: "scsi-hd", id: node, bus: "scsi.0", drive: node, serial });
	}
	const paths = disks.map(({ serial }) => `/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_${serial}`);
	if (paths.length > 0)
		await vm.shell(`for disk in ${paths.join(" ")}; do until test -b $disk; do sleep 0.05; done; done`, startLimitMs);
}

class RunningStorageVm implements StorageVm {
	readonly #qemu: QemuProcess;
	readonly #port: CommandPort;
	readonly #remove: () => Promise<void>;
	#ended = false;

	constructor(qemu: QemuProcess, port: CommandPort, remove: () => Promise<void>) {
		this.#qemu = qemu;
		this.#port = port;
		this.#remove = remove;
		const ended = () => {
			this.#ended = true;
		};
		qemu.exited.then(ended, ended);
	}

	console(): string {
		return this.#qemu.serial.text;
	}

	async shell(script: string, limitMs = 60_000): Promise<string> {
		return (await this.#ask(script, "", limitMs)).toString("utf8").trimEnd();
	}

	async putFile(path: string, contents: string | Uint8Array): Promise<void> {
		await this.#ask(`cat > '${path}'`, contents, fileLimitMs);
	}

	async getFile(path: string): Promise<Buffer> {
		return this.#ask(`cat -- '${path}'`, "", fileLimitMs);
	}

	async #ask(script: string, input: string | Uint8Array, limitMs: number): Promise<Buffer> {
		const { exitCode, output } = await this.#port.request(script, Buffer.from(input), limitMs);
		if (exitCode === 0) return output;
		const what = exitCode === 124 ? `was not done within ${limitMs} ms` : `ended with ${exitCode}`;
		throw new AppError(
			exitCode === 124 ? "timeout" : "internal",
			`In the storage lab VM "${script}" ${what}: ${output.toString("utf8").trimEnd()}`,
		);
	}

	async pause(): Promise<void> {
		await this.#qemu.qmp.command("stop");
	}

	async resume(): Promise<void> {
		await this.#qemu.qmp.command("cont");
	}

	async kill(): Promise<void> {
		if (!this.#ended) process.kill(this.#qemu.pid, "SIGKILL");
		await this.#qemu.exited.catch(() => undefined);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#qemu[Symbol.asyncDispose]();
		this.#port.end(new AppError("unavailable", "The storage lab VM was ended."));
		await this.#remove();
	}
}
