/**
 * The lab VM: a whole machine for the built executable, with a kernel, a file system and a disk of its own, so that its
 * power can be cut. Emulated (TCG), on an NBD disk that the caller serves. The API is reached over a port of loopback; the
 * guest reaches nothing but the other lab VMs on the same hub.
 *
 * A machine starts from a snapshot of a kernel that has booted and knows nothing yet of its disk, its number, its address, the
 * time or any randomness. The snapshot's memory is a file that all machines map, each with its own changes.
 *
 * `await using snapshot = await makeLabVmSnapshot(image)`, `await using vm = await startLabVm({ … })`; `kill` is the end of a
 * power cut, right after the disk was frozen.
 */
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type OperationTypes, operations } from "../../gen/api.ts";
import { type ApiClient, createApiClient } from "../../lib/api-client.ts";
import { present } from "../../lib/assert.ts";
import { AppError, isAppError, toAppError } from "../../lib/errors.ts";
import type { LabVmImage } from "./lab-vm-image.ts";
import { type QemuProcess, startQemu } from "./qemu-process.ts";
import { waitUntil } from "./wait-until.ts";

/** Must not go before the machines that were started from it. */
export type LabVmSnapshot = AsyncDisposable & {
	readonly image: LabVmImage;
	readonly memoryPath: string;
	/** Of the devices and processors, as QEMU migrates it. */
	readonly statePath: string;
};

export type LabVmOptions = {
	snapshot: LabVmSnapshot;
	/** The NBD server of the disk that keeps things. */
	diskSocketPath: string;
	/** 1 to 250: its name is node-N, its address on the hub 10.77.0.N. */
	node?: number;
	/** Ethernet hub that it is on; see ethernet-hub.ts. */
	hubSocketPath?: string;
	/** More of `limiquantix serve`, without blanks in one argument. */
	serve?: readonly string[];
	lifetimeMs?: number;
};

export type LabVm = AsyncDisposable & {
	/** https://127.0.0.1:PORT, with a certificate that nobody has signed. */
	readonly url: string;
	/** What the daemon logged. */
	log(): string;
	/** The serial console: the kernel, the init script, the shell. */
	console(): string;
	/** As `token`, or as nobody. */
	api(token: string | null): ApiClient<OperationTypes>;
	/** Waits until the API answers. Fails with `internal` as soon as the daemon has ended, `unavailable` the machine. */
	healthy(): Promise<void>;
	/** Runs a line in the guest's shell, as root; what it said, standard error included. Fails when it fails. */
	shell(line: string, limitMs?: number): Promise<string>;
	/** SIGKILL to the machine; resolves when it is gone. */
	kill(): Promise<void>;
};

const healthyLimitMs = 150_000;
const bootLimitMs = 100_000;
const migrateLimitMs = 60_000;
const askLimitMs = 5_000;
const memoryMib = 640;
const kernelLine = "console=ttyS0 quiet loglevel=4 panic=1 mitigations=off nokaslr no_timer_check";
/** What the init script or the kernel says when nothing will serve any more. */
const endPattern = /LAB-VM (daemon ended|failed).*|Kernel panic.*/;
const daemonEnded = "LAB-VM daemon ended";

/** Boots the image once. The files are in a temporary folder that goes with the snapshot. */
export async function makeLabVmSnapshot(image: LabVmImage): Promise<LabVmSnapshot> {
	const folder = await mkdtemp(join(tmpdir(), "lqx-lab-vm-"));
	const remove = () => rm(folder, { recursive: true, force: true });
	const [memoryPath, statePath] = [join(folder, "memory"), join(folder, "state")];
	try {
		await using qemu = await startQemu({
			...{ cpus: 1, memoryMib, lifetimeMs: bootLimitMs + migrateLimitMs },
			extraArgs: [
				...machineArguments(image, memoryPath, true),
				...["-chardev", "null,id=log", "-serial", "chardev:log"],
				// Of the same size, and nothing on it that a machine could remember.
				...["-blockdev", `driver=null-co,node-name=data,read-zeroes=on,size=${(await stat(image.emptyDiskPath)).size}`],
				...["-device", "virtio-blk-pci,drive=data", ...productArguments(image)],
				...["-netdev", "user,id=nat,restrict=on", "-netdev", noHub, ...cards],
			],
		});
		const [said] = await qemu.serial.waitFor(/LAB-VM (waits|failed.*)|Kernel panic.*/, bootLimitMs);
		if (said !== "LAB-VM waits") throw new AppError("internal", `The lab VM does not boot: ${said}`);
		await qemu.qmp.command("stop");
		await leaveOutSharedMemory(qemu);
		await qemu.qmp.command("migrate", { uri: `exec:cat > ${statePath}` });
		await migrated(qemu);
		return { image, memoryPath, statePath, [Symbol.asyncDispose]: remove };
	} catch (error) {
		await remove();
		throw error;
	}
}

export async function startLabVm(options: LabVmOptions): Promise<LabVm> {
	const { snapshot, node = 1, hubSocketPath } = options;
	const folder = await mkdtemp(join(tmpdir(), "lqx-lab-vm-"));
	const logPath = join(folder, "daemon.log");
	const remove = () => rm(folder, { recursive: true, force: true });
	let qemu: QemuProcess | null = null;
	try {
		qemu = await startQemu({
			...{ cpus: 1, memoryMib, lifetimeMs: options.lifetimeMs ?? 600_000 },
			extraArgs: [
				...machineArguments(snapshot.image, snapshot.memoryPath, false),
				...["-chardev", `file,id=log,path=${logPath}`, "-serial", "chardev:log", "-incoming", "defer"],
				...["-blockdev", `driver=nbd,node-name=data,server.type=unix,server.path=${options.diskSocketPath}`],
				...["-device", "virtio-blk-pci,drive=data", ...productArguments(snapshot.image)],
				...["-netdev", "user,id=nat,restrict=on,hostfwd=tcp:127.0.0.1:0-:8443"],
				"-netdev",
				hubSocketPath === undefined ? noHub : `stream,id=hub,server=off,addr.type=unix,addr.path=${hubSocketPath}`,
				...cards,
			],
		});
		await leaveOutSharedMemory(qemu);
		await qemu.qmp.command("migrate-incoming", { uri: `exec:cat ${snapshot.statePath}` });
		await migrated(qemu);
		await qemu.qmp.command("cont");
		qemu.typeSerial(`${node} ${Math.floor(Date.now() / 1000)} ${(options.serve ?? []).join(" ")}\n`);
		return new RunningLabVm(qemu, await forwardedPort(qemu), logPath, remove);
	} catch (error) {
		await qemu?.[Symbol.asyncDispose]();
		await remove();
		throw error;
	}
}

/** The same devices in the same order in every machine: a snapshot fits nothing else. */
const machineArguments = (image: LabVmImage, memoryPath: string, share: boolean): string[] => [
	...[
		"-object",
		`memory-backend-file,id=memory,size=${memoryMib}M,mem-path=${memoryPath},share=${share ? "on" : "off"}`,
	],
	// The processor is the oldest that the executable runs on; emulating newer instructions takes longer.
	...["-machine", "memory-backend=memory", "-cpu", "Nehalem", "-no-reboot", "-device", "virtio-rng-pci"],
	...["-kernel", image.kernelPath, "-initrd", image.initramfsPath, "-append", kernelLine],
];

const productArguments = (image: LabVmImage): string[] => [
	...["-blockdev", `driver=file,node-name=product,read-only=on,filename=${image.productDiskPath}`],
	...["-device", "virtio-blk-pci,drive=product"],
];

/** Has no state, so a machine on a hub starts from it too. */
const noHub = "hubport,id=hub,hubid=0";
/** The second gets an address of its own in the machine. */
const cards = ["nat", "hub"].flatMap((netdev) => ["-device", `virtio-net-pci,netdev=${netdev},romfile=`]);

/** The memory is in its file already: only the rest is written, and read. */
async function leaveOutSharedMemory(qemu: QemuProcess): Promise<void> {
	const capabilities = [{ capability: "x-ignore-shared", state: true }];
	await qemu.qmp.command("migrate-set-capabilities", { capabilities });
}

async function migrated(qemu: QemuProcess): Promise<void> {
	await waitUntil("the state of the lab VM", migrateLimitMs, async () => {
		const { status } = (await qemu.qmp.command("query-migrate")) as { status?: string };
		if (status === "failed") throw new AppError("internal", "QEMU cannot save or load the state of the lab VM.");
		return status === "completed";
	});
}

/** QEMU has taken a free port; its user network says which. */
async function forwardedPort(qemu: QemuProcess): Promise<number> {
	const said = await qemu.qmp.command("human-monitor-command", { "command-line": "info usernet" });
	const port = /TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)/.exec(String(said))?.[1];
	return Number(present(port, "the port of loopback in QEMU's list"));
}

class RunningLabVm implements LabVm {
	readonly url: string;
	readonly #qemu: QemuProcess;
	readonly #logPath: string;
	readonly #remove: () => Promise<void>;
	#commands = 0;
	#ended = false;

	constructor(qemu: QemuProcess, port: number, logPath: string, remove: () => Promise<void>) {
		this.url = `https://127.0.0.1:${port}`;
		this.#qemu = qemu;
		this.#logPath = logPath;
		this.#remove = remove;
		const ended = () => {
			this.#ended = true;
		};
		qemu.exited.then(ended, ended);
	}

	log(): string {
		return existsSync(this.#logPath) ? readFileSync(this.#logPath, "utf8") : "";
	}

	console(): string {
		return this.#qemu.serial.text;
	}

	api(token: string | null): ApiClient<OperationTypes> {
		return createApiClient<OperationTypes>(operations, {
			baseUrl: this.url,
			fetch: (address, init) => fetch(address, { ...init, tls: { rejectUnauthorized: false } }),
			headers: (): Record<string, string> => (token === null ? {} : { authorization: `Bearer ${token}` }),
		});
	}

	async healthy(): Promise<void> {
		const giveUp = new AbortController();
		const dead = this.#qemu.serial.waitFor(endPattern, healthyLimitMs).then(
			([line]) => line,
			(error: unknown) => (isAppError(error, "timeout") ? null : "the machine has ended"),
		);
		dead.then((line) => line !== null && giveUp.abort());
		try {
			await waitUntil(
				"the API of the lab VM",
				healthyLimitMs,
				async () => {
					const end = giveUp.signal.aborted ? ((await dead) ?? "") : null;
					if (end !== null)
						throw new AppError(
							end.startsWith(daemonEnded) ? "internal" : "unavailable",
							`The lab VM does not serve: ${end}`,
						);
					const signal = AbortSignal.any([giveUp.signal, AbortSignal.timeout(askLimitMs)]);
					return fetch(`${this.url}/healthz`, { tls: { rejectUnauthorized: false }, keepalive: false, signal }).then(
						(response) => response.status === 200,
						() => false,
					);
				},
				{ everyMs: 50 },
			);
		} catch (error) {
			const { code, message } = toAppError(error);
			throw new AppError(code, `${message}\n${this.console().slice(-1500)}\n${this.log().slice(-3000)}`, {
				cause: error,
			});
		}
	}

	async shell(line: string, limitMs = 60_000): Promise<string> {
		await this.#qemu.serial.waitFor("LAB-VM up", bootLimitMs);
		this.#commands += 1;
		const [begin, end] = [`BEGIN-${this.#commands}`, `END-${this.#commands}`];
		const from = this.#qemu.serial.mark();
		this.#qemu.typeSerial(`echo ${begin}; { ${line}; } < /dev/null 2>&1; code=$?; echo; echo ${end} $code\n`);
		const [, said = "", code] = await this.#qemu.serial.waitFor(
			new RegExp(`${begin}\r?\n([^]*?)\r?\n${end} (\\d+)`),
			limitMs,
			from,
		);
		const text = said.replaceAll("\r\n", "\n").trimEnd();
		if (code !== "0") throw new AppError("internal", `In the lab VM "${line}" ended with ${code}: ${text}`);
		return text;
	}

	async kill(): Promise<void> {
		if (!this.#ended) process.kill(this.#qemu.pid, "SIGKILL");
		await this.#qemu.exited.catch(() => undefined);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#qemu[Symbol.asyncDispose]();
		await this.#remove();
	}
}
